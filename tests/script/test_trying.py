"""try, except, else, finally, raise: Python's meaning, in the interpreter and behind plans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import jit
from tests.script.support import agree


class Coded(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def divides(a: int) -> int:
    try:
        return 10 // a
    except ZeroDivisionError:
        return -1


def all_clauses(a: int) -> tuple[int, int]:
    y = 0
    try:
        x = 10 // a
    except ZeroDivisionError:
        x = -1
    else:
        x += 100
    finally:
        y = 5
    return x, y


def last_value(a: int) -> int:
    x = 0
    try:
        x = 1
        x = 7 // a
        x = 2
    except ZeroDivisionError:
        pass
    return x


def own_class(n: int) -> int:
    try:
        if n > 2:
            raise Coded(n)
    except Coded as error:
        return error.code * 2
    return 0


def chained(n: int) -> int:
    try:
        if n:
            raise ValueError("inner", n)
    except ValueError as error:
        raise RuntimeError("outer") from error
    return n


def again(n: int) -> int:
    try:
        return [1, 2][n]
    except IndexError:
        raise


def nested(n: int) -> int:
    try:
        try:
            return {"a": 1}["b"] + n
        except ValueError:
            return 1
    except KeyError as error:
        return len(error.args) + n


def in_a_loop(n: int) -> list[int]:
    out: list[int] = []
    for i in range(n):
        try:
            if i == 1:
                raise ValueError(str(i))
            if i == 3:
                break
            out.append(i)
        except ValueError:
            out.append(-1)
            continue
        finally:
            out.append(100)
    return out


def unused_result(n: int) -> str:
    try:
        [1][n]
    except IndexError:
        return "none"
    return "some"


def shapes(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    try:
        return x + y
    except RuntimeError:
        return x


def finally_returns(n: int) -> int:
    try:
        return 1 // n
    finally:
        n = 100


def is_compiling() -> bool:
    try:
        import torch.compiler

        return torch.compiler.is_compiling()
    except ImportError:
        return False


def decided(n: int) -> tuple[int, int, str]:
    """Bodies of which nothing is left to run."""
    kind = "none"
    try:
        k = 3
        kind = "some"
    except ValueError:
        k = 4
    finally:
        k = k + n
    try:
        if is_compiling():
            return n, n, kind
    finally:
        n += 1
    return k, n, kind


def counted(texts: list[str]) -> int:
    total = 0
    for text in texts:
        try:
            total += int(text)
        except ValueError:
            total -= 1
    return total


CASES: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
    (counted, (["1", "x", "30"],)),
    (divides, (0,)),
    (divides, (2,)),
    (all_clauses, (0,)),
    (all_clauses, (2,)),
    (last_value, (0,)),
    (last_value, (2,)),
    (own_class, (3,)),
    (own_class, (1,)),
    (chained, (1,)),
    (again, (5,)),
    (nested, (1,)),
    (in_a_loop, (5,)),
    (unused_result, (0,)),
    (unused_result, (1,)),
    (shapes, (torch.ones(2), torch.ones(3))),
    (shapes, (torch.ones(2), torch.ones(2))),
    (finally_returns, (0,)),
    (finally_returns, (1,)),
    (decided, (2,)),
]


@pytest.mark.parametrize(("fn", "args"), CASES)
def test_agrees(fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
    agree(fn, *args)


@pytest.mark.parametrize(("fn", "args"), CASES)
def test_agrees_behind_plans(fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
    compiled = jit.script(fn)
    for _ in range(3):
        try:
            wanted = fn(*args)
        except Exception as error:  # noqa: BLE001
            with pytest.raises(type(error)) as caught:
                compiled(*args)
            assert str(caught.value.args) == str(error.args)
            assert type(caught.value.__cause__) is type(error.__cause__)
        else:
            found = compiled(*args)
            assert (
                torch.equal(found, wanted)
                if isinstance(wanted, torch.Tensor)
                else (found == wanted)
            )
    assert "not native" not in jit.stats(compiled).bailouts


def test_a_body_that_is_decided_needs_no_try() -> None:
    assert "prim::Try" not in str(jit.script(decided).graph)
