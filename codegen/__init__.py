"""Code generation: specialized graphs to machine code behind native entries. Never imports
`jit`.
"""

from codegen.callable import NativeCallable, set_entry
from codegen.engine import assembly
from codegen.params import (
    AnyParam,
    BoolParam,
    Captured,
    ConstParam,
    FloatParam,
    IntParam,
    Param,
    SequenceParam,
    TensorParam,
)
from codegen.plan import Plan, compile_plan
from codegen.refuse import Refused
from codegen.runtime import forward_entry, slow_entry
from codegen.survey import Place, places
from codegen.target import host
from codegen.torch_abi import has_no_modes, is_plain

__all__ = [
    "AnyParam",
    "BoolParam",
    "Captured",
    "ConstParam",
    "FloatParam",
    "IntParam",
    "NativeCallable",
    "Param",
    "Place",
    "Plan",
    "Refused",
    "SequenceParam",
    "TensorParam",
    "assembly",
    "compile_plan",
    "forward_entry",
    "has_no_modes",
    "host",
    "is_plain",
    "places",
    "set_entry",
    "slow_entry",
]
