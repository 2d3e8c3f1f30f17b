"""Context managers of torch as script classes, of the names and fields that TorchScript knows.

with torch.no_grad():          _0 = __torch__.torch.autograd.grad_mode.no_grad.__new__(...)
    y = f(x)           ==>     _1 = (_0).__init__()
                               with _0:
                                 y = ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ir import (
    ANY,
    BOOL,
    INT,
    NONE,
    STR,
    TENSOR,
    Builder,
    ClassDef,
    ClassKind,
    Field,
    Graph,
    Method,
    Node,
    Type,
    Value,
    constant_of,
    optional,
    record,
)

Body = Callable[[Builder, Value], None]


@record
class Context:
    """One class of context managers: its fields, the parameters of `__init__` with their defaults,
    what its methods do, and which attributes of Python's object the arguments were.
    """

    fields: dict[str, Type]
    params: dict[str, tuple[Type, Any]]
    init: Callable[[Builder, Value, dict[str, Value]], None]
    enter: Body
    leave: Body
    attributes: tuple[str, ...] = ()


def _get(b: Builder, owner: Value, name: str, type_: Type) -> Value:
    return b.node("prim::GetAttr", [owner], [type_], {"name": name}).output


def _set(b: Builder, owner: Value, name: str, value: Any) -> None:
    b.node("prim::SetAttr", [owner, b.value(value)], (), {"name": name})


def _nothing(b: Builder, owner: Value) -> None:
    """What autocast does is done to the code inside."""


def _grad_mode(mode: bool | None, is_inverse: bool = False) -> Context:
    """Gradient mode `mode`, or the one that is an argument (its opposite if `is_inverse`)."""

    def init(b: Builder, owner: Value, given: dict[str, Value]) -> None:
        _set(b, owner, "prev", False)
        for name, value in given.items():
            _set(b, owner, name, value)

    def enter(b: Builder, owner: Value) -> None:
        wanted = b.const(mode) if mode is not None else _get(b, owner, "mode", BOOL)
        wanted = b.op("aten::__not__", wanted) if is_inverse else wanted
        _set(b, owner, "prev", b.op("aten::is_grad_enabled"))
        b.op("aten::set_grad_enabled", wanted)

    def leave(b: Builder, owner: Value) -> None:
        b.op("aten::set_grad_enabled", _get(b, owner, "prev", BOOL))

    given: dict[str, tuple[Type, Any]] = {} if mode is not None else {"mode": (BOOL, True)}
    fields = {"prev": BOOL, **{name: type_ for name, (type_, _) in given.items()}}
    return Context(fields, given, init, enter, leave, tuple(given))


def _init_autocast(b: Builder, owner: Value, given: dict[str, Value]) -> None:
    dtype, device = given["dtype"], given["device_type"]
    test = b.node("prim::If", [b.op("aten::__is__", dtype, None)])
    default, cast = Builder(test.add_block()), Builder(test.add_block())
    default.block.add_return(default.op("aten::get_autocast_dtype", device))
    cast.block.add_return(cast.node("prim::unchecked_cast", [dtype], [INT]).output)
    _set(b, owner, "fast_dtype", test.add_output(INT))
    _set(b, owner, "_enabled", given["enabled"])
    _set(b, owner, "device", device)


def _init_record(b: Builder, owner: Value, given: dict[str, Value]) -> None:
    _set(b, owner, "name", given["name"])


def _enter_record(b: Builder, owner: Value) -> None:
    name = _get(b, owner, "name", STR)
    _set(b, owner, "handle", b.op("profiler::_record_function_enter", name))


def _leave_record(b: Builder, owner: Value) -> None:
    b.op("profiler::_record_function_exit", _get(b, owner, "handle", TENSOR))


_CONTEXTS = {
    "no_grad": _grad_mode(False),
    "enable_grad": _grad_mode(True),
    "inference_mode": _grad_mode(None, is_inverse=True),  # its tensors are not marked
    "set_grad_enabled": _grad_mode(None),
    "autocast": Context(
        {"fast_dtype": INT, "_enabled": BOOL, "device": STR},
        {
            "device_type": (STR, None),
            "dtype": (optional(INT), None),
            "enabled": (BOOL, True),
            "cache_enabled": (optional(BOOL), None),
        },
        _init_autocast,
        _nothing,
        _nothing,
        ("device", "fast_dtype", "_enabled", "_cache_enabled"),
    ),
    "record_function": Context(
        {"name": STR, "handle": TENSOR},
        {"name": (STR, None)},
        _init_record,
        _enter_record,
        _leave_record,
        ("name",),
    ),
}


def is_context(cls: type) -> bool:
    """Whether a class of Python is one of torch's context managers that archives have."""
    return cls.__module__.startswith("torch.") and cls.__name__ in _CONTEXTS


def describe_context(cls: type, definition: ClassDef) -> None:
    """Fill in the class for one of torch's."""
    context = _CONTEXTS[cls.__name__]
    definition.kind = ClassKind.CLASS
    definition.fields = {name: Field(type_) for name, type_ in context.fields.items()}
    ignored = dict.fromkeys(("exc_type", "exc_value", "traceback"), ANY)
    types = {name: type_ for name, (type_, _) in context.params.items()}
    _add(definition, "__enter__", {}, lambda b, owner, _: context.enter(b, owner))
    _add(definition, "__exit__", ignored, lambda b, owner, _: context.leave(b, owner))
    _add(definition, "__init__", types, context.init)


def _add(
    definition: ClassDef,
    name: str,
    params: Mapping[str, Type],
    body: Callable[[Builder, Value, dict[str, Value]], None],
) -> None:
    graph = Graph(name)
    owner = graph.block.add_param(definition.type, "self")
    given = {n: graph.block.add_param(t, n) for n, t in params.items()}
    builder = Builder(graph.block)
    body(builder, owner, given)
    graph.block.add_return(owner if name == "__enter__" else builder.const(None))
    definition.methods[name] = Method(name, graph)


def make_context(node: Node, definition: ClassDef) -> None:
    """Replace a call of the class in Python, or an object of it, by a new object and its
    `__init__`.
    """
    b = Builder.before(node)
    context = _CONTEXTS[definition.name.rpartition(".")[2]]
    made = b.node("prim::CreateObject", (), [definition.type]).output
    if node.name == "prim::Constant":
        held = node.attrs["value"]
        given = [b.value(constant_of(getattr(held, name))[0]) for name in context.attributes]
    else:
        given = list(node.inputs)
        given += [b.const(default) for _, default in [*context.params.values()][len(given) :]]
    b.node("prim::CallMethod", [made, *given], [NONE], {"name": "__init__"})
    node.output.replace_all_uses_with(made)
    node.erase()
