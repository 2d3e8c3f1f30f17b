"""Python's meaning of the container and string operators that torch declares per element type.

One function per name serves every overload without tensor parameters; arguments come in the
schema's order, defaults filled in. TorchScript writes "to the end of the string" as -1.
"""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Callable, Mapping
from typing import Any

LONGEST = 64  # items of a list that a graph makes of values one by one


def _repeated(items: list[Any], count: int) -> list[Any]:
    """`items * count`, or any list longer than `LONGEST` in place of one that is."""
    return items * min(count, LONGEST + 1)


COMPOSING: dict[str, Callable[..., list[Any]]] = {
    "aten::add.t": lambda a, b: a + b,
    "aten::slice.t": lambda items, start, end, step: items[start:end:step],
    "aten::mul.left_t": _repeated,
    "aten::list.t": lambda items: items,
    "aten::copy.t": lambda items: items,
}
"""Operators that make a new list of the items of lists; for results of up to `LONGEST` items."""
GET_ITEM = "aten::__getitem__"


def _until(text: str, end: int) -> int:
    return len(text) + 1 + end if end < 0 else end


def _ranged(method: str) -> Callable[..., Any]:
    """A string method over [start, end)."""

    def call(text: str, part: str, start: int = 0, end: int = -1) -> Any:
        return getattr(text, method)(part, start, _until(text, end))

    return call


def _count(self: Any, item: Any, start: int = 0, end: int = -1) -> int:
    return int(
        self.count(item, start, _until(self, end)) if isinstance(self, str) else self.count(item)
    )


def _index(self: Any, item: Any, start: int = 0, end: int = -1) -> int:
    return int(
        self.index(item, start, _until(self, end)) if isinstance(self, str) else self.index(item)
    )


def _append(self: list[Any], item: Any) -> list[Any]:
    self.append(item)
    return self


def _percent_format(text: str, *values: Any) -> str:
    is_mapping = len(values) == 1 and isinstance(values[0], dict)
    return text % (values[0] if is_mapping else values)


def _set_item(self: Any, key: Any, value: Any) -> Any:
    self[key] = value
    return self


def _sort(self: list[Any], reverse: bool = False) -> None:
    self.sort(reverse=reverse)


def _concatenate(a: Any, b: Any) -> Any:
    """Sizes of a tensor are a tuple at run time; together with a list they become one."""
    return a + b if type(a) is type(b) or isinstance(a, int | float | complex | str) else [*a, *b]


def _equal(a: Any, b: Any) -> bool:
    if (
        isinstance(a, list) != isinstance(b, list)
        and isinstance(a, list | tuple)
        and isinstance(b, list | tuple)
    ):
        return list(a) == list(b)
    return bool(a == b)


def _slice(self: Any, start: int | None = None, end: int | None = None, step: int = 1) -> Any:
    return self[start:end:step]


def _round_to_zero(a: int, b: int) -> int:
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _method(name: str) -> Callable[..., Any]:
    def call(self: Any, *arguments: Any) -> Any:
        return getattr(self, name)(*arguments)

    return call


def _submodule(container: Any, key: int | str) -> Any:
    modules = container._modules
    return list(modules.values())[key] if isinstance(key, int) else modules[key]


_STR = (
    "capitalize center expandtabs isalnum isalpha isdecimal isdigit isidentifier islower isnumeric "
    "isprintable isspace istitle isupper join ljust lower lstrip partition replace rjust "
    "rpartition rsplit rstrip split splitlines strip swapcase title upper zfill"
)
_CONTAINER = "clear copy extend get insert pop popitem remove reverse setdefault update"
_RANGED = "find rfind rindex startswith endswith"

METHODS: dict[str, Callable[..., Any]] = {
    **{f"aten::{name}": _method(name) for name in (*_STR.split(), *_CONTAINER.split())},
    **{f"aten::{name}": _ranged(name) for name in _RANGED.split()},
    "aten::count": _count,
    "aten::index": _index,
    "aten::append": _append,
    "aten::_set_item": _set_item,
    "aten::Delete": operator.delitem,
    "aten::sort": _sort,
    "aten::sorted": sorted,
    "aten::slice": _slice,
    "aten::len": len,
    GET_ITEM: operator.getitem,
    "aten::select": operator.getitem,
    "aten::__contains__": operator.contains,
    "aten::keys": lambda self: list(self.keys()),
    "aten::values": lambda self: list(self.values()),
    "aten::items": lambda self: list(self.items()),
    "aten::list": list,
    "aten::dict": lambda items=(): dict(items),
    "aten::add": _concatenate,
    "aten::add_": operator.iadd,
    "aten::mul": operator.mul,
    "aten::mul_": operator.imul,
    "aten::sub": operator.sub,
    "aten::div": operator.truediv,
    "aten::floordiv": operator.floordiv,
    "aten::remainder": operator.mod,
    "aten::pow": operator.pow,
    "aten::neg": operator.neg,
    "aten::eq": _equal,
    "aten::ne": lambda a, b: not _equal(a, b),
    "aten::lt": operator.lt,
    "aten::le": operator.le,
    "aten::gt": operator.gt,
    "aten::ge": operator.ge,
    "aten::__is__": operator.is_,
    "aten::__isnot__": operator.is_not,
    "aten::__not__": operator.not_,
    "aten::__round_to_zero_floordiv": _round_to_zero,
    "aten::divmod": divmod,
    "aten::sum": sum,
    "aten::any": any,
    "aten::all": all,
    "prim::min": min,
    "prim::max": max,
    "prim::abs": abs,
    "aten::Int": int,
    "aten::Float": float,
    "aten::Bool": bool,
    "aten::Complex": complex,
    "aten::complex": complex,
    "aten::str": str,
    "aten::ord": ord,
    "aten::chr": chr,
    "aten::bin": bin,
    "aten::hex": hex,
    "aten::oct": oct,
    "aten::hash": hash,
    "aten::format": _method("format"),
    "aten::percentFormat": _percent_format,
    "aten::gcd": math.gcd,
    "aten::factorial": math.factorial,
    "aten::frexp": math.frexp,
    "aten::modf": lambda x: math.modf(x),
    "aten::ldexp": math.ldexp,
    "aten::degrees": math.degrees,
    "aten::radians": math.radians,
    "aten::mathremainder": math.remainder,
    "aten::fabs": math.fabs,
    "aten::gamma": math.gamma,
    "prim::rangelist": lambda n: list(range(n)),
    "prim::StringIndex": operator.getitem,
    "aten::_unwrap_optional": lambda value: value,
    "prim::unchecked_unwrap_optional": lambda value: value,
    "prim::unchecked_cast": lambda value: value,
    "aten::warn": lambda message, stacklevel=2: warnings.warn(message, stacklevel=stacklevel),
    "prim::ModuleContainerIndex": _submodule,
    "prim::tolist": lambda tensor: tensor.tolist(),
    "prim::EnumName": lambda member: member.name,
    "prim::EnumValue": lambda member: member.value,
    "aten::is_scripting": lambda: True,
}

# Of these, the ones that handle elements without looking at them,
STRUCTURAL = frozenset(
    (
        "aten::len",
        GET_ITEM,
        "aten::select",
        "aten::slice",
        "aten::add",
        "aten::list",
        "aten::copy",
    )
)
# and those that mean the same on symbolic sizes.
SYMBOLIC = frozenset(
    f"aten::{name}"
    for name in (
        "add",
        "sub",
        "mul",
        "floordiv",
        "remainder",
        "neg",
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "Int",
        "Bool",
        "__range_length",
        "__derive_index",
        "sum",
    )
) | {"prim::min", "prim::max"}

LISTS: Mapping[str, str] = {
    f"aten::{name}": verb
    for name, verb in {
        "len": "length",
        "__getitem__": "get",
        "_set_item": "set",
        "Delete": "delete",
        "append": "append",
        "insert": "insert",
        "pop": "pop",
        "remove": "remove",
        "extend": "extend",
        "clear": "clear",
        "reverse": "reverse",
        "sort": "sort",
        "copy": "copy",
        "list": "copy",
        "slice": "slice",
        "add": "join",
        "add_": "extend",
        "mul": "repeat",
        "eq": "equal",
        "ne": "differ",
        "index": "index",
        "count": "count",
        "__contains__": "contains",
    }.items()
}
"""What operators do to lists, for code that has them in memory of its own."""

RESIZING = ("append", "insert", "pop", "remove", "delete", "extend", "clear")
"""Of these, what changes how many elements a list has."""

PASSING_ON = ("copy", "slice", "join", "repeat", "extend")
"""Verbs after which another list has the same items."""

DICTS: Mapping[str, str] = {
    f"aten::{name}": verb
    for name, verb in {
        "__getitem__": "item",
        "get": "item or other",
        "__contains__": "contains",
        "len": "length",
        "keys": "keys",
        "values": "values",
        "items": "items",
    }.items()
}
"""What operators read of dicts."""

IDENTITY = {"aten::__is__": False, "aten::__isnot__": True}
"""Tests for the same object, and what they give for None and something that never is None."""

GIVE_OPERANDS = ("aten::type_as",)
"""Operators that may give an operand itself, though their schemas do not mark it."""
