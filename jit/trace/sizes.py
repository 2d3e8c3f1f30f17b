"""Numbers that a trace follows: sizes of traced tensors, and what Python computes from them.

A `TracedInt` is a `torch.SymInt`, torch's own type for an int that is more than its value:
operators take it where they take a size, and hand it to the tracer as it is. Arithmetic on it is
recorded. Whatever needs a plain number (`range`, `int`, an `if`, a comparison, a parameter that is
no size) gets it, and a warning says that it is now fixed. Comparisons that torch's own Python code
makes are arguments checked, not paths chosen, and stay silent.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch

from ir import Value
from jit.trace.frames import is_asked_by_torch
from jit.trace.recorder import Recorder, TracedNumber

_Number = int | float


class _Traced(TracedNumber):
    """What traced ints and floats have in common."""

    def __init__(self, recorder: Recorder, value: Value, hint: Any) -> None:
        self.recorder = recorder
        self.value = value
        self.hint = hint
        self.node = SizeNode(self)

    def _plain(self, use: str) -> Any:
        if not is_asked_by_torch():
            self.recorder.freeze(f"{use} the size {self.hint}")
        return self.hint

    def __index__(self) -> int:
        return operator.index(self._plain("Python took as an int"))

    def __int__(self) -> int:
        return int(self._plain("Python took as an int"))

    def __float__(self) -> float:
        return float(self._plain("Python took as a float"))

    def __bool__(self) -> bool:
        return bool(self._plain("Python tested"))

    def __hash__(self) -> int:
        return hash(self.hint)

    def __repr__(self) -> str:
        return repr(self.hint)

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(self.hint, spec)

    def __deepcopy__(self, memo: object) -> _Traced:
        return self


class TracedInt(_Traced, torch.SymInt):
    """An int of the traced run."""


class TracedFloat(_Traced, torch.SymFloat):
    """A float of the traced run."""


def traced(recorder: Recorder, value: Value, hint: Any) -> Any:
    """The number that stands for a value."""
    return (TracedFloat if isinstance(hint, float) else TracedInt)(recorder, value, hint)


def plain(value: Any) -> Any:
    """A number, or a list or tuple of numbers and other things, without traced ones."""
    match value:
        case TracedNumber():
            return value.hint
        case torch.SymInt() | torch.SymFloat():
            return plain(value.node.number)
        case list():
            return [plain(v) for v in value]
        case tuple() if any(isinstance(v, torch.SymInt | torch.SymFloat) for v in value):
            return tuple(plain(v) for v in value)
    return value


# arithmetic ---------------------------------------------------------------------------------------
def _compute(name: str, function: Callable[..., Any], *operands: Any) -> Any:
    """Compute on the hints and record the operator on the values."""
    if not all(isinstance(v, _Number | _Traced) for v in operands):
        return NotImplemented
    hint = function(*map(plain, operands))
    if not isinstance(hint, _Number):
        return NotImplemented
    recorder = next(v.recorder for v in operands if isinstance(v, _Traced))
    if name == "aten::pow" and isinstance(hint, int):
        name = "aten::pow.int_to_int"
    return traced(recorder, recorder.call(name, *operands), hint)


_BINARY: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "add": ("aten::add", operator.add),
    "sub": ("aten::sub", operator.sub),
    "mul": ("aten::mul", operator.mul),
    "floordiv": ("aten::floordiv", operator.floordiv),
    "truediv": ("aten::div", operator.truediv),
    "mod": ("aten::remainder", operator.mod),
    "pow": ("aten::pow", operator.pow),
}
_UNARY: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "neg": ("aten::neg", operator.neg),
    "floor": ("aten::floor", lambda x: x.__floor__()),
    "ceil": ("aten::ceil", lambda x: x.__ceil__()),
}
_COMPARE = {name: getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")}


def _binary(name: str, function: Callable[..., Any], *, is_swapped: bool) -> Callable[..., Any]:
    if is_swapped:
        return lambda self, other: _compute(name, function, other, self)
    return lambda self, other: _compute(name, function, self, other)


def _unary(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self: _compute(name, function, self)


def _compare(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def compare(self: _Traced, other: object) -> Any:
        if not isinstance(other, _Number | _Traced):
            return NotImplemented
        return function(self._plain("Python compared"), plain(other))

    return compare


for _cls in (TracedInt, TracedFloat):
    for _key, (_op, _function) in _BINARY.items():
        setattr(_cls, f"__{_key}__", _binary(_op, _function, is_swapped=False))
        setattr(_cls, f"__r{_key}__", _binary(_op, _function, is_swapped=True))
    for _key, (_op, _inverse) in _UNARY.items():
        setattr(_cls, f"__{_key}__", _unary(_op, _inverse))
    for _key, _function in _COMPARE.items():
        setattr(_cls, f"__{_key}__", _compare(_function))


# what torch's C++ code asks -----------------------------------------------------------------------
class SizeNode:
    """What torch's argument parser and C++ arithmetic on sizes use of its node protocol."""

    __slots__ = ("is_static", "number")

    def __init__(self, number: Any, is_static: bool = False) -> None:
        self.number = number  # a traced number; a plain one where C++ brought it in
        self.is_static = is_static  # whether it is the same for all inputs

    def is_int(self) -> bool:
        return isinstance(plain(self.number), int)

    def is_float(self) -> bool:
        return isinstance(plain(self.number), float)

    def is_bool(self) -> bool:
        return isinstance(plain(self.number), bool)

    def is_nested_int(self) -> bool:
        return False

    def is_symbolic(self) -> bool:
        return isinstance(self.number, TracedNumber)

    def is_constant(self) -> bool:
        return not self.is_symbolic()

    def has_hint(self) -> bool:
        return True

    def nested_int(self) -> None:
        return None

    def maybe_as_int(self) -> int | None:
        return None if self.is_symbolic() else self.number

    constant_int = maybe_as_int

    def wrap_int(self, number: int) -> SizeNode:
        return SizeNode(number)

    wrap_float = wrap_bool = wrap_int

    def statically_known_true(self, file: str, line: int) -> bool:
        return self.is_static and bool(plain(self.number))

    def guard_int(self, file: str, line: int) -> int:
        return int(self.number.__index__())

    def guard_float(self, file: str, line: int) -> float:
        return float(self.number.__float__())

    def guard_bool(self, file: str, line: int) -> bool:
        return bool(plain(self.number))

    guard_or_false = guard_or_true = guard_size_oblivious = expect_true = guard_bool

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Arithmetic and comparisons: `node.add(other)`."""
        if name in _COMPARE:
            return lambda other: SizeNode(
                _COMPARE[name](plain(self.number), plain(other.number)),
                self.is_constant() and other.is_constant(),
            )
        if name == "str":
            return lambda: repr(self.number)
        function = _C_ARITHMETIC.get(name)
        if function is None:
            raise AttributeError(f"sizes in a trace have no {name!r}")
        return lambda *others: SizeNode(function(self.number, *(o.number for o in others)))


_C_ARITHMETIC: dict[str, Callable[..., Any]] = {
    "neg": operator.neg,
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "mod": operator.mod,
    "floordiv": operator.floordiv,
    "int_floordiv": operator.floordiv,
    "truediv": operator.truediv,
    "int_truediv": operator.truediv,
    "float_truediv": operator.truediv,
    "pow": operator.pow,
    "clone": lambda x: x,
}
