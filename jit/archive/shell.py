"""Archives on the command line: `inspect`, `diff` and `run`."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import traceback
from collections.abc import Iterator
from typing import Any

import torch

from jit.archive import inputs
from jit.archive.diff import differences
from jit.archive.inspect import inspect
from jit.archive.load import load

INSPECT = """\
Tells what is inside an archive without running any of it: methods, weights, operators, files.
"""
DIFF = """\
Tells how the second archive differs from the first; the exit code is 1 when it does.
"""
RUN = """\
Loads an archive, runs a method of it, and prints outputs and timing.
"""


def add_commands(commands: Any) -> None:
    """Add the three commands to the command line."""
    sub = _command(commands, "inspect", INSPECT)
    sub.add_argument("file", metavar="FILE", help="the archive")
    sub.add_argument("--code", action="store_true", help="print the code of all methods")
    sub = _command(commands, "diff", DIFF)
    sub.add_argument("file", metavar="A", help="an archive")
    sub.add_argument("other", metavar="B", help="another one")
    sub = _command(commands, "run", RUN, inputs.__doc__)
    sub.add_argument("file", metavar="FILE", help="the archive")
    option = sub.add_argument
    option("--input", metavar="X", action="append", default=[], help="an input, repeatable")
    option("--method", metavar="NAME", default="forward", help="default: %(default)s")
    option("--calls", metavar="N", type=int, default=20, help="to time; default: %(default)s")
    option("--threads", type=int, metavar="N", help="use N cores; default: all")


def _command(commands: Any, name: str, text: str, notes: str | None = None) -> Any:
    return commands.add_parser(
        name,
        help=text.splitlines()[0],
        description=text,
        epilog=notes,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def run_inspect(options: argparse.Namespace) -> int:
    """Prints what is inside."""
    found = inspect(options.file)
    print(found)
    if options.code:
        for name, methods in found.classes.items():
            print(f"\n{name}", *(method.code for method in methods), sep="\n")
        print("", *(function.code for function in found.functions), sep="\n")
    return 0


def run_diff(options: argparse.Namespace) -> int:
    """Prints the differences; the exit code is 1 when there are any."""
    lines = list(differences(inspect(options.file), inspect(options.other)))
    print("\n".join(lines) or "no differences")
    return 1 if lines else 0


def run_run(options: argparse.Namespace) -> int:
    """Runs a method and prints outputs and timing; the exit code is 1 when it raises."""
    summary = inspect(options.file)
    args, kwargs = inputs.read_inputs(options.input, summary, options.method)
    start = time.perf_counter()
    method = getattr(load(options.file), options.method)
    times = {"load": time.perf_counter() - start}
    with torch.no_grad():
        calls = []
        for _ in range(max(options.calls, 1)):
            start = time.perf_counter()
            try:
                result = method(*args, **kwargs)
            except Exception as error:  # noqa: BLE001  the archive's own code may raise anything
                print("".join(traceback.format_exception_only(error)), end="", file=sys.stderr)
                return 1
            calls.append(time.perf_counter() - start)
    print("\n".join(_described(result, "output")))
    times |= {"first call": calls[0], "median call": statistics.median(calls[1:] or calls)}
    print(", ".join(f"{name} {seconds * 1e3:.3f} ms" for name, seconds in times.items()))
    return 0


def _described(value: Any, path: str) -> Iterator[str]:
    """Lines about a result and its parts."""
    match value:
        case torch.Tensor():
            dtype = str(value.dtype).removeprefix("torch.")
            yield f"{path}: {dtype}{list(value.shape)}{_statistics(value)}"
        case dict():
            for key, item in value.items():
                yield from _described(item, f"{path}[{key!r}]")
        case list() | tuple() if any(isinstance(v, torch.Tensor | list | tuple) for v in value):
            for position, item in enumerate(value):
                yield from _described(item, f"{path}[{position}]")
        case _:
            yield f"{path}: {value!r}"


def _statistics(value: torch.Tensor) -> str:
    if value.numel() == 0 or value.is_complex() or value.is_quantized:
        return ""
    if value.numel() <= 8:
        return f" {value.tolist()}"
    numbers = value.double()
    low, mean, high = numbers.min().item(), numbers.mean().item(), numbers.max().item()
    return f" from {low:.6g} to {high:.6g}, mean {mean:.6g}"
