"""Functions of the library (`jit.script.library`) that are operators of TorchScript.

The front end calls Python where types are known at run time only, or where Python's meaning is
richer; in an archive the operator stands wherever its types fit. What has no operator is for
`jit.archive.portable`.
"""

from __future__ import annotations

from collections.abc import Callable

from ir import (
    ANY,
    DTYPE,
    INT,
    STR,
    Builder,
    CompileError,
    DictType,
    ListType,
    Node,
    OptionalType,
    TypeMismatch,
    Value,
    lookup,
)
from jit.archive.portable import portable_function
from jit.script.library import LIBRARY, library_name

# Library name -> operator; the first overload that fits is taken.
_OPERATORS = {
    **{f"operator_{name}": f"aten::{name}" for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    **{f"operator_{name}": f"aten::{name}" for name in ("add", "sub", "mul", "pow", "neg")},
    **{f"operator_{name}": f"aten::__{name}__" for name in ("and", "or", "xor")},
    "operator_lshift": "aten::__lshift__",
    "operator_rshift": "aten::__rshift__",
    "operator_truediv": "aten::div",
    "operator_floordiv": "aten::floordiv",
    "operator_mod": "aten::remainder",
    "operator_contains": "aten::__contains__",
    "operator_getitem": "aten::__getitem__",
    "operator_setitem": "aten::_set_item",
    "operator_delitem": "aten::Delete",
    "operator_is": "aten::__is__",
    "operator_is_not": "aten::__isnot__",
    "operator_not": "aten::__not__",
    "len": "aten::len",
    "str": "aten::str",
    "OrderedDict": "aten::dict",
    "int": "aten::Int",
    "float": "aten::Float",
    "bool": "aten::Bool",
    "complex": "aten::Complex",
    "list": "aten::list",
    "sum": "aten::sum",
    "any": "aten::any",
    "all": "aten::all",
    "ord": "aten::ord",
    "chr": "aten::chr",
    "bin": "aten::bin",
    "hex": "aten::hex",
    "oct": "aten::oct",
    "hash": "aten::hash",
    "divmod": "aten::divmod",
    "manual_seed": "aten::manual_seed",
    "result_type": "aten::result_type",
    "warn": "aten::warn",
    **{f"math_{name}": f"aten::{name}" for name in ("log2", "gcd", "factorial", "gamma")},
    **{f"cmath_{name}": f"aten::{name}" for name in ("exp", "log", "sqrt", "sin", "cos", "tan")},
}
_OF_VALUES = frozenset(
    f"aten::{name}"
    for name in (
        "add", "sub", "mul", "pow", "neg", "div", "floordiv", "remainder", "lt", "le", "gt", "ge",
        "__and__", "__or__", "__xor__", "__lshift__", "__rshift__",
    )
)  # fmt: skip
_ENUM_OPERATORS = {"operator_eq": "aten::eq.enum", "operator_ne": "aten::ne.enum"}


def lower_call(node: Node, is_enum: Callable[[Value], bool]) -> None:
    """Replace a call of the library by operators where they mean the same."""
    name = library_name(node.attrs.get("function"))  # type: ignore[arg-type]
    if name in _SPECIAL:
        _SPECIAL[name](node)
    elif name in _ENUM_OPERATORS and all(map(is_enum, node.inputs)):
        made = Builder.before(node).node(
            lookup(_ENUM_OPERATORS[name]), node.inputs, [node.output.type]
        )
        _replace(node, made.output)
    elif name in _OPERATORS:
        _lower_to(node, _OPERATORS[name])


def operator_value(node: Node, name: str) -> Value | None:
    """What the operator of a function of the library gives in front of a call of it; None without
    an operator for these types.
    """
    if name not in _OPERATORS:
        return None
    try:
        made = Builder.before(node).op(_OPERATORS[name], *node.inputs)
    except (CompileError, TypeMismatch):
        return None
    return made if isinstance(made, Value) else None


def _lower_to(node: Node, operator: str) -> None:
    builder = Builder.before(node)
    try:
        made = builder.op(operator, *_present(builder, node, operator))
    except (CompileError, TypeMismatch):
        return
    if isinstance(made, Value) and made.type == DTYPE:
        made.type = INT  # as archives have it
    if isinstance(made, Value) and node.outputs and made.type == node.output.type:
        _replace(node, made)
    elif not isinstance(made, Value) and not any(v.uses for v in node.outputs):
        node.erase()


def _present(builder: Builder, node: Node, operator: str) -> list[Value]:
    """The operands; one that may be None is not, where Python's operator takes no None."""
    return [
        builder.op("aten::_unwrap_optional", v)
        if operator in _OF_VALUES and isinstance(v.type, OptionalType)
        else v
        for v in node.inputs
    ]


def _replace(node: Node, value: Value) -> None:
    node.output.replace_all_uses_with(value)
    node.erase()


def _as_list(node: Node) -> None:
    """Sizes, and tuples of a length that only the run knows, are lists in archives."""
    (value,) = node.inputs
    if isinstance(value.type, ListType):
        _replace(node, value)


def _as_int(node: Node) -> None:
    """Dtypes are ints in archives."""
    (value,) = node.inputs
    if value.type == INT:
        _replace(node, value)


def _to_list(node: Node) -> None:
    (tensor,) = node.inputs
    made = Builder.before(node).node("prim::tolist", [tensor], [node.output.type])
    _replace(node, made.output)


def _sorted(node: Node) -> None:
    items, reverse = node.inputs
    builder = Builder.before(node)
    known = reverse.node is not None and reverse.node.attrs.get("value") is False
    if known:
        made = builder.op("aten::sorted", items)
    else:
        made = builder.op("aten::copy", items)
        builder.op("aten::sort", made, reverse)
    _replace(node, made)


def resolve_text_method(node: Node) -> None:
    """A method of str without an operator is a function of the library of its own."""
    if node.attrs["function"] is not LIBRARY["call_method"]:
        return
    owner, method, keys, *args = node.inputs
    known = method.node.attrs.get("value") if method.node is not None else None
    name = "format_fields" if known == "format" else f"str_{known}"
    function = portable_function(name)
    is_plain = keys.node is not None and not keys.node.inputs
    if owner.type == STR and function is not None and (is_plain or known == "format"):
        node.attrs = {"function": function, "name": name}
        node.set_inputs([owner, keys, *args] if known == "format" else [owner, *args])


_EMPTY = {"prim::ListConstruct": ListType, "prim::DictConstruct": DictType}


def _set_item(node: Node) -> None:
    """An empty list or dict has the type that its new owner holds."""
    owner, _, item = node.inputs
    held = owner.type.value if isinstance(owner.type, DictType) else ANY
    made = item.node
    is_new = made is not None and not made.inputs and len(item.uses) == 1
    if made is not None and is_new and isinstance(held, _EMPTY.get(made.name, ())):
        item.type = held
    _lower_to(node, _OPERATORS["operator_setitem"])


_SPECIAL: dict[str, Callable[[Node], None]] = {
    "operator_setitem": _set_item,
    "as_size": _as_list,
    "tuple": _as_list,
    "size_items": _as_list,
    "tuple_items": _as_list,
    "dtype_of": _as_int,
    "tolist": _to_list,
    "sorted_plain": _sorted,
}
