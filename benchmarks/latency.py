"""What compilation costs: the first native call, new sizes, functions beyond help, the import.

Each figure comes from a process of its own (`python -m benchmarks.latency NAME` prints it as JSON),
so that no measurement warms another one.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from benchmarks.calls import ten, ten_jax, ten_numba
from jit import jit, stats
from jit.agreement import Reference
from jit.measure import Runner, interleaved
from jit.peers import Unavailable, prepare

Figures = dict[str, float]
LENGTHS = 512


def warm_up(x: Tensor) -> Tensor:
    """Another function: its compilation pays what a process pays once."""
    return (x * 2 - 1).abs().sum()


def relu_mean(x: Tensor) -> Tensor:
    """The body of the stream of lengths."""
    y = torch.relu(x * 1.5 - 0.25)
    return y * y + x


def spectrum(x: Tensor) -> Tensor:
    """Nothing of this is compiled: Fourier transform, complex arithmetic, a matrix inverse."""
    f = torch.fft.fft(x)
    power = torch.view_as_real(f * f.conj())
    inverse: Tensor = torch.linalg.inv(power[:2] + torch.eye(2))
    return inverse


def first_call() -> Figures:
    """Milliseconds of the first two calls of ten operators on 1,000 elements, in a warm process."""
    args = (torch.randn(1000), torch.randn(1000))
    compiled = jit(warm_up)
    for _ in range(3):
        compiled(args[0])
    fresh = jit(ten)
    return {"relume_ms": _milliseconds(lambda: [fresh(*args) for _ in range(2)])}


def first_call_of_peers() -> Figures:
    """The same for the peers, each in a process that has compiled something before."""
    args = (torch.randn(1000), torch.randn(1000))
    figures = {}
    for name, own, warm in (
        ("jax", ten_jax, lambda a, b: a - b),
        ("numba", ten_numba, lambda a, b: a - b),
        ("torch.compile", ten, lambda a, b: a - b),
    ):
        try:
            prepare(name, warm, warm, args, {}, 1)[0]()
        except Unavailable:
            continue

        def ready(name: str = name, own: Callable[..., object] = own) -> None:
            runner, _ = prepare(name, own, own, args, {}, 1)
            runner()
            runner()

        figures[f"{name}_ms"] = _milliseconds(ready)
    return figures


def stream() -> Figures:
    """512 different lengths: compilations, and the speed-up over eager of a whole warm stream."""
    inputs = [torch.randn(64 + 7 * i) for i in range(LENGTHS)]
    compiled = jit(relu_mean)
    first_ms = _milliseconds(lambda: _stream(compiled, inputs))
    for x in (inputs[0], inputs[-1]):
        reference = Reference.of(relu_mean, (x,), {})
        assert reference.accepts(reference.error(compiled(x)))
    runners = {
        "eager": Runner(_stream, (relu_mean, inputs)),
        "us": Runner(_stream, (compiled, inputs)),
    }
    timing = interleaved(runners, 7)["us"]
    return {
        "compilations": stats(compiled).compilations,
        "first_stream_ms": first_ms,
        "speedup": timing.speedup.median,
    }


def _stream(f: Callable[[Tensor], Tensor], inputs: Sequence[Tensor]) -> None:
    for x in inputs:
        f(x)


def uncompiled() -> Figures:
    """Cost over eager of calls that stay in the interpreter: opaque operators, and gradients."""
    figures = {}
    x, needs_grad = torch.randn(8), torch.randn(8, requires_grad=True)
    for name, f, argument in (("opaque", spectrum, x), ("gradient", relu_mean, needs_grad)):
        compiled = jit(f)
        for _ in range(3):
            compiled(argument)
        runners = {"eager": Runner(f, (argument,)), "us": Runner(compiled, (argument,))}
        figures[f"{name}_cost"] = 1 / interleaved(runners, 11)["us"].speedup.median
    return figures


def import_time() -> Figures:
    """Seconds of `import jit` on top of `import torch`."""
    code = "import time, torch; t = time.perf_counter(); import jit; print(time.perf_counter() - t)"
    seconds = [float(_python(["-c", code])) for _ in range(5)]
    return {"seconds": statistics.median(seconds)}


MEASUREMENTS: Mapping[str, Callable[[], Figures]] = {
    f.__name__: f for f in (first_call, first_call_of_peers, stream, uncompiled, import_time)
}


def measure_all() -> dict[str, Figures]:
    """Every measurement in its own process; the first call with an empty, then a warm cache."""
    figures: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory() as cache:
        for label, name in {
            "first_call_cold": "first_call",
            "first_call_cached": "first_call",
            **{name: name for name in list(MEASUREMENTS)[1:]},
        }.items():
            figures[label] = json.loads(_python(["-m", __name__, name], JIT_CACHE_DIR=cache))
    return figures


def _python(arguments: Sequence[str], **environment: str) -> str:
    command = [sys.executable, *arguments]
    environment = {**os.environ, **environment}
    return subprocess.run(
        command, env=environment, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def _milliseconds(f: Callable[[], object]) -> float:
    start = time.perf_counter()
    f()
    return (time.perf_counter() - start) * 1e3


if __name__ == "__main__":
    print(json.dumps(MEASUREMENTS[sys.argv[1]]()))
