"""Names that a function captures: closure cells, globals, builtins, and attributes of what they
hold.

Every captured user object that the compiled code depends on is recorded as a `Capture`, so that
whoever runs the graph can test that the name still holds the same object. Modules, builtins and
torch's own functions are not recorded.
"""

from __future__ import annotations

import builtins
import types
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch

from ir import record

DICTS = (dict, OrderedDict)
MISSING = object()
_MANY = 64  # items of a container, above which code is not made of them
_STABLE_PACKAGES = ("torch", "math", "numpy", "builtins", "typing", "functools", "operator", "jit")


@record
class Capture:
    """`name` was read from `holder` (globals dict, closure cell, or object) under `key` and held
    `value`: a snapshot of a container, or the container itself, which may change, if `is_live`.
    """

    name: str
    holder: Any
    key: str
    value: Any
    is_live: bool = False

    def read(self) -> Any:
        """What the name holds now; a unique object when it is gone."""
        if isinstance(self.holder, dict):
            return self.holder.get(self.key, MISSING)
        if isinstance(self.holder, types.CellType):
            return self.holder.cell_contents
        return getattr(self.holder, self.key, MISSING)

    def holds(self) -> bool:
        """Whether the name still means what was compiled."""
        now = self.read()
        return now is self.value if self.is_live else same(now, self.value)


@record
class Lookup:
    """An entry of a mapping that is no dict, or of a module's own attributes, as an attribute."""

    mapping: Mapping[Any, Any] | torch.nn.Module
    key: Any

    @property
    def found(self) -> Any:
        """What the mapping has; a unique object when it has nothing."""
        return self.entries.get(self.key, MISSING)

    @property
    def entries(self) -> Mapping[Any, Any]:
        """The mapping itself."""
        return vars(self.mapping) if isinstance(self.mapping, torch.nn.Module) else self.mapping


def same(now: Any, then: Any) -> bool:
    """The same object, or equal data of the same type."""
    if now is then:
        return True
    if type(now) is not type(then):
        return False
    if isinstance(now, list | tuple):
        return len(now) == len(then) and all(map(same, now, then))
    if isinstance(now, dict):
        return list(now) == list(then) and all(same(now[k], then[k]) for k in now)
    return isinstance(now, int | float | complex | str | torch.device) and bool(now == then)


class Resolver:
    """Names of one function as Python sees them: closure, globals, builtins; `changed` are places
    of containers that compiled code changes.
    """

    def __init__(
        self,
        fn: types.FunctionType,
        captures: dict[tuple[int, str], Capture],
        changed: Collection[tuple[int, str]] = (),
    ) -> None:
        self.changed = changed
        self.globals = fn.__globals__
        self.cells = dict(zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True))
        self.captures = captures

    def lookup(self, name: str) -> Any:
        """The object that a free name holds; KeyError when there is none."""
        holder: Any
        if name in self.cells:
            holder = self.cells[name]
            value = _cell_contents(holder, name)
        elif name in self.globals:
            holder = self.globals
            value = holder[name]
        else:
            return vars(builtins)[name]
        self.record(name, holder, name, value)
        return value

    def holder(self, name: str) -> Any:
        """The cell or dict that a free name is read from."""
        return self.cells.get(name, self.globals)

    def record(self, name: str, holder: Any, key: str, value: Any) -> None:
        """Note that the compiled code depends on `holder`'s entry: for a method, which is made
        anew whenever it is read, on that of the class that defines it.
        """
        if isinstance(value, types.MethodType):
            kinds = type(value.__self__).__mro__
            kind = next((c for c in kinds if vars(c).get(key) is value.__func__), None)
            if kind is not None:
                holder, value = kind, value.__func__
            elif isinstance(value.__self__, type):
                return  # a class method, which only its class could replace
        if not is_stable(value) and not (
            isinstance(holder, types.ModuleType) and is_stable(holder)
        ):
            is_live = self.is_live(holder, key, value)
            held = value if is_live else snapshot(value)
            self.captures.setdefault((id(holder), key), Capture(name, holder, key, held, is_live))

    def is_live(self, holder: Any, key: str, value: Any) -> bool:
        """Whether code refers to a container itself, not to what it held when it was compiled: one
        that it changes, or a large one.
        """
        is_container = type(value) in (list, dict, set, frozenset, tuple)
        return is_container and (self.is_changed(holder, key) or len(value) > _MANY)

    def is_changed(self, holder: Any, key: str) -> bool:
        """Whether compiled code changes what a place holds."""
        return (id(holder), key) in self.changed

    def record_item(self, name: str, mapping: Mapping[Any, Any], key: Any) -> None:
        """Note that the compiled code depends on an entry of a mapping; those of dicts are part of
        what their names hold.
        """
        if not isinstance(mapping, dict):
            entry = Lookup(mapping, key)
            place = (id(mapping), f"[{key!r}]")
            self.captures.setdefault(
                place, Capture(f"{name}[{key!r}]", entry, "found", entry.found)
            )

    def names(self) -> dict[str, Any]:
        """Everything an annotation may refer to."""
        return {**self.globals, **dict(_filled(self.cells))}


def snapshot(value: Any) -> Any:
    """Containers are compared by what they held at the time of compilation."""
    if type(value) in (list, tuple):
        return type(value)(map(snapshot, value))
    if type(value) in DICTS:
        return type(value)((key, snapshot(item)) for key, item in value.items())
    return value


def _cell_contents(cell: types.CellType, name: str) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        raise KeyError(name) from None


def _filled(cells: dict[str, types.CellType]) -> Iterator[tuple[str, Any]]:
    for name, cell in cells.items():
        try:
            yield name, cell.cell_contents
        except ValueError:
            continue


def is_stable(value: Any) -> bool:
    """Whether an object belongs to Python or a library, so that nobody rebinds its name in
    earnest.
    """
    if isinstance(value, types.ModuleType | types.BuiltinFunctionType):
        return True
    if isinstance(value, types.FunctionType | type):
        return (value.__module__ or "").partition(".")[0] in _STABLE_PACKAGES
    return False
