"""`try` in archives, where errors are values: each body raises and does not, in both readers."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch

import jit
from tests.archive.test_language import check, saved


def careful(n: int) -> tuple[int, list[int]]:
    seen: list[int] = []
    try:
        n = n + 1
        try:
            if n > 3:
                seen.append(n)
        except KeyError as error:
            print(error)
        else:
            seen.append(-1)
    except (ValueError, TypeError):
        n = -1
    finally:
        seen.append(n)
    return n, seen


def number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return -1


def real(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return -1.0


def item(items: list[int], index: int) -> str:
    text = "found"
    left = [1]
    try:
        text += str(items[index])
    except IndexError as error:
        return str(error)
    else:
        text += "!"
    finally:
        left.append(0)
    return text + str(left.pop(0))


def counted(table: dict[str, int], key: str) -> int:
    total = 0
    for i in range(3):
        try:
            total += table[key]
        except KeyError:
            total -= i
            continue
        finally:
            total += 100
    return total


def divided(a: int, b: int) -> float:
    try:
        return a / b
    except ZeroDivisionError:
        return float("inf")


def classified(items: list[int], n: int) -> tuple[int, str]:
    """Raises of its own in a loop, under conditions, caught by class and by a class above it."""
    text, total = "", 0
    for value in items:
        try:
            if value < 0:
                raise ValueError("negative")
            while value > 0:
                value -= 1
                if value == n:
                    raise KeyError("met")
            total += 10 // (n - 1)
        except ValueError as error:
            text += str(error)
        except LookupError as error:
            text += "<" + str(error) + ">"
        except ArithmeticError:
            text += "0"
        else:
            text += "."
        finally:
            total += 1
    return total, text


def checked(n: int) -> int:
    if n < 0:
        raise RuntimeError(f"{n} is below zero")
    return n


def called(n: int) -> str:
    try:
        return str(checked(n))
    except RuntimeError as error:
        return str(error)


def raised_again(n: int) -> int:
    try:
        if n > 1:
            raise IndexError("too much")
        return n
    except LookupError:
        if n > 2:
            raise
        return -n


class Scaled(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.sizes = {"a": 2}

    def forward(self, x: torch.Tensor, name: str) -> torch.Tensor:
        try:
            return torch.relu(x) * self.sizes[name]
        except KeyError:
            return x


CALLS: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
    *((careful, (n,)) for n in (2, 3)),
    *((number, (t,)) for t in ("12", "-3", " +4 ", "", "-", "1.5", "x")),
    *((real, (t,)) for t in ("12", "-3.5", " .5 ", "1e3", "1.e-3", "inf", ".", "1e", "x", "")),
    *((item, ([5, 6], i)) for i in (0, -2, 2, -3)),
    *((counted, ({"a": 1}, key)) for key in ("a", "b")),
    *((divided, (1, b)) for b in (2, 0)),
    *((classified, ([3, -1, 0, 2], n)) for n in (0, 1, 2, 9)),
    *((called, (n,)) for n in (1, -1)),
    *((raised_again, (n,)) for n in (1, 2)),
    *((Scaled(), (torch.ones(2), name)) for name in ("a", "b")),
]


class Missing(Exception):
    def __init__(self, key: str, code: int = 3) -> None:
        super().__init__(f"missing {key} {code}")
        self.key = key


class Quiet(ValueError):
    def __init__(self, level: int) -> None:
        self.level = level

    def __str__(self) -> str:
        return "level " + str(self.level)


def told(x: torch.Tensor, n: int) -> list[str]:
    said: list[str] = []
    for k in range(n):
        try:
            if k == 0:
                raise Missing("a", code=7)
            if k == 1:
                raise Quiet(k)
            if k == 2:
                raise KeyError("key")
            if k == 3:
                raise ArithmeticError("two", k)
            said.append("%d" % (6 // (k - 4)) + str(int(x.sum())))  # noqa: UP031
        except (Missing, Quiet) as error:
            said.append(f"{error} of {type(error).__name__}")
        except (KeyError, OSError) as error:
            said.append(f"{error}, {error.args[0]} of {error.__class__.__name__}")
        except ArithmeticError as error:
            said.append(str(error))
    return said


class Scope:
    def __init__(self, log: list[str]) -> None:
        self.log = log

    def __enter__(self) -> Scope:
        self.log.append("in")
        return self

    def __exit__(self, cls: Any, error: Any, trace: Any) -> None:
        self.log.append("out")


def scoped(n: int) -> list[str]:
    log: list[str] = []
    with Scope(log) as scope:
        scope.log.append(str(n))
    return log


@pytest.mark.parametrize("n", [0, 3, 6])
def test_what_exceptions_say(n: int) -> None:
    check(told, torch.ones(2), n)


def test_scopes() -> None:
    check(scoped, 3)


def rows(x: torch.Tensor, lengths: torch.Tensor):
    out = torch.zeros_like(x)
    for i, n in enumerate(lengths.tolist()):
        out[n, :] = x[n]
        out[i, :1] = 7
    return [x[n] for n in lengths.tolist()], out


def test_subscripts_by_what_only_the_run_knows() -> None:
    with pytest.warns(jit.JitWarning, match="tensor_getitem"):
        loaded = jit.load(io.BytesIO(saved(rows)))
    given = torch.rand(3, 4), torch.tensor([1, 2])
    for found, wanted in zip(loaded(*given), rows(*given), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def missing(n: int) -> int:
    if n > 0:
        raise Missing("b")
    return n


def test_the_text_of_a_class_is_said_once() -> None:
    loaded = jit.load(io.BytesIO(saved(missing)))
    with pytest.raises(Missing, match=r"^missing b 3\n"):
        loaded(1)


class Odd(Exception):
    def __init__(self, *parts: str) -> None:
        super().__init__("".join(parts))


def odd(n: int) -> int:
    if n > 0:
        raise Odd("x", "y")
    return n


def test_a_text_that_cannot_be_computed_is_refused() -> None:
    with pytest.raises(jit.CompileError, match="an exception of class Odd says"):
        saved(odd)


@pytest.mark.parametrize(("target", "args"), CALLS)
def test_equal(target: Callable[..., Any], args: tuple[Any, ...]) -> None:
    check(target, *args)


@pytest.mark.parametrize("target", [number, item, classified, raised_again])
def test_bytes_are_stable(target: Callable[..., Any]) -> None:
    first = jit.load(io.BytesIO(saved(target))).save_to_buffer()
    assert jit.load(io.BytesIO(first)).save_to_buffer() == first


def test_what_is_raised_again_keeps_its_class() -> None:
    loaded = jit.load(io.BytesIO(saved(raised_again)))
    with pytest.raises(IndexError, match="too much"):
        loaded(3)
    again = jit.load(io.BytesIO(loaded.save_to_buffer()))
    with pytest.raises(IndexError, match="too much"):
        again(3)


def product(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    try:
        return x @ y
    except RuntimeError:
        return x


def test_what_no_test_tells_is_refused_at_the_place() -> None:
    with pytest.raises(jit.CompileError, match="may raise") as info:
        saved(product)
    assert "x @ y" in str(info.value)
