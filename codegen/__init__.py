"""Code generation: specialized graphs to machine code behind native entries. Never imports `jit`.

Its modules are loaded when one of their names is first asked for: where loading should wait, write
`import codegen` and `codegen.compile_plan`, not `from codegen import ...`.
"""

from typing import TYPE_CHECKING

from ir import late_names

if TYPE_CHECKING:
    from codegen.attention.fuse import fuse_attention
    from codegen.cache import fingerprint
    from codegen.callable import NativeCallable, set_entry
    from codegen.engine import assembly, default_cache
    from codegen.images.layout import lay_out_images
    from codegen.images.winograd import winograd_matrices
    from codegen.linked import Emitted, Plan, relink_plan
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
        UnchangedParam,
    )
    from codegen.plan import compile_plan, emit
    from codegen.record import Record, Stale, Unstorable
    from codegen.refuse import Refused
    from codegen.runtime import environment, forward_entry, slow_entry
    from codegen.survey import Place, places
    from codegen.target import host
    from codegen.torch_abi import has_no_modes, is_plain

__getattr__, __dir__ = late_names(
    __name__,
    {
        "codegen.attention.fuse": "fuse_attention",
        "codegen.cache": "fingerprint",
        "codegen.callable": "NativeCallable set_entry",
        "codegen.engine": "assembly default_cache",
        "codegen.images.layout": "lay_out_images",
        "codegen.images.winograd": "winograd_matrices",
        "codegen.linked": "Emitted Plan relink_plan",
        "codegen.params": "AnyParam BoolParam Captured ConstParam DictParam FloatParam HeldParam"
        " IntParam ListParam Param SequenceParam TensorParam UnchangedParam",
        "codegen.plan": "compile_plan emit",
        "codegen.record": "Record Stale Unstorable",
        "codegen.refuse": "Refused",
        "codegen.runtime": "environment forward_entry slow_entry",
        "codegen.survey": "Place places",
        "codegen.target": "host",
        "codegen.torch_abi": "has_no_modes is_plain",
    },
)
