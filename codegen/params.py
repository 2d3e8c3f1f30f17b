"""What an entry expects of each argument: pure descriptions, from which guards and unboxing are
emitted.

A `Dim` is an integer or a symbolic size (`ir.dims`). A bare symbol is bound where it is met first
and compared afterwards; any other expression is compared. Symbols are at least 2 by their own law,
which the guards enforce.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import count

from ir import Dim, DType, record, replace


@record
class TensorParam:
    """A strided CPU tensor (exact type Tensor or Parameter) that needs no gradient.

    `strides` None means contiguous; an entry None leaves that stride free: its value is in
    `BoundTensor.strides`. `is_mutated` demands a tensor that may be written (no inference tensor)
    and unshares copy-on-write memory.
    """

    dtype: DType
    dims: tuple[Dim, ...]
    strides: tuple[Dim | None, ...] | None = None
    is_mutated: bool = False

    def __str__(self) -> str:
        strides = "" if self.strides is None else f", strides={_list(self.strides)}"
        return (
            f"{self.dtype.name}{_list(self.dims)}{strides}{', written' if self.is_mutated else ''}"
        )


@record
class IntParam:
    """An exact Python int that fits 64 bits; `dim` binds or compares it like a size."""

    dim: Dim | None = None

    def __str__(self) -> str:
        return "int" if self.dim is None else f"int {self.dim}"


@record
class FloatParam:
    """An exact Python float, with `accept_int` also an exact int."""

    accept_int: bool = False

    def __str__(self) -> str:
        return "float or int" if self.accept_int else "float"


@record
class BoolParam:
    """True or False."""

    def __str__(self) -> str:
        return "bool"


@record
class ConstParam:
    """Exactly this value: the object itself, or for int, float, str and the like an equal one of
    the same type.

    With `is_identity` only the object itself will do, whatever its type calls equal.
    """

    value: object
    is_identity: bool = False

    def __str__(self) -> str:
        if isinstance(self.value, (bool, int, float, complex, str, bytes, type(None))):
            return repr(self.value)
        name = getattr(self.value, "__qualname__", None)
        return f"this {name or type(self.value).__qualname__}"


@record
class AnyParam:
    """Any object; it stays boxed."""

    def __str__(self) -> str:
        return "anything"


@record
class SequenceParam:
    """An exact tuple or list of this many items."""

    items: tuple[Param, ...]
    is_list: bool = False

    def __str__(self) -> str:
        items = ", ".join(map(str, self.items))
        return f"[{items}]" if self.is_list else f"({items})"


@record
class DictParam:
    """An exact dict, or OrderedDict, of these keys, in this order, and of such values."""

    items: tuple[tuple[object, Param], ...]
    is_ordered: bool = False

    def __str__(self) -> str:
        return f"{{{', '.join(f'{key!r}: {param}' for key, param in self.items)}}}"


@record
class ListParam:
    """An exact list of any length whose items are all exact ints of 64 bits, floats or bools."""

    element: str

    def __str__(self) -> str:
        return f"list of {self.element}s"


@record
class HeldParam:
    """A tensor of these sizes and strides, which are constants, that the plan itself holds: the
    holder of a `Captured`. It is not guarded, as nothing but its elements ever changes. None for
    one in a layout of its own, which is handed to operators as it is.
    """

    tensor: TensorParam | None

    def __str__(self) -> str:
        return f"held {self.tensor or 'in a layout of its own'}"


@record
class UnchangedParam:
    """Dicts that the plan itself holds, the holder of a `Captured`: a tuple of `(dict, key, value,
    ...)` for dicts of just these objects, in this order, and of `(dict, key)` for dicts without
    that key.
    """

    count: int

    def __str__(self) -> str:
        return f"{self.count} dicts as they are"


Param = (
    TensorParam
    | HeldParam
    | IntParam
    | FloatParam
    | BoolParam
    | ConstParam
    | AnyParam
    | SequenceParam
    | DictParam
    | ListParam
    | UnchangedParam
)


@record
class Captured:
    """A value that is not passed but read at the time of the call: `holder[key]` of a dict (exact
    type), the contents of a closure cell, or the attribute `key` of any other object. A
    `HeldParam` or `UnchangedParam` is the holder itself."""

    holder: object
    key: str
    param: Param


def _list(dims: tuple[Dim | None, ...]) -> str:
    return f"[{', '.join('*' if d is None else str(d) for d in dims)}]"


def with_writes(params: Sequence[Param], written: Collection[int]) -> list[Param]:
    """The same, tensors marked that are written: these positions among what varies."""
    positions = count()
    return [_with_writes(param, positions, written) for param in params]


def _with_writes(param: Param, positions: Iterator[int], written: Collection[int]) -> Param:
    match param:
        case ConstParam() | UnchangedParam():
            return param
        case SequenceParam(items=items):
            made = tuple(_with_writes(item, positions, written) for item in items)
            return replace(param, items=made)
        case DictParam(items=pairs):
            named = tuple((key, _with_writes(p, positions, written)) for key, p in pairs)
            return replace(param, items=named)
    if next(positions) in written and isinstance(param, TensorParam):
        return replace(param, is_mutated=True)
    return param
