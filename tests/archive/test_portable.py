"""What archives call by name: every function of the library has a form or a reason, and whatever a
file says, a call reaches plain data only.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from jit.archive import library_calls, portable, pythons, results, sets, substitutes
from jit.archive.contexts import is_context
from jit.script.library import LIBRARY

REASONS = {
    "sorted": "`sorted_plain` and `sorted_by` in its place",
    "id": "an address of this process",
    "type": "a class as a value",
    "isinstance": "a class as a value",
    "call": "a function as a value",
    "call_spread": "a function as a value",
    "setattr": "objects whose fields have no types",
    "hasattr": "objects whose fields have no types",
    "slice": "made by its path, `builtins:slice`",
    "bytes": "made by its path, `builtins:bytes`",
    "bytearray": "made by its path, `builtins:bytearray`",
    "walk": "an iterator that others see",
    "advance": "an iterator that others see",
    "current": "an iterator that others see",
    "raise_error": "an exception as a value",
    "str_format_map": "attributes of what it is given",
    "str_format": "`format_fields` in its place",
    "str_encode": "`call_method` in its place",
    "str_translate": "`call_method` in its place",
}
"""Functions of the library that archives have no word for, and why."""


def has_form(name: str) -> bool:
    function = LIBRARY[name]
    return (
        portable.portable_function(name) is not None
        or name in library_calls._OPERATORS
        or name in library_calls._SPECIAL
        or name in substitutes._SUBSTITUTES
        or name.removeprefix("set_") in sets._METHODS
        or name in ("set", "frozenset", "set_symmetric_difference_update")
        or (isinstance(function, type) and is_context(function))
        or function is pythons.raise_named  # `prim::RaiseException`
        or getattr(function, "__module__", "") == results.__name__
    )


def test_every_function_has_a_form_or_a_reason() -> None:
    assert {name for name in LIBRARY if not has_form(name)} == set(REASONS)


# hostile files ------------------------------------------------------------------------------------
class Holder:
    secret = 1


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("getattr", (1, "__class__")),
        ("getattr", (Holder(), "secret")),
        ("getattr", ([], "append")),
        ("getattr", (torch.ones(1), "__dict__")),
        ("call_method", ("", "__class__", [])),
        ("call_method", ("{0.__class__}", "format", [], 1)),
        ("call_method", (torch.ones(1), "numpy", [])),
        ("call_method", (torch.ones(1), "data_ptr", [])),
        ("call_method", (Holder(), "secret", [])),
        ("call_named", ("os:system", [], "true")),
        ("call_named", ("builtins:eval", [], "1")),
        ("call_named", ("builtins:getattr", [], 1, "__class__")),
        ("format_fields", ("{0.__class__}", [], 1)),
        ("type_named", ("object",)),
    ],
)
def test_nothing_else_is_reached(name: str, args: tuple[Any, ...]) -> None:
    function = portable.portable_function(name)
    assert function is not None
    with pytest.raises((AttributeError, ValueError, KeyError)):
        function(*args)


@pytest.mark.parametrize("name", ["eval", "setattr", "type", "call", "str_format", "object_at"])
def test_names_outside_of_the_list(name: str) -> None:
    assert portable.portable_function(name) is None


def test_plain_data_is_reached() -> None:
    called = portable.portable_function
    assert called("call_method")("ab", "upper", []) == "AB"  # type: ignore[misc]
    assert called("call_method")([2, 1], "index", [], 1) == 1  # type: ignore[misc]
    assert called("call_method")(torch.ones(2), "sum", []) == 2  # type: ignore[misc]
    assert called("call_named")("itertools:pairwise", [], [1, 2])  # type: ignore[misc]
    assert called("getattr")(1j, "imag") == 1.0  # type: ignore[misc]
    assert called("format_fields")("{a[0]:.1f}", ["a"], [2.0]) == "2.0"  # type: ignore[misc]
