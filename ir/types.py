"""Types of values, in TorchScript's vocabulary: tensors with as much as is known of them, scalars,
containers, classes.

Types are immutable and compare by structure. `str(type)` is how messages show them: tensors as
TorchScript prints them (`Float(2, 3, strides=[3, 1], requires_grad=0, device=cpu)`), containers as
Python annotates them; graphs spell containers TorchScript's way (`ir.printer.type_text`), and the
parser reads both. A tensor fact that is not known is None: `dtype`, `dims` (rank unknown), one dim,
`strides`, `requires_grad`, `device`.
"""

from __future__ import annotations

from typing import Any

from ir import dtypes
from ir.dims import Dim, same_dim
from ir.dtypes import DType
from ir.records import field, record, replace

# TorchScript prints a tensor type by the name of its scalar type.
TENSOR_NAMES = {
    dtypes.uint8: "Byte",
    dtypes.int8: "Char",
    dtypes.int16: "Short",
    dtypes.int32: "Int",
    dtypes.int64: "Long",
    dtypes.float16: "Half",
    dtypes.float32: "Float",
    dtypes.float64: "Double",
    dtypes.bool_: "Bool",
    dtypes.bfloat16: "BFloat16",
    dtypes.complex64: "ComplexFloat",
    dtypes.complex128: "ComplexDouble",
}


class Type:
    """Base of all types."""

    __slots__ = ()


@record(eq=False)
class TensorType(Type):
    """A tensor: dtype, sizes, strides (in elements), each None where unknown; `dims` is None when
    the rank is unknown.

    Comparing types never assumes anything about symbols: sizes are equal when their normal forms
    are.
    """

    dtype: DType | None = None
    dims: tuple[Dim | None, ...] | None = None
    strides: tuple[Dim | None, ...] | None = None
    requires_grad: bool | None = None
    device: str | None = None

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, TensorType)
            and self._key() == other._key()
            and (same_each(self.dims, other.dims) and same_each(self.strides, other.strides))
        )

    def __hash__(self) -> int:
        return hash((self._key(), self.dims, self.strides))

    def _key(self) -> tuple[object, ...]:
        return (self.dtype, self.requires_grad, self.device)

    @property
    def rank(self) -> int | None:
        return None if self.dims is None else len(self.dims)

    @property
    def is_complete(self) -> bool:
        """dtype and every size known: what a native kernel needs."""
        return self.dtype is not None and self.dims is not None and None not in self.dims

    @property
    def shape(self) -> tuple[Dim, ...]:
        """The sizes of a complete type; ValueError otherwise."""
        if self.dims is None or None in self.dims:
            raise ValueError(f"the sizes of {self} are not known")
        return self.dims  # type: ignore[return-value]

    def with_(self, **changes: Any) -> TensorType:
        return replace(self, **changes)

    def erased(self) -> TensorType:
        """The bare `Tensor`."""
        return TENSOR

    def __str__(self) -> str:
        if self == TENSOR:
            return "Tensor"
        name = TENSOR_NAMES[self.dtype] if self.dtype else "Tensor"
        parts = ["..."] if self.dims is None else [_dim(d) for d in self.dims]
        if self.strides:  # a 0-d tensor has none to show
            parts.append(f"strides=[{', '.join(_dim(s) for s in self.strides)}]")
        if self.requires_grad is not None:
            parts.append(f"requires_grad={int(self.requires_grad)}")
        if self.device is not None:
            parts.append(f"device={self.device}")
        return f"{name}({', '.join(parts)})"


Each = tuple[Dim | None, ...] | None


def same_each(a: Each, b: Each) -> bool:
    """Whether two lists of sizes agree everywhere, unknown ones with unknown ones."""
    if a is None or b is None or len(a) != len(b):
        return a is b
    return all(
        x is y or (x is not None and y is not None and same_dim(x, y))
        for x, y in zip(a, b, strict=True)
    )


def _dim(dim: Dim | None) -> str:
    return "*" if dim is None else str(dim)


@record(eq=False)
class Prim(Type):
    """A type without parameters: int, float, bool, complex, number, str, NoneType, Device, Any ...
    There is one of each."""

    name: str

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return _prim, (self.name,)


TENSOR = TensorType()
INT = Prim("int")
FLOAT = Prim("float")
BOOL = Prim("bool")
COMPLEX = Prim("complex")
NUMBER = Prim("Scalar")  # int, float, bool or complex, known at run time only
STR = Prim("str")
NONE = Prim("NoneType")
DEVICE = Prim("Device")
DTYPE = Prim("dtype")  # an int in TorchScript's text and archives
LAYOUT = Prim("layout")
MEMORY_FORMAT = Prim("memory_format")
GENERATOR = Prim("Generator")
ANY = Prim("Any")
ENUM = Prim("AnyEnumType")  # any member of any enum, in schemas
RANGE = Prim("range")
SCALARS = (BOOL, INT, FLOAT, COMPLEX)  # by category
CODED = frozenset((DTYPE, LAYOUT, MEMORY_FORMAT, DEVICE))
"""Constants of these are TorchScript's codes and names."""
_PRIMS = {type_.name: type_ for type_ in list(globals().values()) if isinstance(type_, Prim)}


def _prim(name: str) -> Prim:
    return _PRIMS[name]


@record
class ListType(Type):
    element: Type

    def __str__(self) -> str:
        return f"List[{self.element}]"


@record
class SequenceType(ListType):
    """A tuple whose length only the run knows, or a torch.Size: ops take it as the list of its
    elements, and what leaves compiled code is made a tuple again.
    """

    is_size: bool = False

    def __str__(self) -> str:
        return "Size" if self.is_size else f"Tuple[{self.element}, ...]"


SIZE = SequenceType(INT, True)


@record
class SetType(Type):
    element: Type

    def __str__(self) -> str:
        return f"Set[{self.element}]"


@record
class DictType(Type):
    key: Type
    value: Type

    def __str__(self) -> str:
        return f"Dict[{self.key}, {self.value}]"


@record
class TupleType(Type):
    """A tuple; `name` and `fields` for a NamedTuple, whose Python class is `cls`."""

    elements: tuple[Type, ...]
    name: str | None = None
    fields: tuple[str, ...] = ()
    cls: Any = field(default=None, compare=False)

    def __str__(self) -> str:
        inner = ", ".join(map(str, self.elements)) or "()"
        return self.name if self.name else f"Tuple[{inner}]"


@record
class OptionalType(Type):
    element: Type

    def __str__(self) -> str:
        return f"Optional[{self.element}]"


@record
class UnionType(Type):
    members: tuple[Type, ...]

    def __str__(self) -> str:
        return f"Union[{', '.join(sorted(map(str, self.members)))}]"


@record
class FutureType(Type):
    element: Type

    def __str__(self) -> str:
        return f"Future[{self.element}]"


@record
class ObjectType(Type):
    """An instance of a Python class (script class, enum, module) by qualified name; the class
    itself is `cls`."""

    name: str
    cls: Any = field(default=None, compare=False)

    def __str__(self) -> str:
        return self.name


@record
class TypeVar(Type):
    """A type that a generic schema leaves open: `t` in `len(t[] a) -> int`."""

    name: str

    def __str__(self) -> str:
        return self.name


def optional(element: Type) -> Type:
    """Optional[element], without nesting."""
    return (
        element
        if isinstance(element, OptionalType) or element in (NONE, ANY)
        else OptionalType(element)
    )


def is_subtype(a: Type, b: Type) -> bool:
    """Whether a value of type `a` may be used where `b` is expected, without conversion."""
    if a is b or a == b or b == ANY:
        return True
    match a, b:
        case TensorType(), TensorType():
            return _tensor_subtype(a, b)
        case _, OptionalType():
            return a == NONE or is_subtype(
                a.element if isinstance(a, OptionalType) else a, b.element
            )
        case UnionType(), _:
            return all(is_subtype(m, b) for m in a.members)
        case _, UnionType():
            return any(is_subtype(a, m) for m in b.members)
        case Prim(), Prim():
            return b == NUMBER and a in SCALARS
        case TupleType(), TupleType():
            return (
                len(a.elements) == len(b.elements)
                and (b.name is None or a.name == b.name)
                and all(map(is_subtype, a.elements, b.elements))
            )
        case SequenceType(), ListType() if not isinstance(b, SequenceType):
            return is_subtype(ListType(a.element), b)
        case ListType(), ListType():
            return type(a) is type(b) and (
                isinstance(a.element, TensorType)
                and isinstance(b.element, TensorType)
                and is_subtype(a.element, b.element)
            )
        case ObjectType(), ObjectType():
            return _object_subtype(a.cls, b.cls)
        case ObjectType(), Prim():
            return b == ENUM and hasattr(a.cls, "__members__")
    return False


def _object_subtype(a: Any, b: Any) -> bool:
    """Classes of Python derive; those of a program say what they cover (`ir.classes.ClassDef`)."""
    if isinstance(a, type) or isinstance(b, type):
        return isinstance(a, type) and isinstance(b, type) and issubclass(a, b)
    return hasattr(b, "covers") and a is not None and bool(b.covers(a))


def _tensor_subtype(a: TensorType, b: TensorType) -> bool:
    facts = ("dtype", "requires_grad", "device")
    return (
        all(getattr(b, f) is None or getattr(a, f) == getattr(b, f) for f in facts)
        and _covers(b.dims, a.dims)
        and _covers(b.strides, a.strides)
    )


def _covers(general: Each, special: Each) -> bool:
    """Whether each known size of `general` is that of `special`."""
    if general is None:
        return True
    if special is None or len(general) != len(special):
        return False
    return all(
        g is None or (s is not None and same_dim(g, s))
        for g, s in zip(general, special, strict=True)
    )


def join(a: Type, b: Type) -> Type | None:
    """The least type that holds both, None when only Union or Any would: where branches merge."""
    if is_subtype(a, b):
        return b
    if is_subtype(b, a):
        return a
    if isinstance(a, TensorType) and isinstance(b, TensorType):
        return join_tensors(a, b)
    if a == NONE or b == NONE:
        return optional(b if a == NONE else a)
    if isinstance(a, OptionalType) or isinstance(b, OptionalType):
        inner = join(*(t.element if isinstance(t, OptionalType) else t for t in (a, b)))
        return None if inner is None else optional(inner)
    if isinstance(a, TupleType) and isinstance(b, TupleType) and len(a.elements) == len(b.elements):
        joined = [join(x, y) for x, y in zip(a.elements, b.elements, strict=True)]
        return None if None in joined else TupleType(tuple(joined))  # type: ignore[arg-type]
    return None


def join_tensors(a: TensorType, b: TensorType) -> TensorType:
    """What two tensor types have in common."""

    def common(x: Any, y: Any) -> Any:
        return x if x == y else None

    def common_each(x: Each, y: Each) -> Each:
        if x is None or y is None or len(x) != len(y):
            return None
        return tuple(
            i if i is not None and j is not None and same_dim(i, j) else None
            for i, j in zip(x, y, strict=True)
        )

    return TensorType(
        common(a.dtype, b.dtype),
        common_each(a.dims, b.dims),
        common_each(a.strides, b.strides),
        common(a.requires_grad, b.requires_grad),
        common(a.device, b.device),
    )


def contiguous_strides(dims: tuple[Dim, ...]) -> tuple[Dim, ...]:
    """Strides, in elements, of a row-major tensor of these sizes (a size-0 dim counts as 1, as
    in torch)."""
    strides: list[Dim] = []
    step: Dim = 1
    for dim in reversed(dims):
        strides.append(step)
        if not (isinstance(dim, int) and dim == 0):
            step = step * dim
    return tuple(reversed(strides))
