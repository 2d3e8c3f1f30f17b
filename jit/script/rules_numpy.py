"""Rules of numpy: its functions whose meaning is torch's. On a Python number they are the
functions of `math`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ir import Value
from jit.script import operators
from jit.script.attributes import has_op
from jit.script.dynamic import call_python
from jit.script.frame import Frame
from jit.script.rules import RULES, Rule, computed, finder
from jit.script.rules_numbers import math_rule
from jit.script.values import Arguments, Operand

RULES[np.dtype] = computed(np.dtype)


def _numpy_like(name: str, function: Any) -> Rule:
    def apply(frame: Frame, given: Arguments) -> Operand:
        passed = [*given.args, *given.kwargs.values()]
        if not any(map(operators.is_tensor, passed)):
            first = passed[0] if len(passed) == 1 and name in _OF_FLOATS else None
            is_number = isinstance(first, Value) and first.type in operators.NUMBERS
            known = math_rule(getattr(math, name, None)) if is_number else None
            if known is not None:
                return known(frame, given)
            return call_python(frame, function, given, function.__name__)
        names = {"axis": "dim", "keepdims": "keepdim"}
        return frame.op(
            f"aten::{name}", *given.args, **{names.get(k, k): v for k, v in given.kwargs.items()}
        )

    return apply


# Those that give a float for a number, as their namesakes in `math` do.
_OF_FLOATS = frozenset(
    """
    exp exp2 expm1 log log2 log10 log1p sqrt sin cos tan sinh cosh tanh asin acos atan asinh acosh
    atanh
    """.split()  # noqa: SIM905
)

# numpy's functions whose meaning is torch's, where the names differ; the others are found by their
# own name.
_NUMPY_NAMES = {
    "absolute": "abs",
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    "arctan2": "atan2",
    "arcsinh": "asinh",
    "arccosh": "acosh",
    "arctanh": "atanh",
    "power": "pow",
    "negative": "neg",
    "concatenate": "cat",
    "clip": "clamp",
    "equal": "eq",
    "not_equal": "ne",
    "less": "lt",
    "less_equal": "le",
    "greater": "gt",
    "greater_equal": "ge",
    "invert": "bitwise_not",
    "divide": "div",
    "true_divide": "div",
    "mod": "remainder",
    "rint": "round",
    "conjugate": "conj",
    "matmul": "matmul",
    "subtract": "sub",
    "multiply": "mul",
}
_NUMPY_SAME = frozenset(
    """
    add exp exp2 expm1 log log2 log10 log1p sqrt square sin cos tan sinh cosh tanh floor ceil trunc
    sign maximum minimum fmax fmin fmod remainder floor_divide hypot where sum mean prod isnan isinf
    isfinite logical_and logical_or logical_not logical_xor bitwise_and bitwise_or bitwise_xor
    copysign dot stack abs all any argmax argmin cumsum cumprod zeros_like ones_like reciprocal
    rad2deg deg2rad outer
    """.split()  # noqa: SIM905
)


def _is_numpy(obj: Any) -> bool:
    module = getattr(obj, "__module__", None) or ""
    return isinstance(obj, np.ufunc) or str(module).partition(".")[0] == "numpy"


@finder
def _find(obj: Any) -> Rule | None:
    """Functions of numpy."""
    if not _is_numpy(obj) or not hasattr(obj, "__name__") or isinstance(obj, type):
        return None
    name = obj.__name__
    known = _NUMPY_NAMES.get(name) or (name if name in _NUMPY_SAME else None)
    return None if known is None or not has_op(f"aten::{known}") else _numpy_like(known, obj)
