"""Modules: `jit.script(module)` and `jit.jit(module)`.

module ── recursive: copies by reference ──► ScriptModule ── methods: compiled when asked for
   │                                             └── watched: what changes makes them compiled anew
   └── compiled_module: the same state, the forward compiled
"""
