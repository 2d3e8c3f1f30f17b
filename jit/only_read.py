"""Lists and dicts that are as good as their items, since nobody changes them or hands them on."""

from __future__ import annotations

from ir import ANY, DictType, Effect, ListType, OptionalType, TupleType, Type, UnionType, Value

_HOLDERS = (
    "prim::Return",
    "prim::TupleConstruct",
    "prim::ListConstruct",
    "prim::DictConstruct",
    "prim::CallFunction",
    "prim::PythonOp",
)


def is_only_read(value: Value) -> bool:
    """Whether nobody changes a list or dict, keeps it, or does so to one that it holds."""
    match value.type:
        case ListType(element=item) | DictType(value=item):
            pass
        case item:
            pass
    taken = [v for n, _ in value.uses for v in n.outputs if holds_list(item)]
    return all(is_only_read(v) for v in taken if holds_list(v.type)) and all(
        (user.op.is_pure or user.op.effect is Effect.RANDOM)
        and not user.blocks
        and user.name not in _HOLDERS
        for user, _ in value.uses
    )


def holds_list(type_: Type) -> bool:
    """Whether a value may be a list or dict, or a tuple that holds one."""
    match type_:
        case ListType() | DictType():
            return True
        case OptionalType(element=element):
            return holds_list(element)
        case TupleType(elements=types) | UnionType(members=types):
            return any(map(holds_list, types))
    return type_ == ANY
