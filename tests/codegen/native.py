"""Small plans for the tests of the native side: element loops written with the plain builder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.ir as ll

from codegen.callable import NativeCallable, set_entry
from codegen.engine import Library
from codegen.entry import EntryBuilder
from codegen.linked import install
from codegen.params import Param
from codegen.runtime import engine
from ir import Sym, dtypes
from ir.dims import Facts

I64 = ll.IntType(64)
FLOAT = ll.FloatType()
MISSED = "missed"


class Plan(NativeCallable):
    """A callable that records what its entry refused."""

    library: Library

    def _call_slow(self, *args: Any, **kwargs: Any) -> Any:
        return (MISSED, args, kwargs)


def plan(params: Sequence[Param], body: Callable[[EntryBuilder], None], **options: Any) -> Plan:
    """A callable with one native entry."""
    module = ll.Module()
    entry = EntryBuilder(module, "entry", params, **options)
    body(entry)
    entry.close()
    made = Plan()
    made.library = engine().load(module, entry.imports)
    set_entry(made, install(made.library), keep=(made.library, entry.constants))
    return made


def is_miss(result: object) -> bool:
    return isinstance(result, tuple) and result[:1] == (MISSED,)


def symbols(count: int) -> list[Sym]:
    facts = Facts()
    return [sym for sym in (facts.symbol(64) for _ in range(count)) if isinstance(sym, Sym)]


def each(b: ll.IRBuilder, count: ll.Value, body: Callable[[ll.Value], None]) -> None:
    """for i in range(count): body(i)"""
    before, loop = b.block, b.append_basic_block("loop")
    done = b.append_basic_block("done")
    b.cbranch(b.icmp_signed(">", count, I64(0)), loop, done)
    b.position_at_end(loop)
    index = b.phi(I64)
    index.add_incoming(I64(0), before)
    body(index)
    following = b.add(index, I64(1))
    index.add_incoming(following, b.block)
    b.cbranch(b.icmp_signed("<", following, count), loop, done)
    b.position_at_end(done)


def load(b: ll.IRBuilder, data: ll.Value, index: ll.Value) -> ll.Value:
    return b.load(b.gep(data, [index], source_etype=FLOAT), typ=FLOAT)


def store(b: ll.IRBuilder, value: ll.Value, data: ll.Value, index: ll.Value) -> None:
    b.store(value, b.gep(data, [index], source_etype=FLOAT))


def chain(entry: EntryBuilder) -> None:
    """out = (a + b) * b + a over contiguous float32 tensors of one symbolic size."""
    b, (x, y) = entry.builder, entry.args
    count = x.sizes[0]
    out = entry.alloc(dtypes.float32, [count])

    def element(i: ll.Value) -> None:
        p, q = load(b, x.data, i), load(b, y.data, i)
        store(b, b.fadd(b.fmul(b.fadd(p, q), q), p), out.data, i)

    each(b, count, element)
    entry.finish(entry.box(out))
