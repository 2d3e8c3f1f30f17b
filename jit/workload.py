"""Functions in a file, found with their companions by name: the convention of `python -m jit`.

For a function NAME the file may define
  NAME_args()          returns a tuple of example arguments
  NAME_numba, NAME_jax, NAME_numexpr
                       the same function written by hand for a peer (NumPy or JAX arrays in)
  NAME_tolerance       (rtol, atol), when the usual tolerance does not fit
A workload is a function that has `NAME_args`; its title is the first line of its docstring.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ir import record
from jit.comparison import PEERS, compare
from jit.peers import OWN_SOURCE, Function
from jit.report import Comparison


class NotFound(LookupError):
    """A file, a name in it or its arguments that the command line asked for and nobody defines."""


@record
class Workload:
    """A function with example arguments and the functions written for its peers."""

    name: str
    function: Function
    args: tuple[Any, ...]
    peers: Mapping[str, Function]
    tolerance: tuple[float, float] | None = None

    @property
    def title(self) -> str:
        """Name and the first line of the docstring."""
        doc = inspect.getdoc(self.function)
        return f"{self.name}: {doc.splitlines()[0].rstrip('.')}" if doc else self.name

    def compare(self, against: Sequence[str] = PEERS, rounds: int = 11) -> Comparison:
        """Compares the function with those named, each with the function written for it."""
        entries = [(p, self.peers[p]) if p in self.peers else p for p in against]
        return compare(
            self.function,
            self.args,
            entries,
            rounds=rounds,
            tolerance=self.tolerance,
            title=self.title,
        )


def load(path: str | Path) -> ModuleType:
    """Runs a file as a module under its own name, not as `__main__`."""
    path = Path(path)
    if not path.is_file():
        raise NotFound(f"no file {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise NotFound(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)  # pickling and source lookup go by name
    spec.loader.exec_module(module)
    return module


def find(module: ModuleType, name: str, args: tuple[Any, ...] | None = None) -> Workload:
    """The workload of one name; `args` stand for those of `NAME_args()`."""
    function = getattr(module, name, None)
    if not callable(function):
        raise NotFound(f"{module.__name__} has no function {name}")
    if args is None:
        make = getattr(module, f"{name}_args", None)
        if make is None:
            raise NotFound(f"no arguments: define {name}_args() beside {name}, or give --args")
        args = make()
    peers = {p: getattr(module, f"{name}_{p}", None) for p in OWN_SOURCE}
    found = {p: own for p, own in peers.items() if own is not None}
    return Workload(name, function, args, found, getattr(module, f"{name}_tolerance", None))


def find_all(module: ModuleType) -> list[Workload]:
    """All workloads of a module, in the order of definition."""
    names = [n for n in vars(module) if callable(getattr(module, f"{n}_args", None))]
    if not names:
        raise NotFound(f"{module.__name__} defines no NAME with a NAME_args() beside it")
    return [find(module, name) for name in names]
