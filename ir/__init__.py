"""The intermediate representation: types, op table, graphs, passes, the reference interpreter.

Imports no other package of ours. Its modules are loaded when one of their names is first asked for:
where loading should wait, write `import ir` and `ir.optimize`, not `from ir import ...`.
"""

from typing import TYPE_CHECKING

from ir.late import LateModule, late_names

if TYPE_CHECKING:
    from ir import dtypes, registry, strides, typerules
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
        same_dim,
        size_max,
        symbols_of,
    )
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
    from ir.ops.loss import OUT_OF_BOUNDS
    from ir.ops.methods import LISTS, RESIZING
    from ir.ops.pointwise import NEGATIVE_EXPONENT, ZERO_DIVISION
    from ir.ops.python import BOUNDS, POSITION
    from ir.passes.infer import infer
    from ir.pipeline import PASSES, Dump, optimize, run_pipeline
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
    from ir.writes import compute_then_copy, is_copy, resizes, target_of

__getattr__, __dir__ = late_names(
    __name__,
    {
        "ir.abstract": "Known",
        "ir.alias": "Aliases",
        "ir.bounds": "LENGTHS WHOLE Interval",
        "ir.builder": "Builder",
        "ir.classes": "ClassDef ClassKind Field Method Program Role ScriptObject class_of",
        "ir.dims": "MINIMUM Assumption Compound Dim Facts Sym Symbol hint product same_dim size_max"
        " symbols_of",
        "ir.dtypes": "DType opmath",
        "ir.elements": "family_of is_passing is_whole",
        "ir.errors": "CompileError ParseError TypeMismatch TypeRuleError UnsupportedError"
        " VerifyError",
        "ir.futures": "Future wait",
        "ir.graph": "Block Graph Node Value copy_node",
        "ir.instance": "is_instance",
        "ir.interpreter": "Interpreter Observer",
        "ir.op": "At Composite Control Create Effect Element Join Lookup Op Opaque Pointwise Put"
        " Reduction Scalar Scan Structured View",
        "ir.ops": "attention images",
        "ir.ops.gradient": "autograd_nodes",
        "ir.ops.loss": "OUT_OF_BOUNDS",
        "ir.ops.methods": "LISTS RESIZING",
        "ir.ops.pointwise": "NEGATIVE_EXPONENT ZERO_DIVISION",
        "ir.ops.python": "BOUNDS POSITION",
        "ir.passes.infer": "infer",
        "ir.pipeline": "PASSES Dump optimize run_pipeline",
        "ir.printer": "type_text",
        "ir.records": "field is_record record replace",
        "ir.registry": "lookup overloads",
        "ir.schema": "Schema declared_schema parse_schema",
        "ir.source": "Span",
        "ir.stable_form": "Unstable canonical stable",
        "ir.strides": "view_strides",
        "ir.torch_bridge": "constant_of dtype_of erased_type_of fork reference to_torch type_of",
        "ir.typerules": "Unknown",
        "ir.types": "ANY BOOL COMPLEX DEVICE DTYPE FLOAT GENERATOR INT LAYOUT MEMORY_FORMAT NONE"
        " NUMBER RANGE SIZE STR TENSOR DictType FutureType ListType ObjectType OptionalType Prim"
        " SequenceType SetType TensorType TupleType Type UnionType contiguous_strides is_subtype"
        " join optional same_each",
        "ir.writes": "compute_then_copy is_copy resizes target_of",
    },
)
