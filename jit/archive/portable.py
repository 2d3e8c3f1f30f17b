"""What archives may call by name, `ops.relume.<name>(...)`: Python's own operations on plain data.

They stand where TorchScript has no operator and no substitute (`jit.archive.substitutes`) fits the
types, and only this package reads them. The list is closed: whatever the file says, a call reaches
nothing but numbers, text, bytes, containers and tensors, and no attribute that leads further.
"""

from __future__ import annotations

import collections
import string
import types
from collections.abc import Callable, Sequence
from typing import Any

import torch

from ir import STR, Builder, ListType, Node, Value, overloads
from jit.script.library import LIBRARY, library
from jit.script.library import call as call_with_names
from jit.script.library import call_method as any_method
from jit.script.library import call_named as any_named

SPELLINGS = {"float_digits": "torch.str"}
"""Functions that TorchScript has, and that its own writer spells in another way."""
_PLAIN = frozenset(
    (
        *("set_slice", "delete_slice", "get_slice", "sorted_by", "sorted_plain", "extreme_by"),
        *("tensor_getitem", "tensor_setitem", "int", "float", "round", "tuple", "as_size", "sum"),
        *("min", "max", "any", "all", "repr", "ascii", "format", "str_casefold"),
        *("str_removeprefix", "str_removesuffix", "str_isascii"),
        *("len", "str", "bool", "list", "dict", "iter", "next", "pow", "divmod", "complex", "hash"),
        *("transposed", "is_sequence", "is_mapping", "OrderedDict", "ord", "bin", "hex", "oct"),
        *("read_only", "str_maketrans", *SPELLINGS),
    )
)
_PREFIXES = ("operator_", "math_", "cmath_")

_CONTAINERS: tuple[type, ...] = (
    list, tuple, dict, set, frozenset, torch.Size, range, types.MappingProxyType,
    collections.OrderedDict, collections.defaultdict, collections.Counter, collections.deque,
)  # fmt: skip
_SCALARS: tuple[type, ...] = (int, float, complex, bool, str, bytes, bytearray, torch.dtype)
_REACHING = frozenset(("format", "format_map", "default_factory"))
_METHODS = {
    cls: frozenset(name for name in dir(cls) if name[0] != "_" and callable(getattr(cls, name)))
    - _REACHING
    for cls in (*_CONTAINERS, *_SCALARS)
}
_FIELDS: dict[type, frozenset[str]] = {
    int: frozenset(("real", "imag", "numerator", "denominator")),
    float: frozenset(("real", "imag")),
    complex: frozenset(("real", "imag")),
    range: frozenset(("start", "stop", "step")),
    slice: frozenset(("start", "stop", "step")),
    collections.deque: frozenset(("maxlen",)),
    torch.device: frozenset(("type", "index")),
    torch.dtype: frozenset(("is_floating_point", "is_complex", "is_signed", "itemsize")),
    torch.finfo: frozenset(("bits", "eps", "max", "min", "tiny", "smallest_normal", "resolution")),
    torch.iinfo: frozenset(("bits", "max", "min")),
    torch.Tensor: frozenset(
        ("shape", "dtype", "device", "layout", "ndim", "T", "mT", "H", "mH", "real", "imag", "data",
         "grad", "requires_grad", "is_leaf", "is_cuda", "is_sparse", "is_quantized", "itemsize")
    ),
}  # fmt: skip
_FIELDS[bool] = _FIELDS[int]
_FUNCTIONS = {
    "builtins": "iter reversed slice bytes bytearray range enumerate zip "
    "dict.fromkeys int.from_bytes float.fromhex bytes.fromhex",
    "itertools": "accumulate chain chain.from_iterable combinations combinations_with_replacement "
    "compress groupby islice pairwise permutations product repeat zip_longest",
    "collections": "Counter OrderedDict defaultdict deque",
    "_heapq": "heapify heappop heappush heappushpop heapreplace",
    "heapq": "nlargest nsmallest merge",
    "_bisect": "bisect_left bisect_right insort_left insort_right",
    "statistics": "mean median mode pstdev pvariance stdev variance fmean",
    "torch": "finfo iinfo promote_types result_type can_cast is_tensor",
}
PATHS = frozenset(f"{module}:{n}" for module, names in _FUNCTIONS.items() for n in names.split())
"""The functions that archives may call by path."""

DATA = frozenset((bytes, bytearray, slice, range, type, torch.finfo, torch.iinfo))
"""Classes of plain data that archives have no type for: there the values are of type Any."""
_TYPES: dict[str, type] = {
    cls.__name__: cls for cls in (int, float, complex, bool, str, bytes, list, dict, set, tuple)
}


@library
def type_named(name: str) -> type:
    """One of Python's own classes, as a value: what a defaultdict makes."""
    return _TYPES[name]


def make_data(constant: Node) -> None:
    """Let a call make what no literal stands for: bytes, slices, and classes as values."""
    value, builder = constant.attrs.get("value"), Builder.before(constant)
    match value:
        case bytes() | slice():
            given: list[Any] = (
                [list(value)] if isinstance(value, bytes) else [value.start, value.stop, value.step]
            )
            keys = builder.node("prim::ListConstruct", (), [ListType(STR)]).output
            inputs = [builder.const(f"builtins:{type(value).__name__}"), keys]
            name, inputs = "call_named", [*inputs, *map(builder.const, given)]
        case type() if value.__name__ in _TYPES and _TYPES[value.__name__] is value:
            name, inputs = "type_named", [builder.const(value.__name__)]
        case _:
            return
    attrs = {"function": LIBRARY[name], "name": name}
    made = builder.node("prim::PythonOp", inputs, [constant.output.type], attrs)
    constant.output.replace_all_uses_with(made.output)
    constant.erase()


# what a file may say, whatever the values are -----------------------------------------------------
def _call_method(owner: Any, name: str, keys: Sequence[str], *args: Any) -> Any:
    """`call_method`, on plain data."""
    if not has_method(type(owner), name):
        raise AttributeError(f"archives do not call {name!r} of {type(owner).__name__!r} objects")
    return any_method(owner, name, keys, *args)


def _getattr(owner: Any, name: str) -> Any:
    """`getattr`, of what plain data are made of."""
    if name not in _FIELDS.get(type(owner), getattr(type(owner), "_fields", ())):
        raise AttributeError(f"archives do not read {name!r} of {type(owner).__name__!r} objects")
    return getattr(owner, name)


def _call_named(path: str, keys: Sequence[str], *args: Any) -> Any:
    """`call_named`, of a closed list."""
    if path not in PATHS:
        raise AttributeError(f"archives do not call {path!r}")
    return any_named(path, keys, *args)


class _Formatter(string.Formatter):
    """`str.format` whose fields read no attributes."""

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> Any:
        if "." in field_name:
            raise ValueError(f"archives do not read attributes in a format: {field_name!r}")
        return super().get_field(field_name, args, kwargs)


@library
def format_fields(text: str, keys: Sequence[str], *args: Any) -> str:
    """`text.format(...)`; the last arguments are named by `keys`."""
    made = call_with_names(_Formatter().format, keys, text, *args)
    assert isinstance(made, str)
    return made


_RESTRICTED: dict[str, Callable[..., Any]] = {
    "call_method": _call_method, "call_named": _call_named, "getattr": _getattr,
    "type_named": type_named, "format_fields": format_fields,
}  # fmt: skip


def has_method(cls: type, name: str) -> bool:
    """Whether archives may call a method of the objects of a class."""
    if issubclass(cls, torch.Tensor):
        return name[0] != "_" and bool(overloads(f"aten::{name}"))
    return name in _METHODS.get(cls, ())


# by name ------------------------------------------------------------------------------------------
def portable_function(name: str) -> Callable[..., object] | None:
    """The function that archives call `ops.relume.<name>`, None for others."""
    if name in _RESTRICTED:
        return _RESTRICTED[name]
    return LIBRARY.get(name) if name in _PLAIN or name.startswith(_PREFIXES) else None


def is_portable(node: Node) -> bool:
    """Whether archives may hold a call of the library, as far as it is known before the run."""
    name, function = node.attrs.get("name", ""), node.attrs["function"]
    allowed = portable_function(name)
    if allowed is None or function not in (allowed, LIBRARY.get(name)):
        return False
    known = [_known(v) for v in node.inputs]
    match name:
        case "call_named":
            return known[0] in PATHS
        case "call_method":
            return isinstance(known[1], str) and any(has_method(c, known[1]) for c in _METHODS)
        case "getattr":
            return any(known[1] in names for names in _FIELDS.values())
    return True


def _known(value: Value) -> Any:
    return value.node.attrs.get("value") if value.node is not None else None
