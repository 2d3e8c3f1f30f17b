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
    from ir import CompileError, TypeMismatch, UnsupportedError
    from jit.api import jit, script
    from jit.compare import compare
    from jit.explain import explain
    from jit.function import ScriptFunction
    from jit.reasons import JitWarning
    from jit.stats import stats
    from jit.trace import TracerWarning, TracingCheckError, is_tracing
    from jit.tracing import TracedFunction, trace
finally:
    if _IS_COLLECTING:
        gc.enable()

__all__ = [
    "CompileError",
    "JitWarning",
    "ScriptFunction",
    "TracedFunction",
    "TracerWarning",
    "TracingCheckError",
    "TypeMismatch",
    "UnsupportedError",
    "compare",
    "explain",
    "is_tracing",
    "jit",
    "script",
    "stats",
    "trace",
]
