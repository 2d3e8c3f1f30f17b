"""Symbolic sizes as native integers: one `ir.dims` expression becomes i64 arithmetic on the values
of its symbols.
"""

from __future__ import annotations

from collections.abc import Mapping

import llvmlite.ir as ll

from ir import Assumption, Compound, Dim, Sym, Symbol

I64 = ll.IntType(64)


def emit_size(b: ll.IRBuilder, dim: Dim, symbols: Mapping[Symbol, ll.Value]) -> ll.Value:
    """The value of a size as i64."""
    if not isinstance(dim, Sym):
        return I64(dim)
    total: ll.Value | None = None
    for monomial, coefficient in dim.terms:
        term: ll.Value | None = None
        for atom in monomial:
            value = symbols[atom] if isinstance(atom, Symbol) else _emit_compound(b, atom, symbols)
            term = value if term is None else b.mul(term, value)
        if term is None:
            term = I64(coefficient)
        elif coefficient != 1:
            term = b.mul(term, I64(coefficient))
        total = term if total is None else b.add(total, term)
    return I64(0) if total is None else total


def _emit_compound(b: ll.IRBuilder, atom: Compound, symbols: Mapping[Symbol, ll.Value]) -> ll.Value:
    left, right = emit_size(b, atom.left, symbols), emit_size(b, atom.right, symbols)
    if atom.op == "//":
        return b.sdiv(left, right)
    if atom.op == "%":
        return b.srem(left, right)
    relation = ">" if atom.op == "max" else "<"
    return b.select(b.icmp_signed(relation, left, right), left, right)


def emit_assumption(
    b: ll.IRBuilder, assumption: Assumption, symbols: Mapping[Symbol, ll.Value]
) -> ll.Value:
    """Whether an assumed relation holds, as i1."""
    left, right = (emit_size(b, d, symbols) for d in (assumption.left, assumption.right))
    return b.icmp_signed(assumption.relation, left, right)
