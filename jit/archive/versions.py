"""Which version of the format a program needs: the newest change of meaning among the operators
that it calls. An archive of an older version would give them their old meaning.
"""

from __future__ import annotations

from ir import Program

OLDEST = 3
MOVED = 6  # the first version whose number stands in `.data/`
_CHANGES = {
    4: "div.Tensor div.Scalar div.out div.Tensor_mode div.Scalar_mode div.out_mode "
       "div_.Tensor div_.Scalar div_.Tensor_mode div_.Scalar_mode",
    5: "full full.out",
    8: "linspace linspace.out",
    9: "logspace logspace.out",
    10: "gelu gelu.out",
}  # fmt: skip
_NEEDED = {f"aten::{op}": version for version, ops in _CHANGES.items() for op in ops.split()}


def program_version(program: Program) -> int:
    """The version to write."""
    called = (node.op.qualified for method in program.methods() for node in method.graph.walk())
    return max((_NEEDED.get(name, OLDEST) for name in called), default=OLDEST)
