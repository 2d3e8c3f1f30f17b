"""Room in the frame of a function that is being emitted."""

from __future__ import annotations

import llvmlite.ir as ll

from codegen.abi import I8, PTR, i64

ALIGNMENT = 64


def frame(b: ll.IRBuilder, size: int) -> ll.Value:
    """Bytes in the function's frame."""
    with b.goto_entry_block():
        room = b.alloca(ll.ArrayType(I8, size))
        room.align = ALIGNMENT
        place = b.gep(room, [i64(0)], source_etype=I8)
        place.type = PTR  # llvmlite keeps the type of what it points to
        return place
