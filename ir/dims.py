"""Sizes as integers or symbolic expressions: one shape rule folds constants, relates symbols and
emits native arithmetic.

A `Sym` is a polynomial over atoms (symbols, and floor divisions, remainders, maxima of
polynomials), kept in one normal form, so that equal expressions compare equal. Every symbol has a
hint (the observed size) and is at least 2: sizes 0 and 1 are always specialized, because
broadcasting and emptiness decide semantics.

Comparing expressions answers from their structure and bounds when it can; otherwise from the hints,
and records the answer as an assumption in the `Facts` that owns the symbols. Assumptions become
guards of the plan (law: a decision taken from a hint is always guarded).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Union

from ir.records import field, record

MINIMUM = 2  # of every symbol

Dim = Union[int, "Sym"]


@record
class Symbol:
    """An atom: a size that the plan learns at its call."""

    name: str
    hint: int


@record
class Compound:
    """An atom: `op` ('//', '%', 'max', 'min') applied to two sizes."""

    op: str
    left: Dim
    right: Dim


@record
class Assumption:
    """A relation ('==', '!=', '<', '<=') between two sizes that held for the hints and must hold
    at a call."""

    relation: str
    left: Dim
    right: Dim

    def __str__(self) -> str:
        return f"{self.left} {self.relation} {self.right}"


@record(frozen=False)
class Facts:
    """The symbols of one specialization and what was assumed about them."""

    symbols: list[Symbol] = field(default_factory=list)
    assumptions: dict[Assumption, None] = field(default_factory=dict)

    def symbol(self, hint: int) -> Sym:
        """A new symbol; its name is `s<n>`."""
        if hint < MINIMUM:
            raise ValueError(f"a symbol stands for a size of at least {MINIMUM}, not {hint}")
        atom = Symbol(f"s{len(self.symbols)}", hint)
        self.symbols.append(atom)
        return Sym({(atom,): 1}, self)

    def assume(self, relation: str, left: Dim, right: Dim) -> None:
        self.assumptions[Assumption(relation, left, right)] = None


Atom = Symbol | Compound
Monomial = tuple[Atom, ...]


class Sym:
    """A symbolic size; supports + - * // % and comparisons with sizes."""

    __slots__ = ("facts", "hint", "terms")

    def __init__(self, terms: dict[Monomial, int], facts: Facts) -> None:
        self.terms: tuple[tuple[Monomial, int], ...] = tuple(
            sorted(((m, c) for m, c in terms.items() if c), key=lambda t: (len(t[0]), str(t[0])))
        )
        self.facts = facts
        self.hint: int = sum(c * _product(_hint(a) for a in m) for m, c in self.terms)

    def __repr__(self) -> str:
        return (
            " + ".join(_monomial_text(m, c) for m, c in reversed(self.terms)).replace("+ -", "- ")
            or "0"
        )

    def __hash__(self) -> int:
        return hash(self.terms)

    # arithmetic -----------------------------------------------------------------------------------
    def __add__(self, other: Dim) -> Dim:
        terms = dict(self.terms)
        for m, c in _terms(other):
            terms[m] = terms.get(m, 0) + c
        return _normal(terms, self.facts)

    __radd__ = __add__

    def __mul__(self, other: Dim) -> Dim:
        terms: dict[Monomial, int] = {}
        for m, c in self.terms:
            for n, d in _terms(other):
                key = tuple(sorted(m + n, key=str))
                terms[key] = terms.get(key, 0) + c * d
        return _normal(terms, self.facts)

    __rmul__ = __mul__

    def __neg__(self) -> Dim:
        return self * -1

    def __sub__(self, other: Dim) -> Dim:
        return self + other * -1

    def __rsub__(self, other: Dim) -> Dim:
        return self * -1 + other

    def __floordiv__(self, other: Dim) -> Dim:
        parts = self._divided(other)
        return self._compound("//", self, other) if parts is None else parts[0]

    def __rfloordiv__(self, other: int) -> Dim:
        return 0 if other == 0 else self._compound("//", other, self)

    def __mod__(self, other: Dim) -> Dim:
        parts = self._divided(other)
        return self._compound("%", self, other) if parts is None else parts[1]

    def _divided(self, other: Dim) -> tuple[Dim, int] | None:
        """Quotient and rest where `other` divides all but the constant; None otherwise."""
        quotient = _exact_quotient(self, other)
        if quotient is not None:
            return quotient, 0
        constant = dict(self.terms).get((), 0)
        if not isinstance(other, int) or other <= 0 or not constant:
            return None
        multiple = self - constant
        quotient = _exact_quotient(multiple, other) if isinstance(multiple, Sym) else None
        return None if quotient is None else (quotient + constant // other, constant % other)

    def __rmod__(self, other: int) -> Dim:
        return 0 if other == 0 else self._compound("%", other, self)

    def _compound(self, op: str, left: Dim, right: Dim) -> Dim:
        return Sym({(Compound(op, left, right),): 1}, self.facts)

    # comparison -----------------------------------------------------------------------------------
    def same(self, other: object) -> bool:
        """Equal in normal form; assumes nothing."""
        return isinstance(other, Sym) and self.terms == other.terms

    def __eq__(self, other: object) -> bool:
        if self is other or self.same(other):
            return True
        if not isinstance(other, (int, Sym)):
            return False
        if not _may_vanish(self - other):
            return False
        return self._decide("==", "!=", other, self.hint == hint(other))

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __lt__(self, other: Dim) -> bool:
        known = _sign(self - other)
        if known is not None:
            return known < 0
        answer = self.hint < hint(other)
        self.facts.assume("<" if answer else "<=", *((self, other) if answer else (other, self)))
        return answer

    def __ge__(self, other: Dim) -> bool:
        return not self < other

    def __gt__(self, other: Dim) -> bool:
        known = _sign(self - other)
        if known is not None:
            return known > 0
        answer = self.hint > hint(other)
        self.facts.assume("<" if answer else "<=", *((other, self) if answer else (self, other)))
        return answer

    def __le__(self, other: Dim) -> bool:
        return not self > other

    def __bool__(self) -> bool:
        return self != 0

    def _decide(self, yes: str, no: str, other: Dim, answer: bool) -> bool:
        self.facts.assume(yes if answer else no, self, other)
        return answer


def hint(dim: Dim) -> int:
    """The observed value of a size."""
    return dim.hint if isinstance(dim, Sym) else dim


def same_dim(a: Dim, b: Dim) -> bool:
    """Equal by structure, without assuming anything."""
    return a.same(b) if isinstance(a, Sym) else not isinstance(b, Sym) and a == b


def symbols_of(dim: Dim) -> set[Symbol]:
    """The symbols that the value of a size depends on."""
    found: set[Symbol] = set()
    for monomial, _ in _terms(dim):
        for atom in monomial:
            found |= (
                {atom}
                if isinstance(atom, Symbol)
                else symbols_of(atom.left) | symbols_of(atom.right)
            )
    return found


def product(dims: Iterable[Dim]) -> Dim:
    """The product of sizes (the number of elements of a shape)."""
    result: Dim = 1
    for dim in dims:
        result = result * dim
    return result


def size_max(a: Dim, b: Dim) -> Dim:
    """The larger of two sizes, symbolic when that cannot be told from bounds."""
    if not isinstance(a, Sym) and not isinstance(b, Sym):
        return max(a, b)
    return _bound("max", a, b)


def size_min(a: Dim, b: Dim) -> Dim:
    """The smaller of two sizes, symbolic when that cannot be told from bounds."""
    if not isinstance(a, Sym) and not isinstance(b, Sym):
        return min(a, b)
    return _bound("min", a, b)


def _bound(op: str, a: Dim, b: Dim) -> Dim:
    sign = _sign(a - b)
    if sign is not None:
        return (a if sign >= 0 else b) if op == "max" else (a if sign <= 0 else b)
    facts = a.facts if isinstance(a, Sym) else b.facts  # type: ignore[union-attr]
    return Sym({(Compound(op, a, b),): 1}, facts)


def evaluate(dim: Dim, values: dict[str, int]) -> int:
    """The size for given values of its symbols."""
    if not isinstance(dim, Sym):
        return dim
    return sum(c * _product(_atom_value(a, values) for a in m) for m, c in dim.terms)


def _atom_value(atom: Atom, values: dict[str, int]) -> int:
    if isinstance(atom, Symbol):
        return values[atom.name]
    return _apply(atom.op, evaluate(atom.left, values), evaluate(atom.right, values))


def _apply(op: str, a: int, b: int) -> int:
    return {
        "//": lambda: a // b,
        "%": lambda: a % b,
        "max": lambda: max(a, b),
        "min": lambda: min(a, b),
    }[op]()


def _terms(dim: Dim) -> tuple[tuple[Monomial, int], ...]:
    if isinstance(dim, Sym):
        return dim.terms
    return (((), dim),) if dim else ()


def _normal(terms: dict[Monomial, int], facts: Facts) -> Dim:
    left = {m: c for m, c in terms.items() if c}
    if not left:
        return 0
    if set(left) == {()}:
        return left[()]
    return Sym(left, facts)


def _hint(atom: Atom) -> int:
    return (
        atom.hint
        if isinstance(atom, Symbol)
        else _apply(atom.op, hint(atom.left), hint(atom.right))
    )


def _product(values: Iterable[int]) -> int:
    result = 1
    for value in values:
        result *= value
    return result


def _sign(difference: Dim) -> int | None:
    """-1, 0 or 1 when the bounds of the symbols decide the sign of an expression; None when they
    do not."""
    if not isinstance(difference, Sym):
        return (difference > 0) - (difference < 0)
    if any(not isinstance(a, Symbol) for m, _ in difference.terms for a in m):
        return None
    shifted = _shifted(difference.terms)
    for direction in (1, -1):
        coefficients = {m: direction * c for m, c in shifted.items()}
        if min(coefficients.values()) >= 0 and coefficients.get((), 0) > 0:
            return direction
    return None


def _shifted(terms: Iterable[tuple[Monomial, int]]) -> dict[Monomial, int]:
    """The polynomial in t = symbol - MINIMUM >= 0, whose sign is plain when all coefficients
    agree."""
    result: dict[Monomial, int] = {}
    for monomial, coefficient in terms:
        expanded: dict[Monomial, int] = {(): coefficient}
        for atom in monomial:
            step: dict[Monomial, int] = {}
            for m, c in expanded.items():
                key = tuple(sorted((*m, atom), key=str))
                step[key] = step.get(key, 0) + c
                step[m] = step.get(m, 0) + c * MINIMUM
            expanded = step
        for m, c in expanded.items():
            result[m] = result.get(m, 0) + c
    return result


def _may_vanish(difference: Dim) -> bool:
    return not _sign(difference)


def _exact_quotient(a: Sym, b: Dim) -> Dim | None:
    """a / b when it divides every term (or equals it); None otherwise."""
    if a.same(b):
        return 1
    if isinstance(b, Sym):
        if len(b.terms) != 1:
            return None
        divisor, scale = b.terms[0]
    else:
        divisor, scale = (), b
    if scale == 0:
        return None
    result: dict[Monomial, int] = {}
    for monomial, coefficient in a.terms:
        rest = list(monomial)
        for atom in divisor:
            if atom not in rest:
                return None
            rest.remove(atom)
        if coefficient % scale:
            return None
        result[tuple(rest)] = coefficient // scale
    return _normal(result, a.facts)


def _monomial_text(monomial: Monomial, coefficient: int) -> str:
    factors = [_atom_text(a) for a in monomial]
    if coefficient != 1 or not factors:
        factors.insert(0, str(coefficient))
    return "*".join(factors)


def _atom_text(atom: Atom) -> str:
    if isinstance(atom, Symbol):
        return atom.name
    if atom.op in ("max", "min"):
        return f"{atom.op}({atom.left}, {atom.right})"
    return f"(({atom.left}) {atom.op} ({atom.right}))"
