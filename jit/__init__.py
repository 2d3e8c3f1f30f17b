"""Relume: a just-in-time compiler for PyTorch tensor code on CPUs, with the names and meanings of
`torch.jit`.

    from jit import jit

    @jit
    def f(x, y): ...

    jit.explain(f), jit.stats(f), jit.compare(f, args)        with `import jit`
"""

import gc

_IS_COLLECTING = gc.isenabled()
gc.disable()  # importing makes much and drops little: collecting torch's heap for it takes longer
try:
    from ir import CompileError, Future, TypeMismatch, UnsupportedError, fork, wait
    from jit.api import jit, script
    from jit.archive.save import save
    from jit.compare import compare
    from jit.explain import explain
    from jit.function import ScriptFunction
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
    from jit.reasons import JitWarning, ScriptWarning
    from jit.stats import stats
    from jit.trace import TracerWarning, TracingCheckError, is_tracing
    from jit.tracing import TracedFunction, trace
finally:
    if _IS_COLLECTING:
        gc.enable()

__all__ = [
    "Attribute",
    "CompileError",
    "Error",
    "Final",
    "Future",
    "JitWarning",
    "RecursiveScriptModule",
    "ScriptFunction",
    "ScriptModule",
    "ScriptWarning",
    "TracedFunction",
    "TracerWarning",
    "TracingCheckError",
    "TypeMismatch",
    "UnsupportedError",
    "_overload",
    "_overload_method",
    "annotate",
    "compare",
    "explain",
    "export",
    "fork",
    "ignore",
    "interface",
    "is_scripting",
    "is_tracing",
    "isinstance",
    "jit",
    "save",
    "script",
    "script_method",
    "stats",
    "trace",
    "unused",
    "wait",
]
