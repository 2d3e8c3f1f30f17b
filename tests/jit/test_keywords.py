"""Functions that take any keywords, and wrappers: compiled for each shape of call, their keyword
arguments a dict that is known while compiling.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

import jit

X = torch.linspace(-1, 1, 6)


def double(x: Tensor) -> Tensor:
    return x * 2


def halve(x: Tensor) -> Tensor:
    return x / 2


class Table(Mapping[str, Callable[[Tensor], Tensor]]):
    """A mapping of functions that is no dict."""

    def __init__(self) -> None:
        self.known = {"double": double, "halve": halve}

    def __getitem__(self, key: str) -> Callable[[Tensor], Tensor]:
        return self.known[key]

    def __iter__(self) -> Any:
        return iter(self.known)

    def __len__(self) -> int:
        return len(self.known)


TABLE = Table()


def changes(x: Tensor, **kwargs: Any) -> Tensor:
    scale = kwargs.pop("scale", 3.0)
    kwargs["shift"] = kwargs.get("shift", 1.0) + 1
    kwargs.setdefault("power", 2)
    kwargs.update(offset=0.5)
    if "power" in kwargs:
        x = x ** kwargs["power"]
        del kwargs["power"]
    assert sorted(kwargs) == ["offset", "shift"] and len(kwargs) == 2
    return inner(x * scale, **kwargs)


def inner(x: Tensor, shift: float = 0.0, offset: float = 0.0) -> Tensor:
    return x + shift - offset


def aliases(x: Tensor, **kwargs: Any) -> Tensor:
    same, other = kwargs, kwargs.copy()
    same["a"] = 1.0
    return x + kwargs["a"] + other.get("a", 5.0)


def branches(x: Tensor, **kwargs: Any) -> Tensor:
    for name in ["a", "b", "c"]:
        if kwargs.get(name) is not None:
            x = x * kwargs[name]
        else:
            kwargs[name] = 2.0
    return x + kwargs["a"] + kwargs["c"]


def dispatches(x: Tensor, way: str = "double", **kwargs: Any) -> Tensor:
    name = "halve" if kwargs.get("half") else "double"
    function: Callable[[Tensor], Tensor] = TABLE.get(name, double)
    if "dynamic" in way or way.startswith("paged") or way not in TABLE:
        raise KeyError(way)
    assert callable(function)
    return function(x)


def counts(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that looks at how it is called."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        extra = len(args) + 10 * len(kwargs)
        if "shift" in function.__code__.co_varnames and "shift" not in kwargs:
            kwargs["shift"] = 1.0
        return function(*args, **kwargs) + extra

    return wrapper


wrapped = counts(inner)

CALLS: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = [
    (changes, (X,), {}),
    (changes, (X,), {"scale": 2.0, "shift": 4.0}),
    (changes, (X,), {"power": 3}),
    (aliases, (X,), {}),
    (aliases, (X,), {"a": 7.0}),
    (branches, (X,), {}),
    (branches, (X,), {"b": 3.0, "a": 4.0}),
    (dispatches, (X,), {}),
    (dispatches, (X,), {"half": True}),
    (dispatches, (X,), {"half": False}),
    (wrapped, (X,), {}),
    (wrapped, (X,), {"offset": 3.0}),
    (wrapped, (X,), {"shift": 2.0}),
]


@pytest.mark.parametrize(("function", "args", "kwargs"), CALLS)
def test_every_shape_of_call(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    compiled = jit.jit(function, strict=True)
    for _ in range(3):
        torch.testing.assert_close(compiled(*args, **kwargs), function(*args, **kwargs))
    assert jit.stats(compiled).native


def test_shapes_of_one_function() -> None:
    compiled = jit.jit(changes, strict=True)
    for kwargs in [{}, {"scale": 2.0}, {}, {"shift": 3.0, "scale": 1.0}, {"scale": 4.0}] * 2:
        torch.testing.assert_close(compiled(X, **kwargs), changes(X, **kwargs))


def in_loop(x: Tensor, **kwargs: Any) -> Tensor:
    for i in range(int(x.sum())):
        kwargs["last"] = i
    return x


def test_changes_in_a_loop_are_refused() -> None:
    with pytest.raises(jit.CompileError, match="cannot be changed in a loop"):
        jit.jit(in_loop, strict=True)(X)


def missing(x: Tensor, **kwargs: Any) -> Tensor:
    return x + kwargs["absent"]


def test_a_missing_keyword_is_refused() -> None:
    with pytest.raises(jit.CompileError, match="no keyword argument 'absent'"):
        jit.jit(missing, strict=True)(X)
    with pytest.warns(jit.JitWarning), pytest.raises(KeyError):
        jit.jit(missing)(X)


def test_a_registered_function_is_seen() -> None:
    compiled = jit.jit(dispatches, strict=True)
    for _ in range(3):
        compiled(X)
    TABLE.known["double"] = halve
    try:
        torch.testing.assert_close(compiled(X), halve(X))
    finally:
        TABLE.known["double"] = double


def set_before_the_call(x: Tensor) -> Tensor:
    options = {}
    options["dim"] = 0
    return torch.sum(x, **options)


def set_on_one_path(x: Tensor, y: Tensor) -> Tensor:
    options = {}
    if y.sum() > 0:
        options["keepdim"] = True
    return torch.mean(x, 0, **options)


def set_in_a_loop(x: Tensor) -> Tensor:
    options = {"dim": 0}
    for _ in range(x.shape[1]):
        x = x + torch.sum(x, **options)
        options["dim"] = 1 - options["dim"]
    return x


def set_within_branches(x: Tensor, y: Tensor, mask: Tensor | None = None) -> Tensor:
    options = {"shift": 1.0}
    if y.numel() > 2:
        if mask is None:
            options["offset"] = 2.0
        else:
            x = x * mask
    return inner(x, **options)


def set_twice(x: Tensor, y: Tensor) -> Tensor:
    options = {"dim": 0}
    if y.sum() > 0:
        options["dim"] = 1
    return torch.sum(x, **options)


def test_a_dict_of_keywords_is_as_the_path_left_it() -> None:
    x, positive = torch.randn(3, 3), torch.ones(3)
    for function, others in (
        (set_before_the_call, [()]),
        (set_on_one_path, [(positive,), (-positive,)]),
        (set_within_branches, [(positive,), (positive[:1],), (positive, x)]),
    ):
        compiled = jit.jit(function, strict=True)
        for _ in range(3):
            for other in others:
                torch.testing.assert_close(compiled(x, *other), function(x, *other))
        assert jit.stats(compiled).native >= 2
        assert "Dict" not in str(jit.explain(compiled))


def test_a_dict_that_paths_change_otherwise_is_refused() -> None:
    x = torch.randn(3, 3)
    for function, others in (
        (set_twice, [(torch.ones(1),), (-torch.ones(1),)]),
        (set_in_a_loop, [()]),
    ):
        compiled = jit.jit(function)
        with pytest.warns(jit.JitWarning, match="keys are known"):
            compiled(x, *others[0])
        for other in others:
            torch.testing.assert_close(compiled(x, *other), function(x, *other))
