"""`stats`: the counters of a compiled function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ir import record
from jit.function import ScriptFunction
from jit.plainness import is_module
from jit.reasons import REASONS
from jit.tracing import TracedFunction


@record
class PlanStats:
    """One plan: what it demands of a call, how many calls it served, and what making it took."""

    guards: tuple[str, ...]
    hits: int
    seconds: float
    is_retired: bool
    """Whether a plan for more sizes has taken its place."""

    def __str__(self) -> str:
        retired = ", replaced" if self.is_retired else ""
        guards = "; ".join(self.guards) or "no guards"
        return f"{self.hits} calls, compiled in {self.seconds * 1e3:.0f} ms{retired}: {guards}"


@record
class Stats:
    """What happened to the calls of one function. `native` counts calls that a plan served,
    `interpreted` those that eager or the interpreter did; `bailouts` says why, by row of the table
    of reasons.
    """

    name: str
    native: int
    interpreted: int
    bailouts: Mapping[str, int]
    compilations: int
    compile_seconds: float
    plans: tuple[PlanStats, ...]
    parts: tuple[Stats, ...] = ()
    """The same for parts of the function that were compiled apart, when the types of their tensors
    were known.
    """

    def __str__(self) -> str:
        lines = [
            f"{self.name}: {self.native} calls native, {self.interpreted} interpreted; "
            f"{self.compilations} compilations in {self.compile_seconds * 1e3:.0f} ms"
        ]
        lines += [f"  plan {k}: {plan}" for k, plan in enumerate(self.plans)]
        lines += [
            f"  {count} x {reason}: {REASONS[reason].message}"
            for reason, count in self.bailouts.items()
        ]
        lines += [f"  {line}" for part in self.parts for line in str(part).splitlines()]
        return "\n".join(lines)


def stats(f: Callable[..., Any]) -> Stats:
    """The counters of a compiled function (or bound method of one); TypeError for anything else."""
    executor = compiled_function(f).executor
    plans = tuple(
        PlanStats(tuple(c.guards), c.plan.hits, c.seconds, c not in executor.chain)
        for c in executor.compiled
    )
    counts = executor.counters.snapshot()
    return Stats(
        executor.name,
        sum(plan.hits for plan in plans),
        sum(count for name, count in counts.items() if REASONS[name].kind != "event"),
        counts,
        len(plans),
        sum(plan.seconds for plan in plans),
        plans,
        tuple(stats(part) for c in executor.compiled for part in c.plan.parts.values()),
    )


def compiled_function(f: Callable[..., Any]) -> ScriptFunction:
    """The compiled function behind a callable; TypeError when there is none."""
    f = getattr(f, "forward", f) if is_module(f) else f
    found = f.compiled if isinstance(f, TracedFunction) else getattr(f, "__func__", f)
    if not isinstance(found, ScriptFunction):
        raise TypeError(
            f"{getattr(f, '__qualname__', f)!r} is not a compiled function: decorate it with @jit"
        )
    return found
