"""A plan as the cache keeps it: what another process needs to link it again without lowering it.

    Record ── pickle ──► bytes in the object cache       objects by the names that code uses;
    live objects (holders of weights, captured values)   by their position in a list of the caller's

Code refers to Python objects by name. Those that live in the process (a module's dict, a captured
function) are `live`: the caller, who found the record by a key that says where such objects come
from, lists them in the same order each time. The others must be what any process has or can make:
plain data, records of such, classes and functions that a module holds, and functions that run a
graph. Anything else has no record.
"""

from __future__ import annotations

import enum
import io
import pickle
import sys
from collections.abc import Sequence
from types import BuiltinFunctionType, FunctionType
from typing import Any

from ir import Block, Graph, Interpreter, Node, Op, Value, is_record, lookup, record

_BY_NAME = (type, FunctionType, BuiltinFunctionType, enum.Enum)
_DATA = (bool, int, float, str, bytes, complex, type(None))  # their identity does not count
_TORCH = ("dtype", "device", "layout", "memory_format", "Size")


class Unstorable(ValueError):
    """An object that another process could not find again."""


class Stale(ValueError):
    """A record that does not fit this process."""


@record
class Called:
    """In place of a function that runs a graph."""

    graph: Graph


@record
class Record:
    """What a plan was linked from."""

    parts: tuple[str, ...]
    """Names of its objects in the object cache."""
    exports: tuple[str, ...]
    imports: tuple[str, ...]
    objects: dict[str, Any]
    """The Python objects that code refers to, by name."""
    kernels: int
    guards: tuple[str, ...]
    """What a call must bring, as readable text."""

    def dump(self, live: Sequence[object]) -> bytes:
        """The record as bytes. Raises Unstorable."""
        out = io.BytesIO()
        fields = (self.parts, self.exports, self.imports, self.objects, self.kernels, self.guards)
        try:
            _Pickler(out, live).dump(fields)
        except (pickle.PicklingError, AttributeError, TypeError, RecursionError) as error:
            raise Unstorable(str(error)) from error
        return out.getvalue()

    @staticmethod
    def load(data: bytes, live: Sequence[object]) -> Record:
        """The record of bytes that `dump` made. Raises Stale."""
        try:
            parts, exports, imports, objects, kernels, guards = _Unpickler(data, live).load()
        except (
            pickle.UnpicklingError,
            AttributeError,
            ImportError,
            IndexError,
            ValueError,
        ) as error:
            raise Stale(str(error)) from error
        found = {name: _revived(value) for name, value in objects.items()}
        return Record(parts, exports, imports, found, kernels, guards)


def _revived(value: Any) -> Any:
    """An object as code refers to it."""
    if isinstance(value, Called):
        return Interpreter(value.graph).function
    return sys.intern(value) if type(value) is str else value


class _Pickler(pickle.Pickler):
    """Writes live objects as their positions."""

    def __init__(self, file: io.BytesIO, live: Sequence[object]) -> None:
        super().__init__(file, protocol=5)
        self._positions = {id(o): k for k, o in enumerate(live) if not isinstance(o, _DATA)}

    def persistent_id(self, obj: object) -> int | None:
        return self._positions.get(id(obj))

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, Op):
            return _named_op(obj)
        is_torch = type(obj).__module__ == "torch" and type(obj).__name__ in _TORCH
        if is_torch or isinstance(obj, (*_BY_NAME, Graph, Block, Node, Value)) or is_record(obj):
            return NotImplemented
        raise Unstorable(f"a {type(obj).__qualname__}")


def _named_op(op: Op) -> tuple[Any, ...]:
    try:
        found = lookup(op.qualified)
    except KeyError:
        found = None
    if found is not op:
        raise Unstorable(f"the operator {op.qualified}")
    return lookup, (op.qualified,)


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes, live: Sequence[object]) -> None:
        super().__init__(io.BytesIO(data))
        self._live = live

    def persistent_load(self, position: int) -> object:
        return self._live[position]
