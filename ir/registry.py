"""All ops by name: the compiled rows, completed by opaque ones from torch's registry.

Overload choice depends on order, so for a name that torch knows its order holds, and a row stands
in the place of the overload of the same qualified name. Rows that torch does not know come first.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from ir.late import LateModule
from ir.op import TABLE, Op

if TYPE_CHECKING:
    from ir import torch_bridge
else:
    torch_bridge = LateModule("ir.torch_bridge")


@cache
def overloads(name: str) -> Sequence[Op]:
    """Every overload of a name such as `aten::add`, in the order in which they are tried; empty for
    an unknown name.
    """
    opaque = torch_bridge.opaque_overloads(name)
    known = {op.qualified for op in opaque}
    own = [op for op in TABLE.overloads(name) if op.qualified not in known]
    return (*own, *(TABLE.get(op.qualified) or op for op in opaque))


def lookup(qualified: str) -> Op:
    """The op of a qualified name such as `aten::add.Tensor`; KeyError when there is none."""
    row = TABLE.get(qualified)
    if row is not None:
        return row
    for op in overloads(qualified.partition(".")[0]):
        if op.qualified == qualified:
            return op
    raise KeyError(f"no operator is called {qualified}")
