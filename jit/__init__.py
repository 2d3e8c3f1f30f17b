"""Relume: a just-in-time compiler for PyTorch tensor code on CPUs, with the names and meanings of
`torch.jit`.

    from jit import jit

    @jit
    def f(x, y): ...

    jit.explain(f), jit.stats(f), jit.compare(f, args)        with `import jit`

What few programs use, such as archives, is imported when it is first asked for.
"""

import gc
from importlib import import_module
from typing import TYPE_CHECKING, Any

_IS_COLLECTING = gc.isenabled()
gc.disable()  # importing makes much and drops little: collecting torch's heap for it takes longer
try:
    from ir import CompileError, Future, TypeMismatch, UnsupportedError, fork, wait
    from jit.api import export_opnames, jit, script, script_if_tracing
    from jit.compilation_unit import CompilationUnit
    from jit.function import ScriptFunction
    from jit.fusion import (
        StrictFusionError,
        enable_onednn_fusion,
        fuser,
        last_executed_optimized_graph,
        onednn_fusion_enabled,
        optimized_execution,
        set_fusion_strategy,
        strict_fusion,
    )
    from jit.language import (
        Attribute,
        Error,
        Final,
        _overload,
        _overload_method,
        annotate,
        export,
        ignore,
        interface,
        is_scripting,
        script_method,
        unused,
    )
    from jit.language import isinstance_ as isinstance
    from jit.modules import RecursiveScriptModule, ScriptModule
    from jit.modules.traced import TopLevelTracedModule, TracedModule
    from jit.reasons import JitWarning, ScriptWarning
    from jit.stats import stats
    from jit.trace import TracerWarning, TracingCheckError, is_tracing
    from jit.tracing import TracedFunction, trace, trace_module
finally:
    if _IS_COLLECTING:
        gc.enable()

if TYPE_CHECKING:
    from jit.archive.errors import ArchiveError
    from jit.archive.inspect import inspect
    from jit.archive.load import load
    from jit.archive.save import save
    from jit.comparison import compare
    from jit.explanation import explain
    from jit.frozen.freeze import freeze, optimize_for_inference, run_frozen_optimizations

_LATER = {
    "ArchiveError": "archive.errors",
    "compare": "comparison",
    "explain": "explanation",
    "freeze": "frozen.freeze",
    "inspect": "archive.inspect",
    "load": "archive.load",
    "optimize_for_inference": "frozen.freeze",
    "run_frozen_optimizations": "frozen.freeze",
    "save": "archive.save",
}

__all__ = [
    "ArchiveError",
    "Attribute",
    "CompilationUnit",
    "CompileError",
    "Error",
    "Final",
    "Future",
    "JitWarning",
    "RecursiveScriptModule",
    "ScriptFunction",
    "ScriptModule",
    "ScriptWarning",
    "StrictFusionError",
    "TopLevelTracedModule",
    "TracedFunction",
    "TracedModule",
    "TracerWarning",
    "TracingCheckError",
    "TypeMismatch",
    "UnsupportedError",
    "_overload",
    "_overload_method",
    "annotate",
    "compare",
    "enable_onednn_fusion",
    "explain",
    "export",
    "export_opnames",
    "fork",
    "freeze",
    "fuser",
    "ignore",
    "inspect",
    "interface",
    "is_scripting",
    "is_tracing",
    "isinstance",
    "jit",
    "last_executed_optimized_graph",
    "load",
    "onednn_fusion_enabled",
    "optimize_for_inference",
    "optimized_execution",
    "run_frozen_optimizations",
    "save",
    "script",
    "script_if_tracing",
    "script_method",
    "set_fusion_strategy",
    "stats",
    "strict_fusion",
    "trace",
    "trace_module",
    "unused",
    "wait",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'jit' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"jit.{_LATER[name]}"), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
