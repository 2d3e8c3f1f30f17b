"""Plans of earlier processes, found by what they were made from, before anything is compiled.

    job ─► key ─► Record in the object cache ─► linked plan

A key has every text that decides what a plan does: our own sources, torch and LLVM by version and
the machine (`codegen.environment`), the graph, the kind and sizes of the call, what is captured. A
job has none when something of it has no stable text: a constant with a state, a tensor that the
plan itself holds. What is found is linked and installed like any other plan, and its guards tell
whether a call fits. The counters of the object cache say how often plans were `remembered`, and by
name why others were not: `unstable` (no key), `unstorable` (no record), `stale` (a record that this
process cannot use).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import CellType
from typing import Any

import torch

import codegen
from codegen import ConstParam, DictParam, Param, SequenceParam
from ir import Facts, Sym, Unstable, canonical, stable
from jit.call import Default, Source
from jit.captures import tensor_constants
from jit.job import Job

_DATA = (bool, int, float, complex, str, bytes, type(None))
_TORCH_DATA = (torch.dtype, torch.device, torch.layout, torch.memory_format, torch.Size)


def find(job: Job) -> tuple[codegen.Plan, Sequence[str]] | None:
    """The plan of a job that was done before and its guards as text; None when there is none. Names
    the job's key.
    """
    objects = codegen.default_cache()
    if objects is None:
        return None
    try:
        job.key = codegen.fingerprint(("plan", *_parts(job)))
        data = objects.get(job.key)
        record = None if data is None else codegen.Record.load(data, live_objects(job))
    except Unstable:
        objects.counters["unstable"] += 1
        return None
    except codegen.Stale:
        objects.counters["stale"] += 1
        return None
    plan = None if record is None else codegen.relink_plan(record, job.emit)
    if record is None or plan is None:
        return None
    objects.counters["remembered"] += 1
    return plan, record.guards


def make(job: Job) -> tuple[codegen.Plan, Sequence[str]]:
    """A new plan and its guards as text, remembered for later processes when the job has a key.
    Raises what `codegen.emit` does.
    """
    plan, objects = job.compile(), codegen.default_cache()
    lines = job.guard_lines()
    if objects is not None and job.key is not None:
        try:
            objects.put(job.key, plan.to_record(lines).dump(live_objects(job)))
        except codegen.Unstorable:
            objects.counters["unstorable"] += 1
    return plan, lines


def live_objects(job: Job) -> list[object]:
    """The objects of this process that a plan refers to, in an order that the job decides."""
    live: list[object] = [extra.holder for extra, _ in job.extras]
    for captured in job.guards:
        live += [captured.holder, *_identities(captured.param)]
    live += [v for value in job.given.values for v in _constants(value)]
    live += [s.value for s in job.sources if isinstance(s, Default)]
    return live


def _identities(param: Param) -> Iterator[object]:
    match param:
        case ConstParam(value, True):
            yield value
        case SequenceParam(items):
            for item in items:
                yield from _identities(item)
        case DictParam(pairs):
            for _, item in pairs:
                yield from _identities(item)


def _constants(value: Any) -> Iterator[object]:
    """What of an argument can be a constant of the plan."""
    if type(value) in (list, tuple):
        for item in value:
            yield from _constants(item)
    elif type(value) is dict:
        yield from _constants(tuple(value.values()))
    elif not isinstance(value, torch.Tensor):
        yield value


# the key --------------------------------------------------------------------------------------
def _parts(job: Job) -> Iterator[str]:
    yield codegen.environment()
    yield canonical(job.graph, set(tensor_constants(job.graph)))
    yield ", ".join(map(_source, job.sources))
    given = job.given
    yield repr((given.names, [role.name for role in given.roles], sorted(given.held)))
    yield repr((tuple(job.keywords), job.has_grad))
    yield _text(job.kind)
    yield ", ".join(_dim(d) for d in job.dims(Facts()))
    for extra, _ in job.extras:
        if extra.is_held:
            raise Unstable("a tensor that the plan holds")
        yield f"{_holder(extra.holder)} {extra.key}"
    for captured in job.guards:
        yield f"{_holder(captured.holder)} {captured.key} {_param(captured.param)}"
    numbers: dict[int, int] = {}  # which of them are one object
    things = (o for o in live_objects(job) if type(o) not in _DATA)
    yield repr([numbers.setdefault(id(o), len(numbers)) for o in things])


def _source(source: Source) -> str:
    if isinstance(source, Default):
        return f"{source.name}={_text(source.value)}"
    return repr(source)


def _dim(dim: int | Sym) -> str:
    return str(dim) if isinstance(dim, int) else f"{dim}~{dim.hint}"


def _holder(holder: object) -> str:
    """How code reads from a holder."""
    return "dict" if type(holder) is dict else "cell" if type(holder) is CellType else "object"


def _param(param: Param) -> str:
    match param:
        case ConstParam(_, True):
            return "this object"
        case ConstParam(value):
            return _text(value)
        case SequenceParam(items, is_list):
            return f"{'list' if is_list else 'tuple'}({', '.join(map(_param, items))})"
        case DictParam(pairs, is_ordered):
            entries = ", ".join(f"{_text(key)}: {_param(item)}" for key, item in pairs)
            return f"{'ordered ' if is_ordered else ''}dict({entries})"
    return str(param)


def _text(value: Any) -> str:
    if isinstance(value, _TORCH_DATA):
        return repr(value)
    if type(value) is tuple:
        return f"({', '.join(map(_text, value))})"
    return stable(value)
