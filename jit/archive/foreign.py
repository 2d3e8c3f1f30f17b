"""Functions that torch.jit has compiled, called from what is saved: their graphs, by way of an
archive of their own.
"""

from __future__ import annotations

import io
from typing import Any

import torch

from ir import Graph, LateModule

_LOAD = LateModule("jit.archive.load")  # which needs modules, and these need saving


def foreign_graph(function: Any) -> Graph | None:
    """The graph of one of torch's compiled functions, None for anything else."""
    if not isinstance(function, torch.jit.ScriptFunction):
        return None
    held: Any = function  # whose stubs ask for more arguments than there are
    module = _LOAD.load(io.BytesIO(held.save_to_buffer()))
    graph: Graph = type(module).definition.methods["forward"].graph.copy()
    graph.name = getattr(function, "name", None) or graph.name
    graph.block.params.pop(0)  # the module, which has no state
    return graph
