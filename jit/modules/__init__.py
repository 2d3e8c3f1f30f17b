"""Modules: `jit.script(module)`, and modules whose forward was swapped for a compiled one.

module ── recursive: copies by reference ──► ScriptModule ── methods: compiled when asked for
   │                                             └── watched: what changes makes them compiled anew
   └── swap: the same object, its forward compiled
"""

from jit.modules.recursive import script_module
from jit.modules.script_module import RecursiveScriptModule, ScriptModule
from jit.modules.swap import is_module, swap_forward

__all__ = [
    "RecursiveScriptModule",
    "ScriptModule",
    "is_module",
    "script_module",
    "swap_forward",
]
