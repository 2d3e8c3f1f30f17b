"""The command line: `python -m jit compare FILE.py[:NAME]` and `explain FILE.py:NAME`; for archives
`inspect FILE`, `diff A B` and `run FILE`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch

from jit import report, workload
from jit.archive import shell
from jit.archive.errors import ArchiveError
from jit.comparison import PEERS, WARM_CALLS, use_cores
from jit.explanation import explain
from jit.workload import NotFound, Workload

DESCRIPTION = "Times and explains functions compiled with @jit, and looks into archives."
COMPARE = """\
Runs each function against eager PyTorch and the peers: agreement first, then interleaved timing.
"""
EXPLAIN = """\
Runs a function three times, then says line by line what became native and why the rest did not.
"""


def parser() -> argparse.ArgumentParser:
    """The command line's grammar and its help texts."""
    top = argparse.ArgumentParser("python -m jit", description=DESCRIPTION)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str, where: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=text.splitlines()[0],
            description=text,
            epilog=workload.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        option = sub.add_argument
        option("where", metavar=where, help="the file, and the function's name in it")
        option("--args", metavar="EXPR", help="a tuple of arguments; default: NAME_args()")
        option("--threads", type=int, metavar="N", help="use N cores; default: all")
        return sub

    option = add("compare", COMPARE, "FILE.py[:NAME]").add_argument
    option("--against", metavar="A,B,...", help="default: %(default)s", default=",".join(PEERS))
    option("--rounds", metavar="N", help="default: %(default)s", default=11, type=int)
    option("--json", metavar="FILE", help="write all figures")
    option("--png", metavar="FILE", help="write the bar charts")
    option = add("explain", EXPLAIN, "FILE.py:NAME").add_argument
    option("--ir", action="store_true", help="add the generated LLVM IR")
    option("--asm", action="store_true", help="add the generated assembly")
    shell.add_commands(commands)
    return top


def arguments(text: str, module: ModuleType) -> tuple[Any, ...]:
    """The value of `--args`, an expression of the user's own over the file's names."""
    value = eval(text, {"torch": torch, "np": np, **vars(module)})
    return value if isinstance(value, tuple) else (value,)


def selected(options: argparse.Namespace) -> list[Workload]:
    """The workloads that the command line names."""
    path, _, name = options.where.partition(":")
    module = workload.load(path)
    if name:
        given = arguments(options.args, module) if options.args else None
        return [workload.find(module, name, given)]
    if options.args or options.command == "explain":
        raise NotFound(f"name the function: {path}:NAME")
    return workload.find_all(module)


def run_compare(options: argparse.Namespace) -> int:
    """Compares; the exit code is 1 when a compiled function disagrees with eager."""
    peers = options.against.split(",")
    made = [work.compare(peers, options.rounds) for work in selected(options)]
    if options.json:
        report.write(options.json, report.to_json(made))
    if options.png:
        report.save_png(made, options.png)
    return 0 if all(comparison.agrees for comparison in made) else 1


def run_explain(options: argparse.Namespace) -> int:
    """Runs until warm, then prints the explanation."""
    (work,) = selected(options)
    for _ in range(WARM_CALLS):
        work.function(*work.args)
    print(explain(work.function, ir=options.ir, asm=options.asm))
    return 0


COMMANDS = {
    "compare": run_compare,
    "explain": run_explain,
    "inspect": shell.run_inspect,
    "diff": shell.run_diff,
    "run": shell.run_run,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    options = parser().parse_args(argv)
    if getattr(options, "threads", None):
        use_cores(options.threads)
    try:
        return COMMANDS[options.command](options)
    except (NotFound, ArchiveError, FileNotFoundError, IsADirectoryError) as error:
        print(f"python -m jit: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
