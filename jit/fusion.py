"""Controls of the compiler under torch.jit's names: what must become native, how often a function
is compiled, whether at all.

    with jit.strict_fusion():        in compiled code: every line of the block must become native;
        ...                          in Python: every function that is compiled meanwhile

`fuser` and the oneDNN switch choose among TorchScript's back ends; here there is one, and they are
accepted without effect.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ir import CompileError
from jit.config import DEFAULT

if TYPE_CHECKING:
    from ir import Graph, Span

Strategy = list[tuple[str, int]]
_BEHAVIORS = ("STATIC", "DYNAMIC")
_FUSERS = ("fuser0", "fuser1", "fuser2", "fuser3")


class StrictFusionError(CompileError, RuntimeError):
    """Something under `strict_fusion` did not become native; the message lists what."""


class _Controls(threading.local):
    strict = 0  # blocks of strict_fusion that this thread is in
    is_optimizing = True
    latest: Callable[[], Graph] | None = None


_CONTROLS = _Controls()
_STRICT_LINES: dict[tuple[str, int], int] = {}  # first line of a block in compiled code -> its last


class CompilerContext:
    """A context that speaks to the compiler: in compiled code it is entered while compiling."""

    def note(self, file: str, first: int, last: int) -> None:
        """Take notice of the lines of a block in compiled code."""


class strict_fusion(CompilerContext):
    """All that is in the block must compile natively: StrictFusionError names the lines that do
    not. Calls that are not compiled, because they need gradients, say, are not concerned.
    """

    def __enter__(self) -> None:
        _CONTROLS.strict += 1

    def __exit__(self, *exception: object) -> None:
        _CONTROLS.strict -= 1

    def note(self, file: str, first: int, last: int) -> None:
        _STRICT_LINES[file, first] = last


class optimized_execution(CompilerContext):
    """With False, functions that have no plan yet are not compiled by this thread: the interpreter
    or Python serves their calls.
    """

    def __init__(self, should_optimize: bool) -> None:
        self._wanted = should_optimize

    def __enter__(self) -> None:
        self._before = _CONTROLS.is_optimizing
        _CONTROLS.is_optimizing = self._wanted

    def __exit__(self, *exception: object) -> None:
        _CONTROLS.is_optimizing = self._before


class fuser(CompilerContext):
    """Accepted without effect. ValueError for a name that torch.jit does not know."""

    def __init__(self, name: str) -> None:
        if name not in _FUSERS:
            raise ValueError(f"no fuser {name!r}; there are {', '.join(_FUSERS)}")

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        pass


# what the executor asks ---------------------------------------------------------------------------


def is_optimizing() -> bool:
    """Whether this thread may compile."""
    return _CONTROLS.is_optimizing


def note_compiled(graph: Callable[[], Graph]) -> None:
    """Take notice of a specialized graph that has become a plan."""
    _CONTROLS.latest = graph


def is_strict(graph: Graph) -> bool:
    """Whether anything in a graph must become native."""
    if _CONTROLS.strict:
        return True
    return bool(_STRICT_LINES) and any(_is_strict(node.span) for node in graph.walk())


def demand(name: str, failures: Iterable[tuple[str, Span | None]]) -> None:
    """Raise StrictFusionError for what did not become native and had to: pairs of what it is and
    where it stands.
    """
    found = {(what, span): None for what, span in failures if _CONTROLS.strict or _is_strict(span)}
    if found:
        lines = [f"{what}\n{span.render()}" if span else what for what, span in found]
        raise StrictFusionError(f"{name} does not compile natively:\n" + "\n".join(lines))


def _is_strict(span: Span | None) -> bool:
    return span is not None and any(
        file == span.file and first <= span.line <= last
        for (file, first), last in _STRICT_LINES.items()
    )


# how often a function is compiled -----------------------------------------------------------------


class _Budget:
    strategy: Strategy | None = None
    uses_onednn = False


def budget(respecialize: int) -> int:
    """How often calls of one kind are compiled, given the knob."""
    strategy = _Budget.strategy
    return respecialize if strategy is None else sum(depth for _, depth in strategy)


def set_fusion_strategy(strategy: Strategy) -> Strategy:
    """Limit how often calls of one kind are compiled because sizes vary, in all functions; the
    previous strategy.

    `strategy` is a list of ("STATIC", n) and ("DYNAMIC", n). A size that varied is general from
    the next compilation on, so that the order of the two does not matter here: the limit is the
    sum. Without a call of this the knob `respecialize` is the limit.
    """
    for behavior, depth in strategy:
        if behavior not in _BEHAVIORS or not isinstance(depth, int) or depth < 0:
            raise ValueError(f"expected ('STATIC', n) or ('DYNAMIC', n), not {(behavior, depth)}")
    before = _Budget.strategy
    _Budget.strategy = list(strategy)
    return before if before is not None else [("STATIC", 1), ("DYNAMIC", DEFAULT.respecialize - 1)]


def enable_onednn_fusion(enabled: bool) -> None:
    """Accepted without effect."""
    _Budget.uses_onednn = bool(enabled)


def onednn_fusion_enabled() -> bool:
    """What `enable_onednn_fusion` was told last."""
    return _Budget.uses_onednn


def last_executed_optimized_graph() -> Graph | None:
    """The specialized graph that this thread compiled last; None before there was one. (Which plan
    a call ran, `f.graph_for(*args)` tells.)
    """
    return None if _CONTROLS.latest is None else _CONTROLS.latest()
