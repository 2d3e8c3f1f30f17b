"""Relume: a just-in-time compiler for PyTorch tensor code on CPUs, with the names and meanings of
`torch.jit`.

    from jit import jit

    @jit
    def f(x, y): ...

    jit.explain(f), jit.stats(f), jit.compare(f, args)        with `import jit`

What few programs use, such as archives, is imported when it is first asked for.
"""

from typing import TYPE_CHECKING

from ir import CompileError, TypeMismatch, UnsupportedError, late_names
from jit.api import export_opnames, jit, script, script_if_tracing
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
from jit.reasons import JitWarning, ScriptWarning
from jit.stats import stats
from jit.trace.active import is_tracing
from jit.tracing import TracedFunction, trace, trace_module

if TYPE_CHECKING:
    from ir import Future, fork, wait
    from jit.archive.errors import ArchiveError
    from jit.archive.inspect import inspect
    from jit.archive.load import load
    from jit.archive.save import save
    from jit.comparison import compare
    from jit.compilation_unit import CompilationUnit
    from jit.explanation import explain
    from jit.frozen.freeze import freeze, optimize_for_inference, run_frozen_optimizations
    from jit.modules.script_module import RecursiveScriptModule, ScriptModule
    from jit.modules.traced import TopLevelTracedModule, TracedModule
    from jit.trace.check import TracingCheckError
    from jit.trace.recorder import TracerWarning

__getattr__, __dir__ = late_names(
    __name__,
    {
        "ir": "Future fork wait",
        "jit.archive.errors": "ArchiveError",
        "jit.archive.inspect": "inspect",
        "jit.archive.load": "load",
        "jit.archive.save": "save",
        "jit.comparison": "compare",
        "jit.compilation_unit": "CompilationUnit",
        "jit.explanation": "explain",
        "jit.frozen.freeze": "freeze optimize_for_inference run_frozen_optimizations",
        "jit.modules.script_module": "RecursiveScriptModule ScriptModule",
        "jit.modules.traced": "TopLevelTracedModule TracedModule",
        "jit.trace.check": "TracingCheckError",
        "jit.trace.recorder": "TracerWarning",
    },
)

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
