"""Affine index expressions over loop variables: how a lane's position becomes an address.

    index of a dim  =  const + sum(coefficient * variable)          coefficients and const are
    `ir.dims.Dim`

Views rewrite indices (`ir.op.View.index` uses `+`, `-` and `*` on them); a buffer turns an index
into an address by its strides. Both stay affine, so merging, ordering and vectorizing loops only
look at coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ir import Dim, record, same_dim


@record(frozen=False, eq=False)
class Var:
    """A loop variable running from 0 to `extent` - 1."""

    name: str
    extent: Dim

    def __repr__(self) -> str:
        return self.name


class Affine:
    """const + sum(coefficient * variable); immutable, zero coefficients are dropped."""

    __slots__ = ("const", "terms")

    def __init__(self, terms: Mapping[Var, Dim] | None = None, const: Dim = 0) -> None:
        self.terms: dict[Var, Dim] = {
            v: c for v, c in (terms or {}).items() if not (isinstance(c, int) and c == 0)
        }
        self.const = const

    @staticmethod
    def of(var: Var) -> Affine:
        """The index that is the variable itself; a loop of one iteration is always at 0."""
        return Affine() if isinstance(var.extent, int) and var.extent == 1 else Affine({var: 1})

    def __add__(self, other: Affine | Dim) -> Affine:
        if not isinstance(other, Affine):
            return Affine(self.terms, self.const + other)
        terms = dict(self.terms)
        for var, coefficient in other.terms.items():
            terms[var] = terms.get(var, 0) + coefficient
        return Affine(terms, self.const + other.const)

    __radd__ = __add__

    def __mul__(self, factor: Dim) -> Affine:
        return Affine({v: c * factor for v, c in self.terms.items()}, self.const * factor)

    __rmul__ = __mul__

    def __neg__(self) -> Affine:
        return self * -1

    def __sub__(self, other: Affine | Dim) -> Affine:
        return self + other * -1

    def __rsub__(self, other: Dim) -> Affine:
        return self * -1 + other

    def coefficient(self, var: Var) -> Dim:
        """How far one step of the variable moves; 0 when it does not matter."""
        return self.terms.get(var, 0)

    def without(self, var: Var) -> Affine:
        """The same index at `var` = 0."""
        return Affine({v: c for v, c in self.terms.items() if v is not var}, self.const)

    def key(self) -> tuple[object, ...]:
        """Hashable identity: equal keys are equal indices."""
        return (frozenset((id(v), str(c)) for v, c in self.terms.items()), str(self.const))

    def is_var(self, var: Var) -> bool:
        """Whether the index is exactly `var` (or 0 where `var` has one iteration)."""
        wanted = Affine.of(var)
        return self.key() == wanted.key()

    def __repr__(self) -> str:
        parts = [
            f"{v}" if isinstance(c, int) and c == 1 else f"({c})*{v}" for v, c in self.terms.items()
        ]
        if not (isinstance(self.const, int) and self.const == 0) or not parts:
            parts.append(str(self.const))
        return " + ".join(parts)


Index = tuple[Affine, ...]


def address(index: Sequence[Affine], strides: Sequence[Dim], offset: Dim = 0) -> Affine:
    """The element offset of an index in a buffer of these strides."""
    result = Affine(const=offset)
    for position, stride in zip(index, strides, strict=True):
        result = result + position * stride
    return result


def broadcast(index: Sequence[Affine], dims: Sequence[Dim]) -> Index:
    """The operand's index under torch's broadcasting: trailing dims align, a dim of size 1 stays at
    0.
    """
    tail = index[len(index) - len(dims) :]
    return tuple(
        Affine() if isinstance(d, int) and d == 1 else i for i, d in zip(tail, dims, strict=True)
    )


def index_key(index: Sequence[Affine]) -> tuple[object, ...]:
    """Hashable identity of a whole index."""
    return tuple(i.key() for i in index)


def merges(outer: Var, inner: Var, addresses: Sequence[Affine]) -> bool:
    """Whether every address treats (outer, inner) as one loop: a step of `outer` moves as far as
    all of `inner`.
    """
    return all(
        same_dim(a.coefficient(outer), a.coefficient(inner) * inner.extent) for a in addresses
    )
