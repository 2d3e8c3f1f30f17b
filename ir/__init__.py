"""The intermediate representation: types, op table, graphs, passes, the reference interpreter.

Imports no other package of ours. The passes are loaded when they are used for the first time: where
loading should wait, reach them as `ir.optimize`, not by `from ir import ...`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ir import dtypes, ops, registry, strides, typerules
from ir.abstract import Known
from ir.alias import Aliases
from ir.bounds import LENGTHS, WHOLE, Interval
from ir.builder import Builder
from ir.classes import ClassDef, ClassKind, Field, Method, Program, Role, ScriptObject, class_of
from ir.dims import (
    MINIMUM,
    Assumption,
    Compound,
    Dim,
    Facts,
    Sym,
    Symbol,
    hint,
    product,
    size_max,
    symbols_of,
)
from ir.dims import same as same_dim
from ir.dtypes import DType, opmath
from ir.elements import family_of, is_passing, is_whole
from ir.errors import (
    CompileError,
    ParseError,
    TypeMismatch,
    TypeRuleError,
    UnsupportedError,
    VerifyError,
)
from ir.futures import Future, wait
from ir.graph import Block, Graph, Node, Value, copy_node
from ir.instance import is_instance
from ir.interpreter import Interpreter, Observer
from ir.op import (
    At,
    Composite,
    Control,
    Create,
    Effect,
    Element,
    Join,
    Lookup,
    Op,
    Opaque,
    Pointwise,
    Put,
    Reduction,
    Scalar,
    Scan,
    Structured,
    View,
)
from ir.ops import attention, images
from ir.ops.gradient import autograd_nodes
from ir.ops.methods import LISTS, RESIZING
from ir.ops.python import BOUNDS, POSITION
from ir.passes.infer import infer
from ir.printer import type_text
from ir.records import field, is_record, record, replace
from ir.registry import lookup, overloads
from ir.schema import Schema, declared_schema, parse_schema
from ir.source import Span
from ir.stable_form import Unstable, canonical, stable
from ir.strides import view_strides
from ir.torch_bridge import (
    constant_of,
    dtype_of,
    erased_type_of,
    fork,
    reference,
    to_torch,
    type_of,
)
from ir.typerules import Unknown
from ir.types import (
    ANY,
    BOOL,
    COMPLEX,
    DEVICE,
    DTYPE,
    FLOAT,
    GENERATOR,
    INT,
    LAYOUT,
    MEMORY_FORMAT,
    NONE,
    NUMBER,
    RANGE,
    SIZE,
    STR,
    TENSOR,
    DictType,
    FutureType,
    ListType,
    ObjectType,
    OptionalType,
    Prim,
    SequenceType,
    SetType,
    TensorType,
    TupleType,
    Type,
    UnionType,
    contiguous_strides,
    is_subtype,
    join,
    optional,
    same_each,
)
from ir.writes import compute_then_copy, is_copy, target_of

if TYPE_CHECKING:
    from ir.pipeline import PASSES, Dump, optimize, run_pipeline

_PIPELINE = ("PASSES", "Dump", "optimize", "run_pipeline")

__all__ = [
    "ANY",
    "BOOL",
    "BOUNDS",
    "COMPLEX",
    "DEVICE",
    "DTYPE",
    "FLOAT",
    "GENERATOR",
    "INT",
    "LAYOUT",
    "LENGTHS",
    "LISTS",
    "MEMORY_FORMAT",
    "MINIMUM",
    "NONE",
    "NUMBER",
    "PASSES",
    "POSITION",
    "RANGE",
    "RESIZING",
    "SIZE",
    "STR",
    "TENSOR",
    "WHOLE",
    "Aliases",
    "Assumption",
    "At",
    "Block",
    "Builder",
    "ClassDef",
    "ClassKind",
    "CompileError",
    "Composite",
    "Compound",
    "Control",
    "Create",
    "DType",
    "DictType",
    "Dim",
    "Dump",
    "Effect",
    "Element",
    "Facts",
    "Field",
    "Future",
    "FutureType",
    "Graph",
    "Interpreter",
    "Interval",
    "Join",
    "Known",
    "ListType",
    "Lookup",
    "Method",
    "Node",
    "ObjectType",
    "Observer",
    "Op",
    "Opaque",
    "OptionalType",
    "ParseError",
    "Pointwise",
    "Prim",
    "Program",
    "Put",
    "Reduction",
    "Role",
    "Scalar",
    "Scan",
    "Schema",
    "ScriptObject",
    "SequenceType",
    "SetType",
    "Span",
    "Structured",
    "Sym",
    "Symbol",
    "TensorType",
    "TupleType",
    "Type",
    "TypeMismatch",
    "TypeRuleError",
    "UnionType",
    "Unknown",
    "Unstable",
    "UnsupportedError",
    "Value",
    "VerifyError",
    "View",
    "attention",
    "autograd_nodes",
    "canonical",
    "class_of",
    "compute_then_copy",
    "constant_of",
    "contiguous_strides",
    "copy_node",
    "declared_schema",
    "dtype_of",
    "dtypes",
    "erased_type_of",
    "family_of",
    "field",
    "fork",
    "hint",
    "images",
    "infer",
    "is_copy",
    "is_instance",
    "is_passing",
    "is_record",
    "is_subtype",
    "is_whole",
    "join",
    "lookup",
    "opmath",
    "ops",
    "optimize",
    "optional",
    "overloads",
    "parse_schema",
    "product",
    "record",
    "reference",
    "registry",
    "replace",
    "run_pipeline",
    "same_dim",
    "same_each",
    "size_max",
    "stable",
    "strides",
    "symbols_of",
    "target_of",
    "to_torch",
    "type_of",
    "type_text",
    "typerules",
    "view_strides",
    "wait",
]


def __getattr__(name: str) -> Any:
    if name not in _PIPELINE:
        raise AttributeError(f"module 'ir' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module("ir.pipeline"), name)
    return found
