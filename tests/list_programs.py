"""Generated Python functions on numbers and lists of them, for tests that compare tiers.

A program has the parameters `a`, `b` (lists of ints), `f` (a list of floats) and `n` (an int). It
grows, shrinks, sorts, copies, aliases and nests lists in branches and loops, and may raise: an
index out of range, an item that is not there, a division by zero, its own error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from tests.programs import load

Draw = Callable[[st.SearchStrategy[Any]], Any]

HEAD = """
def generated(a: list[int], b: list[int], f: list[float], n: int):
    i, j, s, t, x, q = 0, 1, 3, n, 0.5, True
    c = [1, 2, n]
    d = [0.5] * 3
    m = [True, False]
    r = [[0] * 3 for _ in range(4)]
"""
INTS = ("i", "j", "s", "t", "n", "2", "-1", "len({L})", "{L}[{I}]", "({I} + {I})", "({I} * {I})",
        "({I} - {I})", "({I} // {I})", "({I} % {I})", "min({I}, {I})", "max({I}, {I})", "abs({I})",
        "{L}.count({I})", "{L}.index({I})", "sum({L})", "{L}.pop()", "{L}.pop({I})", "r[{I}][{I}]",
        "int({X})", "({I} if {B} else {I})", "({I} << 3)", "({I} & 7)", "-{I}")  # fmt: skip
FLOATS = ("x", "0.25", "{F}[{I}]", "({X} + {X})", "({X} * {X})", "({X} / {X})", "float({I})",
          "math.sqrt(abs({X}))", "max({X}, {X})")  # fmt: skip
BOOLS = ("q", "{I} < {I}", "{I} == {I}", "{X} > {X}", "{I} in {L}", "{L} == {L}", "{M}[{I}]",
         "not {B}", "{F} != {F}", "({B} and {B})", "({B} or {B})")  # fmt: skip
LISTS = ("a", "b", "c", "r[{I}]")
STATEMENTS = (
    "i = {I}", "j = {I}", "s += {I}", "t = {I}", "x = {X}", "x += {X}", "q = {B}",
    "{L}.append({I})", "{L}[{I}] = {I}", "{L}[{I}] += {I}", "{L}.insert({I}, {I})", "{L}.clear()",
    "{L}.extend({L})", "{L}.reverse()", "{L}.sort()", "{L}.sort(reverse=True)", "del {L}[{I}]",
    "{L}.remove({I})", "c = {L}", "c = a", "a = {L}", "c = {L}.copy()", "c = {L}[{I}:{I}]",
    "c = {L}[::-1]", "c = {L}[{I}::2]", "c = {L} + {L}", "c = {L} * 2", "c = [{I}] * ({I} & 7)",
    "b = [k * s for k in {L} if k != t]", "c = [k + 1 for k in range(n & 7)]",
    "{F}.append({X})", "{F}[{I}] = {X}", "d = {F}", "d = f[1:]", "d.sort()", "{M}.append({B})",
    "{M}[{I}] = {B}", "r[{I}] = {L}", "r.append({L})", "r[{I}][{I}] = {I}", "c = r[{I}]",
)  # fmt: skip
RESULTS = (
    "    return a, b, c, d, f, m, r, i, j, s, t, x, q\n",
    "    return c, c, len(b), s\n",
    "    return s + t\n",
)


class Program:
    """The text of a function under construction."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.source = HEAD + self.block(1) + self.pick(RESULTS)

    def pick(self, choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def fill(self, template: str, depth: int = 0) -> str:
        """The template with its holes filled by random expressions."""
        tables = {"I": INTS, "X": FLOATS, "B": BOOLS, "L": LISTS, "F": ("f", "d"), "M": ("m",)}
        out, rest = "", template
        while "{" in rest:
            before, _, rest = rest.partition("{")
            hole, _, rest = rest.partition("}")
            choices = tables[hole] if depth < 2 else tables[hole][:4]
            choices = [c for c in choices if depth < 2 or "{" not in c]
            out += before + self.fill(self.pick(choices), depth + 1)
        return out + rest

    def block(self, depth: int) -> str:
        """Random statements, one level deeper in each branch or loop."""
        pad, lines = "    " * depth, ""
        for _ in range(self.draw(st.integers(1, 5 if depth == 1 else 3))):
            kind = self.draw(st.integers(0, 9)) if depth < 3 else 9
            match kind:
                case 0:
                    lines += f"{pad}if {self.fill('{B}')}:\n{self.block(depth + 1)}"
                    lines += f"{pad}else:\n{self.block(depth + 1)}"
                case 1:
                    name = "uv"[depth - 1]
                    lines += f"{pad}for {name} in range({self.fill('{I}')} & 7):\n"
                    lines += f"{pad}    s += {name}\n{self.block(depth + 1)}"
                case 2:
                    name = "gh"[depth - 1]
                    lines += f"{pad}{name} = {self.fill('{I}')} & 3\n{pad}while {name} > 0:\n"
                    lines += f"{pad}    {name} -= 1\n{self.block(depth + 1)}"
                case 3:
                    lines += f"{pad}if {self.fill('{B}')}:\n"
                    lines += f"{pad}    raise ValueError('found')\n"
                case _:
                    lines += f"{pad}{self.fill(self.pick(STATEMENTS))}\n"
        return lines

    def function(self) -> Callable[..., Any]:
        return load(self.source)
