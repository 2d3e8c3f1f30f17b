"""Runs a function once and records what torch is asked to do.

    user code ─ F.softmax(x, -1) ─► TorchFunctionMode ─► torch's C++ ─► TorchDispatchMode ─► kernels
                x.size(0), x[1:]     sizes, devices,      (autograd      the node:
                bool(x), len(x)      looks at values       excluded)     aten::softmax.int

The dispatch mode is the one that records: it knows the exact overload and its arguments. Because
autograd's keys are excluded, torch does not take composite operators apart before they arrive
there: `linear` stays `linear`. The function mode complements it with what never reaches the
dispatcher: sizes become `TracedInt`s, `x.device` becomes a value, and where Python looks at a
tensor the user is warned. Functions that torch itself writes in Python are run with the mode on, so
that sizes which they read are followed, too.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from types import FunctionType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from ir import ANY, DEVICE, NONE, Graph, Interpreter, ListType, Value, lookup, record
from jit.trace.active import ACTIVE, is_tracing
from jit.trace.frames import is_iterating, user_span
from jit.trace.recorder import Recorder
from jit.trace.sizes import plain, traced
from jit.trace.state import ModuleState, module_of
from jit.trace.structure import Structure, flatten
from jit.trace.subscripts import read_item, write_item


@record
class TracedGraph:
    """A recorded run. The graph takes the tensors of the inputs and returns one tensor or a tuple
    of the outputs' leaves.
    """

    graph: Graph
    in_structure: Structure
    out_structure: Structure
    warnings: list[str]
    results: Mapping[Value, torch.Tensor]  # of the traced run, as far as they were asked for


Arguments = tuple[tuple[Any, ...], dict[str, Any]]
Spelling = Callable[[tuple[Any, ...], dict[str, Any]], Arguments]
_aten: Any = torch.ops.aten


def trace_graph(
    fn: Callable[..., Any],
    example_inputs: Sequence[Any],
    example_kwargs: Mapping[str, Any] | None = None,
    *,
    normal: Spelling = lambda args, kwargs: (args, kwargs),
    strict: bool = True,
    is_quiet: bool = False,
    keeps: Callable[[Value], bool] | None = None,
) -> TracedGraph:
    """Record `fn(*example_inputs, **example_kwargs)`.

    `normal` spells a call's arguments in the one way that makes the graph's parameters; the
    function is called as given. Inputs and outputs may be nested in lists, tuples, dicts,
    dataclasses and what torch's pytrees know; whatever is not a tensor in the inputs becomes a
    constant. `strict` is accepted for `torch.jit.trace`'s callers: mutable containers are built
    anew at each call here, so there is nothing to forbid. With `is_quiet` no
    warnings are shown; with `keeps`, the values of the run that it accepts are kept.
    """
    recorder = Recorder(_name(fn), ModuleState(module_of(fn)), is_quiet=is_quiet, keeps=keeps)
    given = (tuple(example_inputs), dict(example_kwargs or {}))
    arguments = normal(*given)
    leaves, in_structure = flatten(arguments)
    for leaf, name in zip(leaves, _input_names(fn, arguments), strict=True):
        recorder.add_input(leaf, name)
    with _recording(recorder), torch._C._AutoDispatchBelowAutograd():
        with _Functions(recorder), _Operators(recorder):
            result = fn(*given[0], **given[1])
        out_leaves, out_structure = flatten(result)
        _check_constants(out_structure)
        recorder.finish(out_leaves)
    return TracedGraph(
        recorder.graph, in_structure, out_structure, recorder.warnings, recorder.results
    )


_DATA = (
    *(bool, int, float, complex, str, bytes, type, range, enum.Enum, type(None)),
    *(torch.dtype, torch.device, torch.layout, torch.memory_format),
)


def _check_constants(structure: Structure) -> None:
    """TypeError for results that may hold tensors which the graph does not return."""
    for constant in structure.constants():
        if not isinstance(constant, _DATA):
            raise TypeError(
                f"a trace cannot return a {type(constant).__name__}: return tensors in tuples, "
                "lists, dicts, dataclasses or named tuples, or register the class with "
                "torch.utils._pytree.register_pytree_node"
            )


@cache
def _tell_torch() -> None:
    """Let `torch.jit.is_tracing()`, by which libraries choose code that looks at no values, be True
    in our traces, too; other threads are not concerned.
    """
    asked: Callable[[], bool] = torch._C._is_tracing
    torch._C._is_tracing = lambda: is_tracing() or asked()


@contextmanager
def _recording(recorder: Recorder) -> Iterator[None]:
    _tell_torch()
    if ACTIVE.recorder is not None:
        raise RuntimeError("a trace cannot be started inside another one")
    ACTIVE.recorder = recorder
    try:
        yield
    finally:
        ACTIVE.recorder = None


def _name(fn: Callable[..., Any]) -> str:
    return str(getattr(fn, "__name__", type(fn).__name__)).replace("<lambda>", "function")


def _input_names(fn: Callable[..., Any], arguments: Arguments) -> Iterator[str]:
    """A name for each tensor of the inputs: the parameter's, numbered where it holds several."""
    target = getattr(fn, "forward", fn)
    code = getattr(getattr(target, "__func__", target), "__code__", None)
    names = list(code.co_varnames[: code.co_argcount]) if code else []
    names = names[1:] if hasattr(target, "__self__") else names
    args, kwargs = arguments
    names += [f"arg{n}" for n in range(len(names), len(args))]
    for name, argument in [*zip(names, args, strict=False), *kwargs.items()]:
        leaves, structure = flatten(argument)
        yield from (name if structure.parts == () else f"{name}_{n}" for n in range(len(leaves)))


def call_graph(graph: Graph, arguments: Sequence[Any]) -> Any:
    """Call a scripted function's graph from inside a trace: recorded as one call, its control flow
    kept.

    To be called by a compiled function when `is_tracing()`; the result is the graph's.
    """
    recorder = ACTIVE.recorder
    assert recorder is not None
    recorder.builder.span = user_span()
    inputs = [recorder.read(a) for a in arguments]
    types = [value.type for value in graph.returns]
    node = recorder.builder.node(
        "prim::CallFunction", inputs, types, {"graph": graph, "name": graph.name}
    )
    with recorder.paused():
        result = Interpreter(graph).run(*map(plain, arguments))
    if len(types) == 1:
        return _followed(recorder, node.output, result)
    parts = zip(node.outputs, result, strict=True)
    return tuple(_followed(recorder, value, part) for value, part in parts)


def _followed(recorder: Recorder, value: Value, result: Any) -> Any:
    """A result of a scripted function, as an object that the trace follows: tensors stand for their
    values, numbers become traced ones, containers hold such objects.
    """
    match result:
        case torch.Tensor():
            recorder.define(result, value)
            return result
        case tuple():
            values = recorder.builder.unpack(value)
        case list():
            kind = value.type.element if isinstance(value.type, ListType) else ANY
            values = recorder.builder.node(
                "prim::ListUnpack", [value], [kind] * len(result)
            ).outputs
        case dict():
            get = recorder.builder.call
            values = [get("aten::__getitem__", [value, recorder.read(key)]) for key in result]
            parts = zip(result, values, result.values(), strict=True)
            return {key: _followed(recorder, v, part) for key, v, part in parts}
        case bool() | str() | None if value.type != NONE:
            recorder.freeze(f"a scripted function gave Python {result!r}")
            return result
        case int() | float():
            return traced(recorder, value, result)
        case _:
            return result
    followed = [_followed(recorder, v, part) for v, part in zip(values, result, strict=True)]
    return type(result)(*followed) if hasattr(result, "_fields") else type(result)(followed)


# operators ----------------------------------------------------------------------------------------
class _Operators(TorchDispatchMode):
    """Records each operator that reaches the dispatcher."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.recorder = recorder

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Torch would import its compiler to keep it away from here: two seconds for nothing."""
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: object,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*map(plain, args), **{k: plain(v) for k, v in kwargs.items()})
        if self.recorder.is_paused:
            return result
        schema = func._schema
        if (
            schema.name in ("aten::detach", "aten::detach_")
            and self.recorder.function not in _DETACH
        ):  # C++ makes a result its own
            return self._rename(args[0], result)
        if schema.name == "aten::lift_fresh":  # torch.tensor(...): new at every call
            schema, result = _aten.clone.default._schema, args[0].clone()
        if not any("Tensor" in str(r.type) for r in schema.returns):
            if schema.returns and any(map(self.recorder.depends, args)):
                self.recorder.freeze(f"{schema.name} gave Python {result!r}")
            return result
        return self._record(schema, args, kwargs, result)

    def _rename(self, tensor: torch.Tensor, result: torch.Tensor) -> torch.Tensor:
        """Let another object stand for what a tensor stands for."""
        self.recorder.define(result, self.recorder.read(tensor))
        return result

    def _record(
        self, schema: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any
    ) -> Any:
        qualified = f"{schema.name}.{schema.overload_name}" if schema.overload_name else schema.name
        if not schema.is_mutable:
            result = _apart(result, args)
        node = self.recorder.record(
            lookup(qualified),
            [_unwrapped(a) for a in args],
            {k: _unwrapped(v) for k, v in kwargs.items()},
        )
        results = result if len(node.outputs) > 1 else (result,)
        for value, part in zip(node.outputs, results, strict=True):
            self.recorder.define_result(value, part)
        return result


def _apart(result: Any, args: Sequence[Any]) -> Any:
    """A result that is an argument itself (`x.to(x.dtype)`) gets an identity of its own: for other
    inputs it may be new.
    """
    return _aten.alias(result) if any(result is a for a in args) and result is not None else result


def _unwrapped(argument: Any) -> Any:
    """The traced number behind what C++ made of it."""
    if isinstance(argument, torch.SymInt | torch.SymFloat):
        return argument.node.number
    if isinstance(argument, list | tuple):
        return [_unwrapped(a) for a in argument]
    return argument


# functions ----------------------------------------------------------------------------------------
class _Functions(TorchFunctionMode):
    """Sees every call of torch from Python: sizes, devices, subscripts, looks at values."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder
        self._open: list[Any] = []  # torch's Python functions under way

    def __torch_function__(
        self,
        func: Any,
        types: object,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if self.recorder.is_paused:
            return func(*args, **kwargs)
        handler = _HANDLERS.get(func)
        if handler is not None and args and self.recorder.knows(args[0]):
            return handler(self.recorder, func, *args, **kwargs)
        if _is_open_book(func) and func not in self._open:
            return self._read_along(func, args, kwargs)
        if func is torch.Tensor.unbind and is_iterating() and self.recorder.depends(args[0]):
            self.recorder.freeze("Python iterates over a tensor")
        with self.recorder.calling(func, (*args, *kwargs.values())):
            return func(*args, **kwargs)

    def _read_along(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Run a Python function of torch with this mode on."""
        self._open.append(func)
        try:
            with self:
                return _without_override(func)(*args, **kwargs)
        finally:
            self._open.remove(func)


def _is_open_book(func: Any) -> bool:
    return isinstance(func, FunctionType) and func.__module__ in (
        "torch.nn.functional",
        "torch.functional",
    )


@cache
def _without_override(func: FunctionType) -> FunctionType:
    """A copy that does not hand itself over to the mode again."""
    tests = [n for n in func.__globals__ if n.startswith("has_torch_function")]
    names = {**func.__globals__, **dict.fromkeys(tests, lambda *args: False)}
    copy = FunctionType(func.__code__, names, func.__name__, func.__defaults__, func.__closure__)
    copy.__kwdefaults__ = func.__kwdefaults__
    return copy


def _size(recorder: Recorder, func: Any, tensor: torch.Tensor, dim: int | None = None) -> Any:
    if dim is None:
        return torch.Size([_size(recorder, func, tensor, d) for d in range(tensor.dim())])
    hint = tensor.size(plain(dim))
    return traced(recorder, recorder.call("aten::size", tensor, dim), hint)


def _shape(recorder: Recorder, func: Any, tensor: torch.Tensor) -> Any:
    return _size(recorder, func, tensor)


def _numel(recorder: Recorder, func: Any, tensor: torch.Tensor) -> Any:
    return traced(recorder, recorder.call("aten::numel", tensor), tensor.numel())


def _device_of(recorder: Recorder, func: Any, tensor: torch.Tensor) -> torch.device:
    device = torch.device(str(tensor.device))  # an object of its own, to be known by identity
    value = recorder.call("prim::device", tensor)
    assert value.type == DEVICE
    recorder.define(device, value)
    return device


def _subscript(recorder: Recorder, func: Any, tensor: torch.Tensor, index: Any) -> torch.Tensor:
    return read_item(tensor, index)


def _assign(recorder: Recorder, func: Any, tensor: torch.Tensor, index: Any, value: Any) -> None:
    write_item(tensor, index, value)


def _to(recorder: Recorder, func: Any, tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    """`x.to(device)` keeps the dtype, which C++ would fill in from the example."""
    with recorder.calling(func, (*args, *kwargs.values())):
        match [*args, *kwargs.items()]:
            case [torch.device() | str() as device] | [("device", device)]:
                return _aten.to.dtype_layout(tensor, device=torch.device(device))
            case [torch.Tensor() as other]:
                return _aten.to.other(tensor, other)
        return func(tensor, *args, **kwargs)


def _look(what: str) -> Callable[..., Any]:
    def look(recorder: Recorder, func: Any, tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        recorder.freeze(what)
        with recorder.paused():
            return func(tensor, *map(plain, args), **kwargs)

    return look


def _print(recorder: Recorder, func: Any, tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    """Text for people: what it says decides nothing."""
    with recorder.paused():
        return func(tensor, *args, **kwargs)


_T: Any = torch.Tensor
_DETACH = (_T.detach, _T.detach_, _T.data.__get__)
_HANDLERS: dict[Any, Callable[..., Any]] = {
    _T.size: _size,
    _T.shape.__get__: _shape,
    _T.numel: _numel,
    _T.nelement: _numel,
    torch.numel: _numel,
    _T.device.__get__: _device_of,
    _T.__getitem__: _subscript,
    _T.__setitem__: _assign,
    _T.to: _to,
    _T.__repr__: _print,
    _T.__format__: _print,
    _T.__len__: _look("Python took the length of a tensor"),
    _T.__bool__: _look("Python tested a tensor"),
    _T.__int__: _look("Python took a tensor as an int"),
    _T.__index__: _look("Python took a tensor as an int"),
    _T.__float__: _look("Python took a tensor as a float"),
    _T.__complex__: _look("Python took a tensor as a complex number"),
    _T.__contains__: _look("Python looked for a value in a tensor"),
    _T.item: _look("Python took the value of a tensor"),
    _T.tolist: _look("Python took the values of a tensor"),
    _T.numpy: _look("NumPy took the values of a tensor"),
    _T.__array__: _look("NumPy took the values of a tensor"),
}
