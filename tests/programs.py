"""Generated Python functions for tests that compare tiers: source text that runs on any sizes.

A program has the parameters `x`, `y` (R by C), `w` (C), `k` (C integers), `n` (an int) and `flag`.
Its variables have kinds, which say what sizes they have, so that every program fits every R and C:

    RC CR        matrices           R C          vectors
    R1 1C        kept dims          S            0-d
    I            integers of length C

Values stay bounded and depend on their operands continuously, so that tiers may differ by rounding
only.
"""

from __future__ import annotations

import linecache
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from types import FunctionType
from typing import Any

import torch
from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]

UNARY = (
    "torch.tanh({a})", "torch.sigmoid({a})", "torch.sin({a})", "torch.exp(-{a}.abs())", "-{a}",
    "torch.log1p({a}.abs())", "torch.relu({a})", "{a} * 0.5", "1 - {a} / 4", "{a}.clamp(-1, 0.75)",
    "torch.erf({a})", "{a}.clone()", "({a} + {n}) * 0.25", "{a} / (1 + {a} * {a})",
    "{a}.square() * 0.1", "torch.where({a} > 0, {a}, 0.1 * {a})", "{a} * ({a} > 0)",
    "{a}.masked_fill({a} < 0, 0.0)", "F.gelu({a})", "torch.stack([{a}, {a} * 2]).mean(0)",
    "step({a}, {n})",
)  # fmt: skip
BINARY = (
    "{a} + {b}", "{a} - {b}", "{a} * torch.tanh({b})", "torch.maximum({a}, {b})",
    "torch.where({a} > {b}, {a}, {b})", "torch.lerp({a}, {b} * 1.0, 0.25)", "{a} / ({b}.abs() + 1)",
    "torch.atan2({a}, {b}.abs() + 1)", "torch.add({a}, {b}, alpha=2) / 4",
)  # fmt: skip
BROADCASTS = {  # what may stand beside an operand of a kind without changing its kind
    "RC": ("RC", "C", "R1", "1C", "S", "I"),
    "CR": ("CR", "R", "S"),
    "R": ("R", "S"),
    "C": ("C", "S", "I"),
    "R1": ("R1", "S"),
    "1C": ("1C", "C", "S"),
    "S": ("S",),
}
SAME_KIND = {
    "RC": ("torch.softmax({a}, -1)", "{a}.cumsum(0) / {a}.size(0)", "{a}.flip(1)",
           "{a} - {a}.mean(1, keepdim=True)", "F.layer_norm({a}, {a}.shape[1:])"),
    "C": ("{a}.softmax(0)", "torch.cat([{a}[1:], {a}[:1]])"),
    "R": ("{a} - {a}.amax()",),
    "I": ("{a} * 2 - 1", "{a} % 3", "{a} // 2", "torch.where({a} > 1, {a}, -{a})", "{a} + {n}"),
}  # fmt: skip
CHANGES = (  # (from, to, expression); the views among them alias their operand
    ("RC", "CR", "{a}.t()"),
    ("CR", "RC", "{a}.transpose(0, 1)"),
    ("RC", "R", "{a} @ w / {a}.size(1)"),
    ("RC", "RC", "({a} @ y.t() @ x) / x.numel()"),
    ("RC", "RC", "torch.cat([{a}[:, 1:], {a}[:, :1]], 1)"),
    ("RC", "RC", "{a}.reshape({a}.size(0) * {a}.size(1)).reshape({a}.shape)"),
    ("RC", "C", "{a}.chunk(2)[0].sum(0) / {a}.size(0)"),
    ("RC", "C", "{a}[0]"),
    ("RC", "C", "{a}[{n} % 3]"),
    ("RC", "C", "{a}[k[0] % 3]"),
    ("RC", "RC", "{a}[:, k % 3] * 0.5 + {a} * 0"),
    ("RC", "C", "{a}[-1]"),
    ("RC", "R", "{a}[:, {n} % 2]"),
    ("RC", "C", "{a}[1:].sum(0) / {a}.size(0)"),
    ("RC", "C", "{a}.mean(0)"),
    ("RC", "R", "{a}.amax(1)"),
    ("RC", "R", "torch.logsumexp({a}, 1)"),
    ("RC", "R1", "{a}.mean(-1, keepdim=True)"),
    ("RC", "1C", "{a}.var(0, keepdim=True)"),
    ("RC", "S", "{a}.reshape(-1).mean()"),
    ("RC", "C", "{a}.reshape(-1, {a}.size(1))[::2].amin(0)"),
    ("R", "R1", "{a}.unsqueeze(1)"),
    ("R1", "R", "{a}.squeeze(1)"),
    ("C", "1C", "{a}[None]"),
    ("1C", "RC", "{a} + torch.zeros(x.size(0), 1)"),
    ("1C", "C", "{a}.reshape(-1)"),
    ("C", "S", "{a}.sum() / {a}.numel()"),
    ("R", "S", "{a}.max()"),
    ("I", "S", "{a}.sum() * 0.125"),
    ("I", "C", "{a}.to(torch.float32) / 8"),
    ("S", "C", "{a}.expand(x.size(1)) * 0.5"),
)
WRITES = (
    "{a}.mul_(0.5)",
    "{a} += {b}",
    "{a}.add_({b}, alpha=0.5)",
    "{a}.copy_({b})",
    "{a}[...] = {b}",
)
ITEM_WRITES = {
    "RC": (("{a}[0] = {b}", "C"), ("{a}[:, 1] = {b}", "R"), ("{a}[1:] *= {b}", "C")),
    "C": (("{a}[1:3] = {b}", "S"), ("{a}[-1] = 0.25", "C"), ("{a}[{n} % 3] = -1.0", "C")),
}
INTS = ("{n} + 1", "{n} * 2 - 1", "x.size(0) // 2", "{n} % 3", "max({n}, 2)", "x.size(1) - {n}",
        "int({i}.argmax())", "int({i}[0])", "int({i}.sum()) % 5", "int({i}[{n} % 3].item())")
READS = ("int(", "float(", ".item()", "k[0]")
"""What makes a number of a tensor: a trace keeps that of the example."""
HELPER = (
    "def step(a, n: int = 2):",
    "    if n > 2:",
    "        return torch.tanh(a)",
    "    return a * 0.5 if n > 1 else a + n * 0.1",
    "",
)
CONDITIONS = ("flag", "{n} > 2", "not flag or {n} < 3", "bool({s} > 0.01)", "x.size(0) > 4")


@dataclass
class Program:
    """A function under construction: its lines, and the kind of each variable that can be read."""

    draw: Draw
    lines: list[str] = field(default_factory=list)
    is_straight: bool = True
    _numbers: Iterator[int] = field(default_factory=count)

    def build(self) -> Program:
        """Write the whole function."""
        scope = {"x": "RC", "y": "RC", "w": "C", "k": "I", "n": "int"}
        for text in (*HELPER, "def generated(x, y, w, k, n: int, flag: bool):"):
            self.line(0, text)
        self.block(1, scope, self.draw(st.integers(1, 5)))
        if self.draw(st.integers(0, 3)) == 0:
            self.leave_early(scope)
        else:
            self.block(1, scope, self.draw(st.integers(1, 4)))
            self.line(1, f"return {self.results(scope)}")
        return self

    def leave_early(self, scope: dict[str, str]) -> None:
        """Two returns of the same variables."""
        self.is_straight = False
        last = ", ".join(list(scope)[-3:])
        self.line(1, f"if {self.fill(self.choose(CONDITIONS), scope, 'S')}:")
        self.line(2, f"return {last}, float(x.mean())")
        self.block(1, scope, self.draw(st.integers(1, 4)))
        self.line(1, f"return {last}, 0.5")

    @property
    def source(self) -> str:
        """The text of the function."""
        return "\n".join(self.lines) + "\n"

    def line(self, depth: int, text: str) -> None:
        self.lines.append("    " * depth + text)

    def choose(self, items: Any) -> Any:
        return self.draw(st.sampled_from(list(items)))

    def pick(self, scope: dict[str, str], kinds: Any) -> str:
        """A variable of one of the kinds; an expression for a kind that has none."""
        names = [name for name, kind in scope.items() if kind in kinds]
        return str(self.choose(names[-3:])) if names else "x.mean()"

    def results(self, scope: dict[str, str]) -> str:
        """What the last statements computed."""
        last = list(scope)[-self.draw(st.integers(1, 4)) :]
        return ", ".join([*last, "float(x.mean())"])

    # statements -----------------------------------------------------------------------------------
    def block(self, depth: int, scope: dict[str, str], size: int) -> None:
        """Some statements; what they define is added to `scope`."""
        kinds = [self.assign] * 4 + [self.change] * 4 + [self.write] * 2 + [self.number]
        kinds += [self.branch, self.loop, self.collect] if depth < 3 else []
        for _ in range(size):
            self.choose(kinds)(depth, scope)

    def inner(self, depth: int, scope: dict[str, str]) -> None:
        """The body of a branch or loop: its definitions end with it, assignments do not."""
        self.block(depth, dict(scope), self.draw(st.integers(1, 3)))

    def target(self, depth: int, scope: dict[str, str], kind: str) -> str:
        """A variable to assign: a new one, or one of the same kind."""
        same = [n for n, k in scope.items() if k == kind and n not in ("x", "n")]
        if same and (depth > 1 or self.draw(st.booleans())):
            return str(self.choose(same))
        return f"v{next(self._numbers)}"

    def define(self, depth: int, scope: dict[str, str], kind: str, text: str) -> None:
        self.is_straight &= not any(read in text for read in READS)
        name = self.target(depth, scope, kind)
        self.line(depth, f"{name} = {text}")
        scope.pop(name, None)
        scope[name] = kind  # as the newest

    def assign(self, depth: int, scope: dict[str, str]) -> None:
        """An expression of the kind of its first operand."""
        kind = self.choose(sorted({k for k in scope.values() if k != "int"}))
        forms = [*SAME_KIND.get(kind, ())]
        if kind != "I":
            forms += [*UNARY, *BINARY]
        self.define(depth, scope, kind, self.fill(self.choose(forms), scope, kind))

    def fill(self, form: str, scope: dict[str, str], kind: str) -> str:
        return form.format(
            a=self.pick(scope, (kind,)),
            b=self.pick(scope, BROADCASTS.get(kind, ())),
            n=self.pick(scope, ("int",)),
            s=self.pick(scope, ("S",)),
            i=self.pick(scope, ("I",)),
        )

    def change(self, depth: int, scope: dict[str, str]) -> None:
        """A view or reduction: another kind."""
        held = set(scope.values())
        source, kind, form = self.choose([c for c in CHANGES if c[0] in held])
        self.define(depth, scope, kind, self.fill(form, scope, source))

    def write(self, depth: int, scope: dict[str, str]) -> None:
        """An in-place operator or an assignment to a part."""
        kind = self.choose(sorted({k for k in scope.values() if k in ("RC", "CR", "R", "C")}))
        form, other = self.choose([(w, kind) for w in WRITES] + [*ITEM_WRITES.get(kind, ())])
        a, b = self.pick(scope, (kind,)), self.pick(scope, (other, "S"))
        self.line(depth, form.format(a=a, b=f"({b} * 0.5)", n=self.pick(scope, ("int",))))

    def number(self, depth: int, scope: dict[str, str]) -> None:
        self.define(depth, scope, "int", self.fill(self.choose(INTS), scope, "S"))

    def branch(self, depth: int, scope: dict[str, str]) -> None:
        self.is_straight = False
        self.line(depth, f"if {self.fill(self.choose(CONDITIONS), scope, 'S')}:")
        self.inner(depth + 1, scope)
        if self.draw(st.booleans()):
            self.line(depth, "else:")
            self.inner(depth + 1, scope)

    def loop(self, depth: int, scope: dict[str, str]) -> None:
        self.is_straight = False
        name = f"i{next(self._numbers)}"
        if self.draw(st.booleans()):
            self.line(
                depth, f"for {name} in range({self.choose(['n % 4', '3', 'x.size(0) % 4'])}):"
            )
            head = {**scope, name: "int"}
        else:
            self.line(depth, f"{name} = {self.choose(['n % 4', '2'])}")
            self.line(depth, f"while {name} > 0:")
            self.line(depth + 1, f"{name} -= 1")
            head = dict(scope)
        if self.draw(st.integers(0, 3)) == 0:
            self.line(depth + 1, f"if {self.fill(self.choose(CONDITIONS), head, 'S')}:")
            self.line(depth + 2, self.choose(["break", "continue"]))
        self.inner(depth + 1, head)

    def collect(self, depth: int, scope: dict[str, str]) -> None:
        """A list that a loop fills."""
        self.is_straight = False
        items, name = f"l{next(self._numbers)}", f"i{next(self._numbers)}"
        kind = self.choose(sorted({k for k in scope.values() if k in BROADCASTS}))
        self.line(depth, f"{items} = [{self.pick(scope, (kind,))}]")
        self.line(depth, f"for {name} in range({self.choose(['n % 4', '3'])}):")
        piece = self.fill(self.choose(UNARY), {**scope, name: "int"}, kind)
        self.line(depth + 1, f"{items}.append({piece})")
        self.define(depth, scope, kind, f"torch.stack({items}).sum(0) / len({items})")


@st.composite
def programs(draw: Draw) -> Program:
    """Programs, smaller ones first."""
    return Program(draw).build()


_files = count()


def load(source: str, more: Mapping[str, Any] | None = None) -> FunctionType:
    """The function of a program's text, whose source can be read like that of a file; `more` are
    globals that it uses.
    """
    file = f"<generated {next(_files)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    names: dict[str, Any] = {"math": math, "torch": torch, "F": torch.nn.functional, **(more or {})}
    exec(compile(source, file, "exec"), names)
    function: FunctionType = names["generated"]
    return function


def arguments(rows: int, columns: int, n: int, flag: bool, *, is_transposed: bool = False) -> Any:
    """Arguments of a program for some sizes."""
    generator = torch.Generator().manual_seed(rows * 1000 + columns * 10 + n)
    x, y = torch.randn(2, rows, columns, generator=generator)
    if is_transposed:
        x = x.t().contiguous().t()
    k = torch.randint(0, 5, (columns,), generator=generator)
    return x.clone(memory_format=torch.preserve_format), y.clone(), torch.rand(columns), k, n, flag
