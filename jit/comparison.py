"""`compare`: is the compiled function right, and how fast is it beside the other ways to run it?

    check (agreement.py)  ->  prepare (peers.py)  ->  interleaved rounds (measure.py)  ->  report

Nothing that disagrees with eager is ever timed; its row says how far off it is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from jit import report
from jit.agreement import Mismatch, Reference, fresh
from jit.measure import Runner, interleaved
from jit.peers import Function, Unavailable, prepare
from jit.report import SUBJECT, Comparison, Row

PEERS = ("eager", "torch.jit", "torch.compile", "numba", "numexpr", "jax")
WARM_CALLS = 3  # the first observes, the second compiles, the third is native

Against = Iterable[str | tuple[str, Function]]


def use_cores(count: int) -> None:
    """Keeps this process on `count` cores, before JAX counts them: its pool has no other limit."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])
    torch.set_num_threads(count)


def compare(
    f: Function,
    args: tuple[Any, ...] = (),
    against: Against = ("eager", "torch.jit", "torch.compile"),
    *,
    kwargs: Mapping[str, Any] | None = None,
    rounds: int = 11,
    threads: int | None = None,
    check: bool = True,
    tolerance: tuple[float, float] | None = None,
    title: str | None = None,
    json: str | Path | None = None,
    png: str | Path | None = None,
    show: bool = True,
    progress: bool = True,
) -> Comparison:
    """Checks `f` and the peers against eager, times them in interleaved rounds, prints the result.

    f          a compiled function (or any callable); eager is what it wraps, or `f` itself
    against    names of peers, or (name, function) pairs: numba, numexpr and jax need a function of
               their own, which gets NumPy or JAX arrays; any other name runs the function as it is.
               ("eager", function) replaces what `f` wraps
    threads    for torch, Numba and numexpr; the present number of torch's threads when None
    check      False times without checking
    tolerance  (rtol, atol) instead of those of `agreement.TOLERANCES`
    json, png  files to write
    """
    sources: dict[str, Function | None] = {}
    for entry in against:
        name, own = entry if isinstance(entry, tuple) else (entry, None)
        sources[name] = own
    wrapped: Function = getattr(f, "__wrapped__", f)
    eager = sources.pop("eager", None) or wrapped
    entrants = {"eager": eager, **({SUBJECT: f} if f is not eager else {}), **sources}
    task = _Task(eager, args, dict(kwargs or {}), threads or torch.get_num_threads())
    with (
        _torch_threads(task.threads),
        report.progress(len(entrants) * (rounds + 1), progress and show) as step,
    ):
        reference = task.reference(tolerance) if check else None
        rows: dict[str, Row] = {}
        runners: dict[str, Runner] = {}
        for name, own in entrants.items():
            step(name)
            rows[name], runner = _enter(name, own, task, reference)
            if runner is not None:
                runners[name] = runner
        timings = interleaved(runners, rounds, step=lambda: step("timing"))
    made = Comparison(
        title or str(getattr(eager, "__name__", type(eager).__name__)),
        reference.name if reference else "not checked",
        task.threads,
        rounds,
        tuple(replace(row, timing=timings.get(name)) for name, row in rows.items()),
    )
    if show:
        report.show(made)
    if json is not None:
        report.write(json, made.to_json())
    if png is not None:
        report.save_png([made], png)
    return made


@dataclass(frozen=True, slots=True)
class _Task:
    """What every entrant has to compute."""

    eager: Function
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    threads: int

    def reference(self, tolerance: tuple[float, float] | None) -> Reference:
        """What results are compared with."""
        return Reference.of(self.eager, self.args, self.kwargs, tolerance)

    def entrant(self, name: str, own: Function | None) -> _Entrant:
        """Prepares and warms a peer, with arguments of its own, which it may write to."""
        args, kwargs = fresh((self.args, self.kwargs))
        start = time.perf_counter()
        runner, note = prepare(name, own, self.eager, args, kwargs, self.threads)
        seconds = time.perf_counter() - start
        for _ in range(WARM_CALLS):
            args, kwargs = fresh((runner.args, dict(runner.kwargs)))
            start = time.perf_counter()
            result = runner.call(*args, **kwargs)
            seconds += time.perf_counter() - start
        return _Entrant(runner, result, Row(name, ready_ms=seconds * 1e3, note=note))


@dataclass(frozen=True, slots=True)
class _Entrant:
    """A warm peer, the result of its last call, and its row so far."""

    runner: Runner
    result: Any
    row: Row


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _enter(
    name: str, own: Function | None, task: _Task, reference: Reference | None
) -> tuple[Row, Runner | None]:
    """Prepares, warms and checks one entrant; the runner only if it may be timed."""
    try:
        entrant = task.entrant(name, own)
        error = reference.error(entrant.result) if reference else None
    except (Unavailable, Mismatch) as refusal:
        return Row(name, note=str(refusal)), None
    except Exception as failure:
        if name in ("eager", SUBJECT):
            raise
        # A peer may fail in any way; how it did is what its row says.
        return Row(name, note=f"failed: {type(failure).__name__}: {_first_line(failure)}"), None
    row = replace(entrant.row, error=error)
    if reference and error and not reference.accepts(error):
        return replace(row, note=f"{row.note} disagrees with eager".strip()), None
    return row, entrant.runner


def _first_line(failure: Exception) -> str:
    lines = [line.strip() for line in str(failure).splitlines() if line.strip()]
    return lines[0][:100] if lines else ""
