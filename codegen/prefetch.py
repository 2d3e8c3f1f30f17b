"""Cache lines that generated code asks for before it reads them."""

from __future__ import annotations

import llvmlite.ir as ll

from codegen.abi import I32, PTR, VOID, i32

_TYPE = ll.FunctionType(VOID, (PTR, I32, I32, I32))
_READ, _DATA = i32(0), i32(1)


def prefetch(b: ll.IRBuilder, place: ll.Value, level: int = 1) -> None:
    """Fetch the cache line of an address, which need not exist, into the cache of a level."""
    name = "llvm.prefetch.p0"
    function = b.module.globals.get(name) or ll.Function(b.module, _TYPE, name)
    b.call(function, [place, _READ, i32(4 - level), _DATA])
