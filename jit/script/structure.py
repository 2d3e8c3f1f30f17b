"""The structure of a module: all that compiling its methods can look at, apart from which objects
it is made of.

    structure(layers[0]).shape == structure(layers[1]).shape     what compiles for one, compiles for
                                                                 the other, with objects exchanged

The shape has classes, names, plain attributes by value, dtypes, sizes and flags of tensors, and
where one object is held in two places. `parts` are the modules, tensors, containers and plain
objects (such as a configuration) met, in order. What cannot be told apart from outside, or may lead
back to a part by another way (hooks, bound methods, objects that hold modules), makes a shape that
equals none other.
"""

from __future__ import annotations

import enum
import types
from collections import OrderedDict
from collections.abc import Callable, Container, Hashable, Iterable, Mapping
from typing import Any

import torch

from ir import field, record
from jit.script.compiled import CompiledMethod
from jit.script.state import COMPILED_HOOKS, DEPENDENTS

Module = torch.nn.Module
_PLAIN = (
    bool, int, float, complex, str, bytes, type(None), type(Ellipsis), torch.dtype, torch.device,
    torch.layout, torch.memory_format, torch.Size, range,
)  # fmt: skip
_NAMED = (type, types.BuiltinFunctionType, types.ModuleType, types.CodeType)
_LEAVES = (*_PLAIN, *_NAMED, enum.Enum)
_HOOKS = tuple(name for name in vars(Module()) if name.endswith(("_hooks", "_hooks_with_kwargs")))
_REGISTERED = ("_parameters", "_buffers", "_modules")
_KEPT = (COMPILED_HOOKS, DEPENDENTS, *_HOOKS, *_REGISTERED)
_CONTAINERS = (list, tuple, dict, OrderedDict, set, frozenset)
_LIMIT = 2000  # objects looked at to find that one leads to no module


@record
class Structure:
    """The shape of a module, and what has it; one that `is_unique` has a part whose shape is only
    that it is this object.
    """

    shape: Hashable
    parts: tuple[Any, ...]
    is_unique: bool


Marks = Callable[[Any], Hashable]


def structure(module: Module, marks: Marks) -> Structure:
    """The structure of a module; `marks` gives what else is known of a part."""
    walk = _Walk(marks)
    shape = walk.value(module)
    return Structure(shape, tuple(walk.parts), walk.is_unique)


@record(frozen=False)
class _Walk:
    marks: Marks
    parts: list[Any] = field(default_factory=list)
    numbers: dict[int, int] = field(default_factory=dict)
    is_unique: bool = False

    def unique(self, value: Any) -> Hashable:
        """The shape of what equals nothing else."""
        self.is_unique = True
        return _Identity(value)

    def value(self, value: Any) -> Hashable:
        """The shape of an attribute."""
        cls = type(value)
        if cls in _PLAIN:
            return cls, repr(value) if cls in (float, complex) else value
        if is_part(value) and (not is_plain_object(value) or is_inert(value)):
            return self.part(value)
        return ("same", _Identity(value)) if is_inert(value) else self.unique(value)

    def part(self, value: Any) -> Hashable:
        if id(value) in self.numbers:
            return "again", self.numbers[id(value)]
        self.numbers[id(value)] = len(self.parts)
        self.parts.append(value)
        return type(value), self.marks(value), self.content(value)

    def content(self, value: Any) -> Hashable:
        match value:
            case torch.Tensor():
                is_plain = value.layout is torch.strided and not value.is_nested
                return _tensor(value) if is_plain else self.unique(value)
            case Module():
                return self.module(value)
            case dict() | OrderedDict():
                return self.items(value)
            case set() | frozenset():
                is_plain = all(type(v) in _PLAIN for v in value)
                return frozenset(value) if is_plain else self.unique(value)
            case list() | tuple():
                return tuple(map(self.value, value))
        return self.items(vars(value))

    def module(self, module: Module) -> Hashable:
        own = vars(module)
        if not _is_ordinary(module, own):
            return self.unique(module)
        return (
            DEPENDENTS in own,
            tuple(self.items(own[name]) for name in _REGISTERED),
            self.items({k: v for k, v in own.items() if not (k in _KEPT or _is_made(module, k))}),
        )

    def items(self, mapping: Mapping[Any, Any]) -> Hashable:
        return tuple((self.value(k), self.value(v)) for k, v in mapping.items())


def _is_made(module: Module, name: str) -> bool:
    """Whether an attribute is but the compiled form of a method of the class."""
    method = vars(type(module)).get(name)
    return isinstance(method, CompiledMethod) and method.is_in_force(module)


class _Identity:
    """An object that equals itself only; it stays alive, as its identity is its name."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def _is_ordinary(module: Module, own: Mapping[str, Any]) -> bool:
    """Whether attributes are what the dict says, and calls are those of forward."""
    if any(own.get(name) for name in _HOOKS):
        return False
    cls = type(module)
    return (
        cls.__getattr__ is Module.__getattr__
        and cls.__getattribute__ is object.__getattribute__
        and cls.__call__ is Module.__call__
    )


def _tensor(tensor: torch.Tensor) -> Hashable:
    facts = (tensor.dtype, tensor.device, tensor.requires_grad, tensor.is_leaf)
    return *facts, tuple(tensor.shape), tensor.stride()


def is_part(value: Any) -> bool:
    """Whether an object may stand for another one in a method of a module that is alike."""
    is_held = isinstance(value, Module | torch.Tensor) or type(value) in _CONTAINERS
    return is_held or is_plain_object(value)


def is_plain_object(value: Any) -> bool:
    """Whether an object is its class and what its dict says."""
    cls: Any = type(value)
    if cls.__new__ is not object.__new__ or isinstance(value, _LEAVES):
        return False
    return type(getattr(value, "__dict__", None)) is dict and not _has_slots(cls)


def is_inert(value: Any) -> bool:
    """Whether no way leads from an object to a module or tensor: then it means the same for
    whoever holds it.
    """
    return reach(value) is not None


def reach(value: Any) -> list[Any] | None:
    """All objects, but for plain ones, that an inert object leads to, itself among them; None of
    one that is not inert.
    """
    pending, seen = [value], dict[int, Any]()
    while pending:
        found = pending.pop()
        if id(found) in seen or isinstance(found, _LEAVES):
            continue
        seen[id(found)] = found
        inside = _inside(found)
        if inside is None or len(seen) > _LIMIT:
            return None
        pending += inside
    return list(seen.values())


def _inside(value: Any) -> Iterable[Any] | None:
    """What an object holds; None when that cannot be told, or is for one module only."""
    match value:
        case Module() | torch.Tensor() | types.MethodType():
            return None
        case types.FunctionType():
            cells = [c.cell_contents for c in value.__closure__ or () if _is_filled(c)]
            return [*cells, *(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
        case dict():
            return [*value.keys(), *value.values()]
        case list() | tuple() | set() | frozenset():
            return value
    own = getattr(value, "__dict__", None)
    return list(own.values()) if type(own) is dict and not _has_slots(type(value)) else None


def _has_slots(cls: type) -> bool:
    return any("__slots__" in vars(c) for c in cls.__mro__)


def _is_filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def class_attribute(cls: type, name: str, default: Any = None) -> Any:
    """What a class or one of its bases has under a name, as it is."""
    for base in cls.__mro__:
        if name in base.__dict__:
            return base.__dict__[name]
    return default


def is_own(obj: Any, name: str, value: Any) -> bool:
    """Whether an attribute that was read is a matter of an object's structure: its own, or one of
    its class that leads nowhere.
    """
    if not isinstance(obj, Module):
        is_method = isinstance(value, types.MethodType) and value.__self__ is obj
        return is_inert(obj if is_method else value)
    places: tuple[Container[Any], ...] = (vars(obj), obj._parameters, obj._buffers, obj._modules)
    if any(name in place for place in places):
        return True
    if isinstance(value, types.MethodType):
        return value.__self__ is obj or value.__self__ is type(obj)
    of_class = class_attribute(type(obj), name, _Identity)
    is_static = isinstance(of_class, staticmethod) and of_class.__func__ is value
    return (of_class is value or is_static) and is_inert(value)
