"""The library: named Python functions that compiled code calls where no op has their meaning.

A call is a `prim::PythonOp` whose `function` is registered here and whose further arguments are all
inputs of the node, so that an archive can name it: `ops.relume.<name>(...)`. Functions of users
(ignored ones, `autograd.Function`) are not in the library; archives refuse them.
"""

from __future__ import annotations

import cmath
import collections
import collections.abc
import importlib
import math
import operator
import types
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import cache, reduce
from typing import Any, TypeVar

import torch

from ir import record

F = TypeVar("F", bound=Callable[..., Any])

LIBRARY: dict[str, Callable[..., Any]] = {}
_NAMES: dict[Any, str] = {}


def library(function: F, name: str = "") -> F:
    """Register a function under its own name, or another one that is an identifier."""
    name = name or function.__name__.strip("_")
    assert name.isidentifier() and LIBRARY.get(name, function) is function, name
    LIBRARY[name] = function
    _NAMES.setdefault(function, name)
    return function


def library_name(function: Callable[..., Any]) -> str | None:
    """The name of a registered function, None for any other."""
    try:
        return _NAMES.get(function)
    except TypeError:  # an unhashable callable
        return None


def _adopt(prefix: str, owner: Any, names: str) -> None:
    for name in names.split():
        library(getattr(owner, name), f"{prefix}_{name.strip('_')}")


def _public(module: Any) -> str:
    return " ".join(n for n, f in vars(module).items() if n[0] != "_" and callable(f))


_adopt(
    "operator",
    operator,
    """
    add sub mul truediv floordiv mod pow matmul lshift rshift and_ or_ xor neg pos invert abs
    eq ne lt le gt ge contains getitem setitem delitem is_ not_ truth
    iadd isub imul itruediv ifloordiv imod ipow imatmul ilshift irshift iand ior ixor
    """,
)
_adopt("math", math, _public(math))
_adopt("cmath", cmath, _public(cmath))

for _function in (
    len, set, frozenset, tuple, list, dict, round, id, repr, format, int, float, complex, str, bool,
    bytes, bytearray, pow, divmod, sum, min, max, any, all, sorted, ascii, iter, next, hash, slice,
    ord, chr, bin, hex, oct, type, isinstance, getattr, setattr, hasattr,
    torch.broadcast_shapes, torch.result_type,
):  # fmt: skip
    library(_function)

for _owner, _methods in (
    (str, "casefold removeprefix removesuffix isascii encode translate format_map format"),
    (set, "add discard remove clear update union intersection difference copy pop issubset "
          "issuperset isdisjoint symmetric_difference intersection_update difference_update "
          "symmetric_difference_update"),
):  # fmt: skip
    _adopt(_owner.__name__, _owner, _methods)

library(torch.Tensor.tolist, "tolist")
library(types.MappingProxyType, "read_only")
library(str.maketrans, "str_maketrans")
library(torch.manual_seed)
library(collections.OrderedDict)
library(warnings.warn)
for _context in (
    torch.no_grad,
    torch.enable_grad,
    torch.inference_mode,
    torch.set_grad_enabled,
    torch.autocast,
):
    library(_context)
library(torch.profiler.record_function)


@library
def sorted_by(items: Sequence[Any], keys: Sequence[Any], reverse: bool) -> list[Any]:
    """`sorted(items, key=...)`, the keys already computed."""
    order = sorted(range(len(items)), key=keys.__getitem__, reverse=reverse)
    return [items[i] for i in order]


@library
def sorted_plain(items: Sequence[Any], reverse: bool) -> list[Any]:
    """`sorted(items, reverse=reverse)`."""
    return sorted(items, reverse=reverse)


@library
def set_slice(
    items: Any, start: int | None, stop: int | None, step: int | None, new: Sequence[Any]
) -> None:
    """`items[start:stop:step] = new`."""
    items[slice(start, stop, step)] = new


@library
def delete_slice(items: Any, start: int | None, stop: int | None, step: int | None) -> None:
    """`del items[start:stop:step]`."""
    del items[slice(start, stop, step)]


class Walk:
    """An iterator and the item that it has come to."""

    def __init__(self, source: Iterable[Any]) -> None:
        self.rest = iter(source)
        self.item: Any = None


@library
def walk(source: Iterable[Any]) -> Walk:
    """Begin to go over `source`."""
    return Walk(source)


@library
def advance(walk: Walk) -> bool:
    """Whether there is another item, to which `walk` then comes."""
    for item in walk.rest:
        walk.item = item
        return True
    return False


@library
def current(walk: Walk) -> Any:
    """The item that `walk` has come to."""
    return walk.item


def _subscript(shape: Sequence[int], values: Sequence[Any]) -> tuple[Any, ...]:
    """The parts of a subscript: each takes three values (a slice), one, or none (an Ellipsis)."""
    rest = iter(values)
    taken = [[next(rest) for _ in range(count)] for count in shape]
    return tuple(slice(*t) if len(t) == 3 else t[0] if t else ... for t in taken)


@library
def tensor_getitem(tensor: torch.Tensor, shape: Sequence[int], *values: Any) -> torch.Tensor:
    """`tensor[...]` with the parts of the subscript in `values`, as `shape` counts them."""
    return tensor[_subscript(shape, values)]


@library
def tensor_setitem(tensor: torch.Tensor, item: Any, shape: Sequence[int], *values: Any) -> None:
    """`tensor[...] = item`."""
    tensor[_subscript(shape, values)] = item


@library
def index_width(index: torch.Tensor) -> int:
    """How many dims an index tensor takes: a mask all that it has."""
    return index.dim() if index.dtype in (torch.bool, torch.uint8) else 1


@library
def get_slice(items: Any, start: Any, stop: Any, step: Any) -> Any:
    """`items[start:stop:step]`."""
    return items[start:stop:step]


@library
def call(function: Callable[..., Any], keys: Sequence[str], *args: Any) -> Any:
    """Call `function`; the last arguments are named by `keys`."""
    count = len(args) - len(keys)
    return function(*args[:count], **dict(zip(keys, args[count:], strict=True)))


@library
def call_method(owner: Any, name: str, keys: Sequence[str], *args: Any) -> Any:
    """Call a method of `owner`."""
    return call(getattr(owner, name), keys, *args)


@cache
def object_at(path: str) -> Any:
    """The object at `module:qualified.name`."""
    module, _, name = path.partition(":")
    return reduce(getattr, name.split("."), importlib.import_module(module))


@library
def call_named(path: str, keys: Sequence[str], *args: Any) -> Any:
    """Call a public function by its path."""
    return call(object_at(path), keys, *args)


@record
class WithKeywords:
    """A function whose last arguments are given by keyword."""

    function: Callable[..., Any]
    keywords: tuple[str, ...]

    def __call__(self, *values: Any) -> Any:
        count = len(values) - len(self.keywords)
        named = dict(zip(self.keywords, values[count:], strict=True))
        return self.function(*values[:count], **named)


@library
def extreme_by(is_largest: bool, items: Sequence[Any], keys: Sequence[Any], *default: Any) -> Any:
    """`max` (or `min`) of items by keys that are already computed."""
    if not items and default:
        return default[0]
    pick = max if is_largest else min
    return items[pick(range(len(items)), key=keys.__getitem__)] if items else pick(items)


@library
def as_size(sizes: Sequence[int]) -> torch.Size:
    """Sizes as torch's tuple of them."""
    return torch.Size(sizes)


@library
def float_digits(value: float) -> str:
    """A float with 17 significant digits, which tell it from all others."""
    return f"{value:.17g}"


@library
def raise_error(error: BaseException, *cause: BaseException | None) -> None:
    """`raise error`, or `raise error from cause`."""
    if cause:
        raise error from cause[0]
    raise error


@library
def is_sequence(subject: Any) -> bool:
    """Whether a sequence pattern may match."""
    return isinstance(subject, collections.abc.Sequence) and not isinstance(
        subject, str | bytes | bytearray
    )


@library
def is_mapping(subject: Any) -> bool:
    """Whether a mapping pattern may match."""
    return isinstance(subject, collections.abc.Mapping)


@library
def transposed(rows: Sequence[Any]) -> list[tuple[Any, ...]]:
    """`list(zip(*rows))`."""
    return list(zip(*rows, strict=False))


@library
def call_spread(
    function: Callable[..., Any], items: Sequence[Any], keys: Sequence[str], *named: Any
) -> Any:
    """`function(*items, **named)`."""
    return function(*items, **dict(zip(keys, named, strict=True)))
