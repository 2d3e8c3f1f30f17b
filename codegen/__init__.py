"""Code generation: specialized graphs to machine code behind native entries. Never imports `jit`.

What only compiling needs, LLVM above all, is loaded when it is used for the first time: reach it as
`codegen.compile_plan`, not by `from codegen import ...`, where loading should wait.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from codegen.callable import NativeCallable, set_entry
from codegen.params import (
    AnyParam,
    BoolParam,
    Captured,
    ConstParam,
    DictParam,
    FloatParam,
    HeldParam,
    IntParam,
    ListParam,
    Param,
    SequenceParam,
    TensorParam,
)
from codegen.refuse import Refused
from codegen.torch_abi import has_no_modes, is_plain

if TYPE_CHECKING:
    from codegen.attention.fuse import fuse_attention
    from codegen.cache import fingerprint
    from codegen.engine import assembly, default_cache
    from codegen.images.layout import lay_out_images
    from codegen.images.winograd import winograd_matrices
    from codegen.linked import Emitted, Plan, relink_plan
    from codegen.plan import compile_plan, emit
    from codegen.record import Record, Stale, Unstorable
    from codegen.runtime import environment, forward_entry, slow_entry
    from codegen.survey import Place, places
    from codegen.target import host

_LATER = {
    "Emitted": "linked",
    "Place": "survey",
    "Plan": "linked",
    "Record": "record",
    "Stale": "record",
    "Unstorable": "record",
    "assembly": "engine",
    "compile_plan": "plan",
    "default_cache": "engine",
    "emit": "plan",
    "environment": "runtime",
    "fingerprint": "cache",
    "forward_entry": "runtime",
    "fuse_attention": "attention.fuse",
    "host": "target",
    "lay_out_images": "images.layout",
    "places": "survey",
    "relink_plan": "linked",
    "slow_entry": "runtime",
    "winograd_matrices": "images.winograd",
}

__all__ = [
    "AnyParam",
    "BoolParam",
    "Captured",
    "ConstParam",
    "DictParam",
    "Emitted",
    "FloatParam",
    "HeldParam",
    "IntParam",
    "ListParam",
    "NativeCallable",
    "Param",
    "Place",
    "Plan",
    "Record",
    "Refused",
    "SequenceParam",
    "Stale",
    "TensorParam",
    "Unstorable",
    "assembly",
    "compile_plan",
    "default_cache",
    "emit",
    "environment",
    "fingerprint",
    "forward_entry",
    "fuse_attention",
    "has_no_modes",
    "host",
    "is_plain",
    "lay_out_images",
    "places",
    "relink_plan",
    "set_entry",
    "slow_entry",
    "winograd_matrices",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'codegen' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"codegen.{_LATER[name]}"), name)
    return found
