"""The tracer: records one run of a Python function as a graph that serves other sizes, too."""

from jit.trace.calling import around
from jit.trace.check import TracingCheckError, check_trace
from jit.trace.nested import nested_graph
from jit.trace.recorder import TracerWarning
from jit.trace.state import module_of
from jit.trace.structure import LEAF, Structure, clone_leaves, flatten
from jit.trace.tracer import Arguments, TracedGraph, call_graph, is_tracing, trace_graph

__all__ = [
    "LEAF",
    "Arguments",
    "Structure",
    "TracedGraph",
    "TracerWarning",
    "TracingCheckError",
    "around",
    "call_graph",
    "check_trace",
    "clone_leaves",
    "flatten",
    "is_tracing",
    "module_of",
    "nested_graph",
    "trace_graph",
]
