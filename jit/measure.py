"""Timing that survives a shared machine: interleaved rounds and per-round ratios.

The runners are timed in turn (A B C, B C A, ...), each for a block of calls long enough for the
clock. A round's ratio divides two neighboring blocks, so drift and neighbors cancel; median and
quartiles over the rounds are reported. The first runner is the base of the ratios.
"""

from __future__ import annotations

import statistics
import time
import timeit
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

BLOCK_SECONDS = 0.02  # of one runner in one round
LONGEST_BLOCK = 1 << 20  # calls
SETTLE_SECONDS = 0.004  # lets the workers of the runner before stop spinning


@dataclass(frozen=True, slots=True)
class Runner:
    """A callable with its arguments; `wait` is the method call that makes a lazy result ready."""

    call: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    wait: str = ""

    def __call__(self) -> Any:
        """One call."""
        return self.call(*self.args, **self.kwargs)

    def timer(self) -> timeit.Timer:
        """A timer whose loop holds nothing but the call."""
        names = {f"a{i}": value for i, value in enumerate(self.args)}
        named = {f"k_{key}": value for key, value in self.kwargs.items()}
        listed = ", ".join([*names, *(f"{key}=k_{key}" for key in self.kwargs)])
        scope = {"f": self.call, **names, **named}
        return timeit.Timer(f"f({listed}){self.wait}", globals=scope)


@dataclass(frozen=True, slots=True)
class Quartiles:
    """Lower quartile, median and upper quartile of a sample."""

    low: float
    median: float
    high: float

    @staticmethod
    def of(sample: Sequence[float]) -> Quartiles:
        """Quartiles of a sample, which may be a single figure."""
        if len(sample) == 1:
            return Quartiles(sample[0], sample[0], sample[0])
        return Quartiles(*statistics.quantiles(sample, n=4, method="inclusive"))


@dataclass(frozen=True, slots=True)
class Timing:
    """What the rounds said about one runner: microseconds a call, and speed-up over the base."""

    us: Quartiles
    speedup: Quartiles


def seconds_per_call(timer: timeit.Timer, block: float = BLOCK_SECONDS) -> float:
    """A warm estimate, the smaller of two blocks of growing length: a stall must not shorten it."""
    calls = 1
    while True:
        elapsed = min(timer.timeit(calls), timer.timeit(calls))
        if elapsed > block / 8 or calls >= LONGEST_BLOCK:
            return max(elapsed / calls, 1e-9)
        calls *= 4


def interleaved(
    runners: Mapping[str, Runner],
    rounds: int,
    *,
    block: float = BLOCK_SECONDS,
    settle: float = SETTLE_SECONDS,
    step: Callable[[], None] = lambda: None,
) -> dict[str, Timing]:
    """Times the runners in `rounds` rounds; `step` is called after each block."""
    timers = {name: runner.timer() for name, runner in runners.items()}
    calls = {
        name: min(LONGEST_BLOCK, max(1, round(block / seconds_per_call(timer, block))))
        for name, timer in timers.items()
    }
    names = list(timers)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for r in range(rounds):
        start = r % len(names)
        for name in names[start:] + names[:start]:
            time.sleep(settle)
            timers[name].timeit(min(calls[name], 3))  # caches belong to this runner again
            seconds[name].append(timers[name].timeit(calls[name]) / calls[name])
            step()
    base = seconds[names[0]]
    return {
        name: Timing(
            Quartiles.of([s * 1e6 for s in mine]),
            Quartiles.of([b / s for b, s in zip(base, mine, strict=True)]),
        )
        for name, mine in seconds.items()
    }
