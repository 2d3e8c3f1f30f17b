"""Generators: consumed in place, lazily where that shows, and context managers made of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import pytest
import torch

import jit
from ir import UnsupportedError
from tests.script.support import agree, compiled


def squares(n: int) -> Iterator[int]:
    for i in range(n):
        yield i * i


def numbered(n: int) -> Iterator[tuple[int, int]]:
    for i in range(n):
        if i % 3 != 1:
            yield i, i * i


def fibonacci() -> Iterator[int]:
    a, b = 0, 1
    while True:
        yield a
        a, b = b, a + b


def nested(n: int) -> Iterator[int]:
    yield -1
    yield from squares(n)
    if n > 2:
        yield 100
        return
    yield 200


def pieces(x: torch.Tensor, n: int) -> Iterator[torch.Tensor]:
    for i in range(0, x.size(0), n):
        yield x[i : i + n]


def doubled(items: Iterable[int]) -> Iterator[int]:
    for item in items:
        yield item * 2


def logged(log: list[str], n: int) -> Iterator[int]:
    try:
        for i in range(n):
            log.append(f"make {i}")
            yield i
    finally:
        log.append("closed")


class Bag:
    def __init__(self, items: list[int]) -> None:
        self.items = items

    def __iter__(self) -> Iterator[int]:
        yield from self.items


def consumers(n: int) -> tuple[object, ...]:
    return (
        sum(squares(n)),
        list(squares(3)),
        max(squares(n)),
        [*nested(n)],
        [v + 1 for v in squares(n) if v],
        dict(zip("ab", squares(n), strict=False)),
        ", ".join(str(v) for v in squares(n)),
        4 in squares(n),
        tuple(doubled(squares(n))),
        [a - b for a, b in zip(nested(n), squares(n), strict=False)],
    )


def loop(n: int) -> tuple[int, int, int]:
    total, last = 0, -1
    for place, (i, square) in enumerate(numbered(n), 1):
        if square > 40:
            break
        if place == 2:
            continue
        total += place * square
        last = i
    else:
        total = -total
    return total, last, place


def search(n: int) -> tuple[int, int]:
    for a in squares(n):
        for b in fibonacci():
            if b > a:
                break
            if b == a and a > 1:
                return a, b
    return 0, 0


def endless(n: int) -> tuple[object, ...]:
    found = list(zip(range(n), fibonacci(), strict=False))
    return found, next(v for v in fibonacci() if v > n), next(squares(0), -1), next(squares(n))


def is_lazy(n: int) -> list[str]:
    log: list[str] = []
    for v in logged(log, n):
        log.append(f"take {v}")
        if v == 1:
            break
    return log


def closure(n: int) -> tuple[object, ...]:
    calls = 0

    def steps() -> Iterator[int]:
        nonlocal calls
        for i in range(n):
            calls += 10
            yield i + calls

    found = []
    for v in steps():
        calls += 1
        found.append(v)
    kept = squares(n)
    first = next(kept)
    return found, calls, first, list(kept), list(kept)


def objects(n: int) -> tuple[object, ...]:
    bag = Bag([n, n + 1])
    return [v for v in bag], sum(bag), list(bag), n in bag


def by_pieces(x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    kept = []
    for j, piece in enumerate(pieces(x, 4)):
        if piece.sum() > 20:
            break
        kept.append(piece * j)
    return torch.stack([p.sum() for p in pieces(x, 2)]), kept


@pytest.mark.parametrize("n", [0, 1, 3, 9])
@pytest.mark.parametrize("program", [loop, search, is_lazy, closure, objects])
def test_a_generator_runs_where_it_is_consumed(program, n: int) -> None:
    if (program, n) == (closure, 0):
        pytest.skip("raises StopIteration")
    if (program, n) == (loop, 0):
        pytest.skip("reads a variable that is not bound")
    agree(program, n)


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("program", [consumers, endless])
def test_whatever_takes_an_iterable_takes_a_generator(program, n: int) -> None:
    agree(program, n)


def test_tensors_that_a_generator_yields_are_tensors() -> None:
    agree(by_pieces, torch.arange(12.0))
    graph = compiled(by_pieces, torch.arange(12.0)).graph
    assert not [node for node in graph.walk() if node.name == "prim::PythonOp"]


def test_an_empty_generator_has_no_next() -> None:
    def first(n: int) -> int:
        return next(squares(n))

    script = jit.script(first)
    assert script(2) == 0
    with pytest.raises(StopIteration):
        script(0)


def test_a_body_that_raises_leaves_by_the_generator() -> None:
    def fails(n: int) -> str:
        log: list[str] = []
        try:
            for v in logged(log, n):
                if v == 1:
                    raise ValueError(v)
        except ValueError:
            log.append("caught")
        return ",".join(log)

    agree(fails, 3)


def test_a_loop_over_an_endless_list_is_refused() -> None:
    def collects(n: int) -> list[int]:
        return sorted(fibonacci())[:n]

    with pytest.raises(UnsupportedError, match="'fibonacci' has no end"):
        jit.script(collects)


def test_a_kept_generator_that_assigns_variables_around_it_is_refused() -> None:
    def keeps(n: int) -> tuple[int, int]:
        calls = 0

        def steps() -> Iterator[int]:
            nonlocal calls
            calls += n
            yield n

        kept = steps()
        return calls, sum(kept)

    with pytest.raises(UnsupportedError, match="a kept generator is computed at once"):
        jit.script(keeps)


def test_handlers_of_a_generator_do_not_see_the_consumer() -> None:
    def guarded(n: int) -> Iterator[int]:
        for i in range(n):
            try:
                yield i
            except ValueError:
                pass

    def total(n: int) -> int:
        return sum(guarded(n))

    with pytest.raises(UnsupportedError, match="yields inside a try with `except`"):
        jit.script(total)


@contextlib.contextmanager
def tagged(log: list[str], name: str) -> Iterator[str]:
    log.append(f"<{name}>")
    try:
        yield name.upper()
    except ValueError as error:
        log.append(str(error))
    finally:
        log.append(f"</{name}>")


def manages(n: int) -> tuple[object, ...]:
    log: list[str] = []
    for i in range(n):
        with tagged(log, "a") as name, tagged(log, "b"):
            if i == 1:
                continue
            if i == 2:
                raise ValueError(name)
            log.append(name)
            if i == 4:
                break
            if i == 7:
                return log, -1
    return log, n


@pytest.mark.parametrize("n", [0, 1, 3, 9])
def test_a_context_manager_made_of_a_generator(n: int) -> None:
    agree(manages, n)
