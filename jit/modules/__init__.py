"""Modules: `jit.script(module)` and `jit.jit(module)`.

module ── recursive: copies by reference ──► ScriptModule ── methods: compiled when asked for
   │                                             └── watched: what changes makes them compiled anew
   └── compiled_module: the same state, the forward compiled
"""

from jit.modules.compiled_module import (
    CompiledModule,
    compiled_forward,
    compiled_module,
    is_module,
)
from jit.modules.recursive import script_module
from jit.modules.script_module import RecursiveScriptModule, ScriptModule

__all__ = [
    "CompiledModule",
    "RecursiveScriptModule",
    "ScriptModule",
    "compiled_forward",
    "compiled_module",
    "is_module",
    "script_module",
]
