"""Objects known while compiling whose state lives on: modules, and `self` of bound methods.

    self.weight        tensors and plain data: constants of the graph, recorded as captures, so that
    self.training      who runs the graph can read a tensor again and guard the rest
    self.count += 1    an attribute that the code changes: read and written at run time
    self.layers[i](x)  a submodule: its forward, compiled like any function; by a run-time index,
                       one of several

What is changed is known only after it was met: the first assignment to an attribute that was taken
as a constant starts the compilation again (`Restart`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType, MethodType
from typing import Any

import torch

from ir import TENSOR, ObjectType, TupleType, Type, Value, erased_type_of
from jit.script.classes import setter_of
from jit.script.compiled import CompiledMethod
from jit.script.constants import UNKNOWN, constant_of, lift, unpack
from jit.script.frame import Frame, Restart
from jit.script.known import known_value
from jit.script.merging import of_any_length
from jit.script.resolve import Capture
from jit.script.state import COMPILED_HOOKS, is_state, is_watched, state_type
from jit.script.structure import class_attribute, is_own
from jit.script.structure_guards import depend_on_parts, hooks_of
from jit.script.untyped import of_any
from jit.script.values import (
    Arguments,
    Instance,
    Items,
    Operand,
    PyObject,
    SuperOf,
)

Module = torch.nn.Module
_CONFIGURATION = (bool, int, str, list, tuple)  # types of attributes that may decide what compiles
_READ_ONLY = frozenset(("items", "keys", "values", "get", "index", "count", "copy"))


def object_value(frame: Frame, obj: Any) -> Value:
    """A live object as a constant of the graph."""
    value = frame.constant(obj)
    cls = type(obj)
    value.type = ObjectType(f"{cls.__module__}.{cls.__qualname__}", cls)
    return value


def live_object(frame: Frame, obj: Any, holder: Any, name: str) -> Value:
    """A captured container that somebody may change or that is large: the object itself, as it is
    when the code comes here.
    """
    type_ = erased_type_of(obj)
    if isinstance(type_, TupleType):
        type_ = of_any_length(type_)
    is_changed = frame.unit.calls_back or frame.resolver.is_changed(holder, name)
    read = Capture(name, holder, name, obj, is_changed).read
    value = frame.python(read, [], type_, name)
    if isinstance(obj, list | dict) and not obj:
        value.type = of_any(value.type)  # whatever others put into it
    return value


def object_attribute(frame: Frame, owner: PyObject, name: str) -> Operand:
    """An attribute of an object known while compiling."""
    found = class_attribute(type(owner.obj), name)
    if isinstance(found, property) and isinstance(found.fget, FunctionType):
        return frame.unit.services.call_function(frame, found.fget, Arguments([owner], {}))
    try:
        value = read_attribute(owner.obj, name)
    except AttributeError:
        raise frame.mismatch(f"{owner.describe()} has no attribute {name!r}") from None
    if not is_own(owner.obj, name, value):
        frame.unit.outside += 1
    if is_run_time(frame, owner.obj, name, value):
        return read_state(frame, owner.obj, name, value)
    if not (isinstance(owner.obj, Module) and is_watched(owner.obj, name)):
        frame.resolver.record(f"{owner.name}.{name}", owner.obj, name, value)
        if frame.resolver.is_live(owner.obj, name, value):
            return live_object(frame, value, owner.obj, name)
    return frame.capture(lift(frame, value, f"{owner.name}.{name}"), owner.obj, name)


def read_attribute(obj: Any, name: str) -> Any:
    """An attribute as the source has it: a method that is compiled for calls from Python stands
    for its function.
    """
    found = class_attribute(type(obj), name)
    if isinstance(found, CompiledMethod) and found.source and found.is_in_force(obj):
        return MethodType(found.source, obj)
    return getattr(obj, name)


def is_run_time(frame: Frame, obj: Any, name: str, value: Any) -> bool:
    """Whether an attribute is read when the code runs."""
    if (id(obj), name) in frame.unit.assigned:
        return True
    if not frame.unit.reads_state or (id(obj), name) in frame.unit.frozen:
        return False
    return is_state(obj, name, value)


def read_state(frame: Frame, obj: Any, name: str, value: Any) -> Value:
    """Read an attribute at run time."""
    type_ = state_type(obj, name, value)
    if type(value) in _CONFIGURATION and (id(obj), name) not in frame.unit.assigned:
        frame.reads.append((obj, name))
    result = frame.node("prim::GetAttr", [object_value(frame, obj)], [type_], name=name).output
    if isinstance(value, list | dict) and not value and type_ == erased_type_of(value):
        frame.unit.untyped.add(result)
    return result


def assign_attribute(frame: Frame, owner: PyObject, name: str, operand: Operand) -> None:
    """`owner.name = operand`, seen by everybody who holds the object."""
    found = inspect.getattr_static(type(owner.obj), name, None)
    if isinstance(found, property):
        setter = setter_of(frame, found, name)
        frame.unit.services.call_function(frame, setter, Arguments([owner, operand], {}))
        return
    if not hasattr(owner.obj, name):
        raise frame.unsupported(
            f"{name!r} is no attribute of {owner.describe()} yet; set it in __init__ first"
        )
    if not is_run_time(frame, owner.obj, name, getattr(owner.obj, name)):
        raise Restart(owner.obj, name)
    value = frame.require(operand)
    frame.node("prim::SetAttr", [object_value(frame, owner.obj), value], name=name)


# calls --------------------------------------------------------------------------------------------


def call_module(frame: Frame, module: Module, name: str, given: Arguments) -> Operand:
    """Call a module: its pre-hooks, its forward, its hooks."""
    owner = PyObject(module, name)
    if module._backward_hooks or module._backward_pre_hooks:
        raise frame.unsupported(f"{owner.describe()} has backward hooks, which need eager mode")
    before, after = hooks_of(frame, module)
    for key, hook in before.items():
        if _is_compiled_hook(module, key):
            given = _run_pre_hook(frame, hook, owner, given)
        else:
            given = _call_pre_hook(frame, hook, module, given)
    result = frame.unit.services.call(frame, _forward(frame, module, name), given)
    for key, hook in after.items():
        if not _is_compiled_hook(module, key):
            result = _call_hook(frame, hook, module, given, result)
            continue
        inputs = _pack(frame, given.args)
        changed = frame.call(lift(frame, hook, f"{name}.hook"), owner, inputs, result)
        result = result if _is_none(changed) else changed
    return result


def _is_compiled_hook(module: Module, key: int) -> bool:
    """Hooks that a script module got later run in Python, as their sources make no promises."""
    known = vars(module).get(COMPILED_HOOKS)
    return known is None or key in known


def _call_pre_hook(frame: Frame, hook: Any, module: Module, given: Arguments) -> Arguments:
    values = [frame.require(a) for a in given.args]

    def call(*args: Any) -> Any:
        changed = hook(module, args)
        return args if changed is None else changed if isinstance(changed, tuple) else (changed,)

    packed = _call_back(frame, call, module, values, TupleType(tuple(v.type for v in values)))
    return Arguments(list(unpack(frame, packed)), given.kwargs)


def _call_hook(
    frame: Frame, hook: Any, module: Module, given: Arguments, result: Operand
) -> Operand:
    values, out = [frame.require(a) for a in given.args], frame.require(result)

    def call(*args: Any) -> Any:
        changed = hook(module, args[:-1], args[-1])
        return args[-1] if changed is None else changed

    return _call_back(frame, call, module, [*values, out], out.type)


def _call_back(
    frame: Frame, call: Callable[..., Any], module: Module, values: Sequence[Value], type_: Type
) -> Value:
    attrs = {"function": call, "name": "hook", "objects": (module,)}
    return frame.node("prim::PythonOp", values, [type_], **attrs).output


def _forward(frame: Frame, module: Module, name: str) -> Operand:
    return lift(frame, read_attribute(module, "forward"), f"{name}.forward")


def _run_pre_hook(frame: Frame, hook: Any, owner: PyObject, given: Arguments) -> Arguments:
    inputs = _pack(frame, given.args)
    changed = frame.call(lift(frame, hook, f"{owner.name}.hook"), owner, inputs)
    if _is_none(changed):
        return given
    if isinstance(changed, Items):
        return Arguments(list(changed.items), given.kwargs)
    if isinstance(changed, Value) and isinstance(changed.type, TupleType):
        return Arguments(list(unpack(frame, changed)), given.kwargs)
    return Arguments([changed], given.kwargs)


def _pack(frame: Frame, operands: Sequence[Operand]) -> Operand:
    return Items(tuple(operands))


def _is_none(operand: Operand) -> bool:
    return constant_of(operand) is None


def call_listing(frame: Frame, method: MethodType, given: Arguments) -> Operand | None:
    """`parameters()`, `named_children()` and their like: what the module holds now, one by one."""
    module, name = method.__self__, method.__name__
    if not isinstance(module, Module) or given.args or given.kwargs:
        return None
    if name in ("children", "named_children", "modules", "named_modules"):
        depend_on_parts(frame, module, name)
        found = list(method())
        return Items(
            tuple(_entry(frame, f, lambda m: PyObject(m, type(m).__name__)) for f in found)
        )
    kind = name.removeprefix("named_")
    if kind not in ("parameters", "buffers"):
        return None
    paths = [path for path, _ in getattr(module, f"named_{kind}")()]
    tensors = [_tensor_at(frame, module, path) for path in paths]
    if kind == name:
        return Items(tuple(tensors))
    pairs = zip(paths, tensors, strict=True)
    return Items(tuple(Items((frame.constant(path), t)) for path, t in pairs))


def _entry(frame: Frame, found: Any, make: Callable[[Module], Operand]) -> Operand:
    if isinstance(found, tuple):
        return Items((frame.constant(found[0]), make(found[1])))
    return make(found)


def _tensor_at(frame: Frame, module: Module, path: str) -> Operand:
    prefix, _, leaf = path.rpartition(".")
    owner = module.get_submodule(prefix)
    return frame.node("prim::GetAttr", [object_value(frame, owner)], [TENSOR], name=leaf).output


def call_bound(frame: Frame, obj: Any, name: str, given: Arguments) -> Operand | None:
    """A read-only method of a container known while compiling, on constants: computed now."""
    owner = getattr(obj, "__self__", None)
    if not isinstance(owner, Mapping | list | tuple) or obj.__name__ not in _READ_ONLY:
        return None
    args = [known_value(a) for a in given.args]
    if any(a is UNKNOWN for a in args):
        return None
    if obj.__name__ == "get" and isinstance(owner, Mapping):
        frame.resolver.record_item(name, owner, args[0])
    return lift(frame, obj(*args), name)


def super_of(frame: Frame, given: Arguments) -> Operand:
    """`super()`: the object seen as one of the next class."""
    if given.args:
        cls, owner = given.args[0], given.args[1]
        start = cls.obj if isinstance(cls, PyObject) else None
    else:
        start = frame.resolver.cells["__class__"].cell_contents
        owner = frame.scope[frame.source.node.args.args[0].arg]  # type: ignore[assignment]
    if isinstance(owner, Instance) and isinstance(start, type):
        return SuperOf(owner, start)
    if not isinstance(owner, PyObject) or not isinstance(start, type):
        raise frame.unsupported("super() needs an object that is known while compiling")
    return PyObject(super(start, owner.obj), f"super({owner.name})")
