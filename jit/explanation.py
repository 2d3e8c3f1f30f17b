"""`explain`: what became of every source line of a compiled function, and why.

The report is made of records (`Explanation`, `PlanReport`, `LineReport`), so that programs can ask
what a person reads.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import codegen
from ir import Node, Span, field, record
from jit.executor import Compiled, Refusal
from jit.function import ScriptFunction
from jit.reasons import REASONS
from jit.stats import Stats, compiled_function, stats

_WIDTH = 60  # of the column of source


@record(frozen=False)
class LineReport:
    """One source line, and where its operations run: `places` in order. Without places the line
    needs no work.
    """

    file: str
    line: int
    text: str
    places: list[codegen.Place] = field(default_factory=list)

    @property
    def tier(self) -> str:
        """'native', 'called back', 'partly called back', or '' for a line without work of its
        own.
        """
        called = sum(place.tier == "callback" for place in self.places)
        if not called:
            return "native" if self.places else ""
        return "called back" if called == len(self.places) else "partly called back"

    @property
    def details(self) -> list[str]:
        """The operations by place: `kernel 0 (exp, mul)`, `called back: mm (not native)`."""
        found: dict[str, dict[str, None]] = {}
        for place in self.places:
            found.setdefault(_where(place), {}).setdefault(place.node.name.partition("::")[2])
        return [f"{where} ({', '.join(names)})" for where, names in found.items()]

    def __str__(self) -> str:
        note = "; ".join(self.details)
        return f"{self.line:>5} | {self.text:<{_WIDTH}} {note}".rstrip()


def _where(place: codegen.Place) -> str:
    match place.tier:
        case "kernel" if place.kernels:
            return "kernel " + ", ".join(map(str, place.kernels))
        case "kernel":
            return "folded"
        case "callback":
            return f"called back, {place.reason}"
        case "part":
            return f"compiled apart, part {place.part}"
        case "control":
            return "native control flow"
    return place.tier


@record
class PlanReport:
    """One plan: its guards, its kernels as loop nests with their schedules, and the lines that it
    runs.
    """

    guards: Sequence[str]
    hits: int
    seconds: float
    is_cached: bool
    is_retired: bool
    lines: Sequence[LineReport]
    kernels: Sequence[str]
    parts: Sequence[Explanation] = ()
    """What had to wait for the types of tensors, and was compiled apart."""
    ir: str | None = None
    asm: str | None = None

    def __str__(self) -> str:
        source = "from the object cache" if self.is_cached else "compiled"
        retired = "; a plan for more sizes has taken its place" if self.is_retired else ""
        parts = [f"{self.hits} calls; {source} in {self.seconds * 1e3:.0f} ms{retired}", "  guards"]
        parts += [f"    {guard}" for guard in self.guards]
        parts += [_lines(self.lines)]
        parts += [f"  kernel {k}: {text}" for k, text in enumerate(self.kernels)]
        parts += [f"  part {k}: {_indented(str(part))}" for k, part in enumerate(self.parts)]
        parts += [text for text in (self.ir, self.asm) if text is not None]
        return "\n".join(parts)


@record
class Explanation:
    """All that is known of a compiled function; `str` gives the report. `lines` are those of the
    plan that served most calls; without a plan, the plain source.
    """

    stats: Stats
    plans: Sequence[PlanReport]
    refusals: Sequence[Refusal]
    lines: Sequence[LineReport]

    def __str__(self) -> str:
        count = self.stats
        parts = [
            f"{count.name}: {count.native} calls native, {count.interpreted} interpreted; "
            f"{count.compilations} compilations in {count.compile_seconds * 1e3:.0f} ms"
        ]
        for k, plan in enumerate(self.plans):
            parts.append(f"plan {k}: {plan}")
        if not self.plans:
            parts += ["no plan: every line is interpreted", _lines(self.lines)]
        parts += [
            f"refused: {refusal.message}\n    {REASONS[refusal.reason].message}"
            for refusal in self.refusals
        ]
        parts += [
            f"{n} x {reason}: {REASONS[reason].message}" for reason, n in count.bailouts.items()
        ]
        return "\n".join(parts)


def explain(f: Callable[..., Any], *, ir: bool = False, asm: bool = False) -> Explanation:
    """Say line by line what became native and why the rest did not, with plans, guards, loop nests
    and bailouts.

    `ir` adds the specialized graphs and the LLVM IR, `asm` the assembly. TypeError when `f` is not
    a compiled function.
    """
    function = compiled_function(f)
    chain = function.executor.chain
    plans = [_plan_report(function, c, c not in chain, ir, asm) for c in function.executor.compiled]
    best = max(plans, key=lambda p: p.hits, default=None)
    lines = best.lines if best is not None else _source_lines(function)
    return Explanation(stats(f), plans, function.refusals, lines)


def _plan_report(
    function: ScriptFunction, made: Compiled, is_retired: bool, ir: bool, asm: bool
) -> PlanReport:
    plan = made.plan
    return PlanReport(
        list(made.guards),
        plan.hits,
        made.seconds,
        plan.library.is_cached,
        is_retired,
        _placed(_source_lines(function), codegen.places(plan)),
        [f"{kernel.schedule}\n    {_indented(str(kernel.nest))}" for kernel in plan.kernels],
        [explain(part, ir=ir, asm=asm) for part in plan.parts.values()],
        f"{made.job.specialized().graph}\n{plan.llvm}" if ir else None,
        codegen.assembly(plan.llvm, codegen.host()) if asm else None,
    )


def _placed(lines: list[LineReport], found: Iterable[codegen.Place]) -> list[LineReport]:
    """The lines with the places of their nodes; lines of other functions (inlined) come after the
    function's own.
    """
    table = {(line.file, line.line): line for line in lines}
    for place in found:
        span = _span(place.node)
        if span is not None:
            key = (span.file, span.line)
            if key not in table:
                table[key] = LineReport(span.file, span.line, span.source_line())
            table[key].places.append(place)
    return list(table.values())


def _span(node: Node) -> Span | None:
    """Where a node comes from; one that a pass has made without a span, where its operands do."""
    if node.span is not None:
        return node.span
    return next(
        (v.node.span for v in node.inputs if v.node is not None and v.node.span is not None), None
    )


def _source_lines(function: ScriptFunction) -> list[LineReport]:
    """The source of the function, empty when there is none to read."""
    wrapped = getattr(function, "__wrapped__", None)
    if wrapped is None:
        return []
    try:
        lines, first = inspect.getsourcelines(wrapped)
    except (OSError, TypeError):
        return []
    file = inspect.getsourcefile(wrapped) or ""
    return [LineReport(file, first + k, text.rstrip("\n")) for k, text in enumerate(lines)]


def _lines(lines: Sequence[LineReport]) -> str:
    """Lines under a head for each file."""
    shown: list[str] = []
    file = None
    for line in lines:
        if line.file != file:
            file = line.file
            shown.append(f"  {file}")
        shown.append(f"  {line}")
    return "\n".join(shown)


def _indented(text: str) -> str:
    return text.replace("\n", "\n    ")
