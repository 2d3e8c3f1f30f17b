"""Numbers and lists in loops, where the peer is Numba; and tiny tensors in loops, against
TorchScript's interpreter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from jit import jit
from jit.workload import Workload


def hailstones(limit: int) -> int:
    """An int loop with a branch: the longest flight of a number below a limit."""
    longest = 0
    for start in range(1, limit):
        number, steps = start, 0
        while number != 1:
            if number % 2 == 0:
                number = number // 2
            else:
                number = 3 * number + 1
            steps += 1
        longest = max(longest, steps)
    return longest


def primes(limit: int) -> int:
    """A sieve on a list of bools."""
    is_prime = [True] * limit
    count = 0
    for number in range(2, limit):
        if is_prime[number]:
            count += 1
            multiple = number * number
            while multiple < limit:
                is_prime[multiple] = False
                multiple += number
    return count


def orbits(steps: int, dt: float) -> float:
    """Five bodies in the plane, in lists of floats: the last distance of the first two."""
    x, y = [0.0, 1.0, 0.0, -3.0, 0.0], [0.0, 0.0, 2.0, 0.0, -4.0]
    u, v = [0.0, 0.0, -0.7, 0.0, 0.5], [0.0, 1.0, 0.0, -0.6, 0.0]
    mass = [1.0, 0.01, 0.02, 0.01, 0.02]
    for _ in range(steps):
        for i in range(5):
            for j in range(i + 1, 5):
                dx, dy = x[i] - x[j], y[i] - y[j]
                square = dx * dx + dy * dy + 0.001
                pull = dt / (square * math.sqrt(square))
                u[i] -= dx * mass[j] * pull
                v[i] -= dy * mass[j] * pull
                u[j] += dx * mass[i] * pull
                v[j] += dy * mass[i] * pull
        for i in range(5):
            x[i] += dt * u[i]
            y[i] += dt * v[i]
    return math.sqrt((x[0] - x[1]) ** 2 + (y[0] - y[1]) ** 2)


def edits(size: int, letters: int) -> int:
    """The edit distance of two words, by rows of a table in lists of ints."""
    one = [(7 * k * k + k) % letters for k in range(size)]
    other = [(5 * k * k + 3 * k) % letters for k in range(size)]
    previous = list(range(size + 1))
    for i in range(size):
        current = [i + 1] * (size + 1)
        for j in range(size):
            changed = previous[j] + (0 if one[i] == other[j] else 1)
            current[j + 1] = min(changed, min(previous[j + 1], current[j]) + 1)
        previous = current
    return previous[size]


def relax(x: Tensor, a: Tensor, b: Tensor, steps: int) -> Tensor:
    """Two operators on 8 floats in every turn."""
    for _ in range(steps):
        x = x * a + b
    return x


def settle(x: Tensor, rate: float, least: float) -> tuple[Tensor, int]:
    """A loop whose end depends on a tensor."""
    turns = 0
    while x.sum() > least:
        x = x * rate
        turns += 1
    return x, turns


def workloads() -> Iterator[Workload]:
    """Loops of some thousand turns; Numba gets the same Python source."""
    torch.manual_seed(2026)
    for function, args in (
        (hailstones, (2000,)),
        (primes, (20_000,)),
        (orbits, (200, 0.01)),
        (edits, (90, 4)),
    ):
        yield Workload(function.__name__, jit(function), args, {"numba": function})
    few = torch.rand(8)
    yield Workload("relax", jit(relax), (few, few * 0.99, few * 0.01, 1000), {})
    yield Workload("settle", jit(settle), (few + 1, 0.99, 0.01), {})
