"""Library functions that TorchScript has no operator for, in its own language (see
`jit.archive.torchscript`): archives hold them as functions, compiled for the types of the call.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

from ir import (
    ANY,
    BOOL,
    COMPLEX,
    FLOAT,
    INT,
    NONE,
    STR,
    TENSOR,
    Builder,
    CompileError,
    DictType,
    Graph,
    ListType,
    Node,
    OptionalType,
    TupleType,
    Type,
    Value,
)
from jit.archive.script_classes import python_type
from jit.archive.sets import FUNCTIONS
from jit.archive.torchscript import dicts, floats, numbers, sequences, tensors, text
from jit.script import compile_function
from jit.script.library import library_name

Function = Callable[..., Any]
Fits = Callable[[Sequence[Type]], bool]
Call = tuple[Function, list[Value]]


def _are(*types: Type) -> Fits:
    return lambda given: list(given) == list(types)


def _are_dicts(given: Sequence[Type]) -> bool:
    return all(isinstance(t, DictType) for t in given)


def _are_numbers(given: Sequence[Type]) -> bool:
    return len(given) == 2 and all(t in (INT, FLOAT) for t in given)


def _is_list(given: Sequence[Type]) -> bool:
    return len(given) == 1 and isinstance(given[0], ListType)


def _are_ordered(given: Sequence[Type]) -> bool:
    are_tuples = isinstance(given[0], TupleType) and isinstance(given[1], TupleType)
    return are_tuples or (given[0] == given[1] and isinstance(given[0], ListType))


def _are_sorted_in_turn(given: Sequence[Type]) -> bool:
    return isinstance(given[0], ListType) and isinstance(given[0].element, ListType | TupleType)


def _are_of_text(given: Sequence[Type]) -> bool:
    return isinstance(given[1], TupleType) and set(given[1].elements) == {STR}


_SUBSTITUTES: dict[str, list[tuple[Function, Fits]]] = {
    "set_slice": [
        (sequences.set_slice, lambda given: given[3] == NONE),
        (sequences.set_slice_by, lambda given: given[3] == INT),
    ],
    "delete_slice": [(sequences.delete_slice, lambda given: given[3] == NONE)],
    "sorted_by": [(sequences.sorted_by, lambda given: given[2] == BOOL)],
    "sorted_plain": [(sequences.sorted_plain, _are_sorted_in_turn)],
    "extreme_by": [
        (sequences.extreme_by, lambda given: len(given) == 3),
        (sequences.extreme_or, lambda given: len(given) == 4),
    ],
    "min": [(sequences.least, _is_list)],
    "max": [(sequences.largest, _is_list)],
    "transposed": [(sequences.transposed, lambda given: given[0] != ListType(STR))],
    "broadcast_shapes": [(sequences.broadcast_two, _are(ListType(INT), ListType(INT)))],
    "math_prod": [(sequences.product, _are(ListType(INT)))],
    "operator_lt": [(sequences.less, _are_ordered)],
    "operator_le": [(sequences.less_or_equal, _are_ordered)],
    "operator_gt": [(sequences.greater, _are_ordered)],
    "operator_ge": [(sequences.greater_or_equal, _are_ordered)],
    "operator_eq": [(dicts.equal, _are_dicts)],
    "operator_ne": [(dicts.unequal, _are_dicts)],
    "operator_or": [(dicts.merged, _are_dicts)],
    "operator_ior": [(dicts.merge, _are_dicts)],
    "operator_mul": [(text.repeat, _are(STR, INT))],
    "operator_contains": [
        (text.contains, _are(STR, STR)),
        (sequences.contains, lambda given: given[0] == ListType(given[1])),
    ],
    "str_casefold": [(text.fold, _are(STR))],
    "str_removeprefix": [(text.remove_prefix, _are(STR, STR))],
    "str_removesuffix": [(text.remove_suffix, _are(STR, STR))],
    "repr": [
        (text.representation, _are(STR)),
        (floats.float_text, _are(FLOAT)),
        (text.text_of_list, _is_list),
        (text.text_of_dict, _are_dicts),
        (text.text_of_tuple, lambda given: isinstance(given[0], TupleType)),
        (text.text_of_optional, lambda given: isinstance(given[0], OptionalType)),
    ],
    "int": [(numbers.int_of, _are(STR, INT))],
    "pow": [(numbers.power_modulo, _are(INT, INT, INT))],
    "round": [(numbers.rounded, _are(FLOAT, INT))],
    "math_hypot": [(numbers.hypotenuse, _are_numbers)],
    "math_isclose": [(numbers.is_close, _are_numbers)],
    "math_dist": [
        (numbers.distance, _are(ListType(FLOAT), ListType(FLOAT))),
        (numbers.int_distance, _are(ListType(INT), ListType(INT))),
    ],
    "math_fsum": [(numbers.exact_sum, _are(ListType(FLOAT)))],
    "math_lcm": [(numbers.common_multiple, _are(INT, INT))],
    "math_isqrt": [(numbers.int_root, _are(INT))],
    "math_perm": [(numbers.permutations, _are(INT, INT))],
    "math_comb": [(numbers.combinations, _are(INT, INT))],
    "cmath_phase": [(numbers.angle, _are(COMPLEX))],
    "cmath_polar": [(numbers.polar, _are(COMPLEX))],
    "index_width": [(tensors.width, _are(TENSOR))],
    "operator_getitem": [(tensors.at_all, _are(TENSOR, ListType(TENSOR)))],
    "tolist": [(tensors.nested_list, _are(TENSOR))],
    "math_trunc": [(numbers.truncated, _are(FLOAT))],
    "math_log2": [(numbers.log2, _are(FLOAT)), (numbers.log2, _are(INT))],
    "str.startswith": [(text.starts_with_any, _are_of_text)],
    "str.endswith": [(text.ends_with_any, _are_of_text)],
    "int.bit_length": [(numbers.bit_length, _are(INT))],
    "complex.real": [(numbers.real, _are(COMPLEX))],
    "complex.imag": [(numbers.imaginary, _are(COMPLEX))],
    "complex.conjugate": [(numbers.conjugate, _are(COMPLEX))],
    "sizes.numel": [(sequences.product, _are(ListType(INT)))],
}
_OWNERS: dict[Type, str] = {STR: "str", INT: "int", COMPLEX: "complex", ListType(INT): "sizes"}


def substitute(node: Node, generic: Callable[[Type], Type]) -> tuple[Graph, list[Value]] | None:
    """A graph with the meaning of a call of the library, and what it is called with; None when
    there is none. `generic` gives the types of archives.
    """
    found = _call(node)
    if found is None:
        return None
    function, inputs = found
    try:
        types = [python_type(v.type) for v in inputs]
        graph: Graph = compile_function(function, types).graph
    except CompileError:
        return None
    wanted = [v.type for v in node.outputs]
    return (graph, inputs) if wanted in ([ANY], [generic(v.type) for v in graph.returns]) else None


def _call(node: Node) -> Call | None:
    called = node.attrs["function"]
    if isinstance(called, FunctionType) and called in FUNCTIONS:
        return called, node.inputs
    name, inputs = library_name(called) or "", node.inputs
    if name == "format":
        return _format(node)
    if name in ("getattr", "call_method") and inputs[0].type in _OWNERS:
        name = f"{_OWNERS[inputs[0].type]}.{_known(inputs[1])}"
        inputs = [inputs[0], *inputs[3:]]
    types = [v.type for v in inputs]
    for function, fits in _SUBSTITUTES.get(name, ()):
        if fits(types):
            return function, inputs
    return None


# formats ------------------------------------------------------------------------------------------
_SPEC = re.compile(
    r"(?:(?P<fill>.)?(?P<align>[<>=^]))?(?P<sign>[-+ ])?(?P<alternate>#)?(?P<zero>0)?"
    r"(?P<width>\d+)?(?P<mark>[,_])?(?:\.(?P<digits>\d+))?(?P<kind>[bcdeEfFgGnosxX%])?"
)
_PREFIXES = {"x": "0x", "X": "0X", "b": "0b", "o": "0o"}


def _format(node: Node) -> Call | None:
    """`format(value, "...")`, the parts of the specification as arguments."""
    value, form = node.inputs
    spec = _SPEC.fullmatch(str(_known(form)))
    if spec is None or (spec["zero"] and (spec["mark"] or spec["align"])):
        return None
    kind, zero = spec["kind"] or "", bool(spec["zero"])
    b = Builder.before(node)
    number = value.type != STR
    fill = "0" if zero else spec["fill"] or " "
    align = "=" if zero else spec["align"] or (">" if number else "<")
    layout = [b.const(fill), b.const(align), b.const(int(spec["width"] or 0))]
    sign, mark = b.const(spec["sign"] or "-"), b.const(spec["mark"] or "")
    if value.type == STR and kind in ("", "s") and spec["digits"] is None:
        return text.format_text, [value, *layout]
    if value.type == INT and kind in ("", "d", *_PREFIXES) and spec["digits"] is None:
        prefix = _PREFIXES.get(kind, "") if spec["alternate"] else ""
        return text.format_int, [value, b.const(kind), b.const(prefix), sign, *layout, mark]
    if value.type not in (INT, FLOAT) or spec["alternate"]:
        return None
    real = value if value.type == FLOAT else b.op("aten::Float", value)
    if kind in ("f", "F", "%"):
        digits, unit = b.const(int(spec["digits"] or 6)), b.const("%" if kind == "%" else "")
        return text.format_fixed, [real, digits, unit, sign, *layout, mark]
    if kind in ("e", "E", "g", "G", "") and (kind or value.type == FLOAT):
        digits = b.const(int(spec["digits"] or (6 if kind else -1)))
        function = floats.format_exponent if kind in ("e", "E") else floats.format_general
        return function, [real, digits, b.const(kind), sign, *layout, mark]
    return None


def _known(value: Value) -> Any:
    return value.node.attrs.get("value") if value.node is not None else None
