"""Generated Python functions on numbers and lists of them, for tests that compare tiers.

A program has the parameters `a`, `b` (lists of ints), `f` (a list of floats) and `n` (an int). It
grows, shrinks, sorts, copies, aliases and nests lists in branches and loops, which it may leave
early; calls back into Python, with effects and without; and may raise: an index out of range, an
item that is not there, a division by zero, its own error. Every value that it computes is part of
its result: so what raises in eager is computed by any tier.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

import jit
from tests.programs import load

Draw = Callable[[st.SearchStrategy[Any]], Any]

HEAD = """
def generated(a: list[int], b: list[int], f: list[float], n: int):
    i, j, s, t, x, y, q = 0, 1, 3, n, 0.5, 0.0, True
    c = [1, 2, n]
    d = [0.5] * 3
    m = [True, False]
    r = [[0] * 3 for _ in range(4)]
"""
INTS = ("i", "j", "s", "t", "n", "2", "-1", "len({L})", "{L}[{I}]", "({I} + {I})", "({I} * {I})",
        "({I} - {I})", "({I} // {I})", "({I} % {I})", "min({I}, {I})", "max({I}, {I})", "abs({I})",
        "{L}.count({I})", "{L}.index({I})", "sum({L})", "{L}.pop()", "{L}.pop({I})", "r[{I}][{I}]",
        "int({X})", "({I} if {B} else {I})", "({I} << 3)", "({I} & 7)", "-{I}", "len(str({I}))",
        "len(str({L}))")  # fmt: skip
FLOATS = ("x", "0.25", "{F}[{I}]", "({X} + {X})", "({X} * {X})", "({X} / {X})", "float({I})",
          "math.sqrt(abs({X}))", "max({X}, {X})")  # fmt: skip
BOOLS = ("q", "{I} < {I}", "{I} == {I}", "{X} > {X}", "{I} in {L}", "{L} == {L}", "{M}[{I}]",
         "not {B}", "{F} != {F}", "({B} and {B})", "({B} or {B})")  # fmt: skip
CALLS = ("s += note({I})", "s += change({L}, {I})", "s += note(s)")
LEAVES = ("break", "continue", "break", "return a, c, s, y")
LISTS = ("a", "b", "c", "r[{I}]")
STATEMENTS = (
    "i = {I}", "j = {I}", "s += {I}", "t = {I}", "x = {X}", "y += {X}", "q = {B}", "print(s, {L})",
    "{L}.append({I})", "{L}[{I}] = {I}", "{L}[{I}] += {I}", "{L}.insert({I}, {I})", "{L}.clear()",
    "{L}.extend({L})", "{L}.reverse()", "{L}.sort()", "{L}.sort(reverse=True)", "del {L}[{I}]",
    "{L}.remove({I})", "c = {L}", "c = a", "a = {L}", "c = {L}.copy()", "c = {L}[{I}:{I}]",
    "c = {L}[::-1]", "c = {L}[{I}::2]", "c = {L} + {L}", "c = {L} * 2", "c = [{I}] * ({I} & 7)",
    "b = [k * s for k in {L} if k != t]", "c = [k + 1 for k in range(n & 7)]",
    "{F}.append({X})", "{F}[{I}] = {X}", "d = {F}", "d = f[1:]", "d.sort()", "d = sorted(f)",
    "b = sorted({L}, reverse={B})", "{M}.append({B})",
    "{M}[{I}] = {B}", "r[{I}] = {L}", "r.append({L})", "r[{I}][{I}] = {I}", "c = r[{I}]",
)  # fmt: skip
USES = {
    "c =": "; s += len(c)", "d =": "; y += len(d)", "i =": "; s += i", "j =": "; s += j",
    "t =": "; s += t", "x =": "; y += x", "q =": "; s += int(q)",
}  # fmt: skip
"""What is done at once with a variable that is assigned."""
RESULTS = (
    "    return a, b, c, d, f, m, r, i, j, s, t, x, y, q\n",
    "    return c, c, len(b), s, y\n",
    "    return s + t, y\n",
)


class Program:
    """The text of a function under construction."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.statements = STATEMENTS + (CALLS if draw(st.integers(0, 3)) == 0 else ())
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

    def block(self, depth: int, is_in_loop: bool = False) -> str:
        """Random statements, one level deeper in each branch or loop."""
        pad, lines = "    " * depth, ""
        for _ in range(self.draw(st.integers(1, 5 if depth == 1 else 3))):
            kind = self.draw(st.integers(0, 9)) if depth < 3 else 9
            match kind:
                case 0:
                    lines += f"{pad}if {self.fill('{B}')}:\n{self.block(depth + 1, is_in_loop)}"
                    lines += f"{pad}else:\n{self.block(depth + 1, is_in_loop)}"
                case 1:
                    name = "uv"[depth - 1]
                    lines += f"{pad}for {name} in range({self.fill('{I}')} & 7):\n"
                    lines += f"{pad}    s += {name}\n{self.block(depth + 1, True)}"
                case 2:
                    name = "gh"[depth - 1]
                    lines += f"{pad}{name} = {self.fill('{I}')} & 3\n{pad}while {name} > 0:\n"
                    lines += f"{pad}    {name} -= 1\n{self.block(depth + 1, True)}"
                case 3:
                    lines += f"{pad}if {self.fill('{B}')}:\n"
                    lines += f"{pad}    raise ValueError('found')\n"
                case 4 if is_in_loop:
                    lines += f"{pad}if {self.fill('{B}')}:\n"
                    lines += f"{pad}    {self.pick(LEAVES)}\n"
                case _:
                    line = self.fill(self.pick(self.statements))
                    lines += f"{pad}{line}{USES.get(line[:3], '')}\n"
        return lines

    def function(self) -> Callable[..., Any]:
        return load(self.source, {"note": note, "change": change})


noted: list[int] = []
"""What programs have noted, in order."""


@jit.ignore
def note(k: int) -> int:
    """Opaque, with an effect; may raise."""
    noted.append(k)
    if k % 7 == 6:
        raise KeyError(k)
    return len(noted)


@jit.ignore
def change(items: list[int], k: int) -> int:
    """Opaque; changes what it is given."""
    items.append(k)
    return items[0]
