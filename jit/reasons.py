"""The table of reasons: why a call did not run natively. Every event that keeps one out has a row.

refuse    a compilation is not started or given up: what the graph needs, plans cannot give
bailout   a call leaves the native tier, or never enters it: the fallback serves it
aside     inside a plan: a node is called back instead of computed natively
event     anything else that is counted; no call was served
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

from ir import record


class ScriptWarning(Warning):
    """What compiling has to say about a program; base of `JitWarning`, under torch.jit's name."""


class JitWarning(ScriptWarning, UserWarning):
    """A function runs in eager mode although it was given to the compiler; the text says why and
    where.
    """


@record
class Reason:
    """One row: a name for counters and logs, what kind of event it is, and a sentence for users."""

    name: str
    kind: str
    message: str


_ROWS = (
    Reason(
        "observing",
        "bailout",
        "the function is not warm yet: it runs as it is, and what it is given is observed",
    ),
    Reason(
        "not optimizing",
        "bailout",
        "jit.optimized_execution(False) is in force: nothing is compiled",
    ),
    Reason(
        "being compiled",
        "bailout",
        "another thread is compiling this function; calls go on without waiting",
    ),
    Reason(
        "needs gradient",
        "bailout",
        "an argument requires a gradient while grad mode is on: eager records the graph",
    ),
    Reason(
        "tensor subclass",
        "bailout",
        "an argument is a subclass of torch.Tensor, whose operators have their own meaning",
    ),
    Reason(
        "tensor layout",
        "bailout",
        "an argument is no dense CPU tensor: sparse, quantized, meta, conjugate, negative ...",
    ),
    Reason(
        "dispatch mode",
        "bailout",
        "a dispatch or function mode, functorch, autocast, fake tensors or tracing is active",
    ),
    Reason("number out of range", "bailout", "an int argument does not fit 64 bits"),
    Reason(
        "guard missed",
        "bailout",
        "no plan fits the arguments although one was just compiled for them",
    ),
    Reason(
        "fault",
        "bailout",
        "the native code met an error of eager's, such as an integer division by zero",
    ),
    Reason(
        "call refused",
        "event",
        "the arguments do not fit the function's parameters: Python raises its TypeError",
    ),
    Reason(
        "eager refuses", "bailout", "eager raises an error for arguments of these shapes or dtypes"
    ),
    Reason(
        "unset variable",
        "bailout",
        "a part of a function is reached before all variables that it is given are set",
    ),
    Reason(
        "empty list",
        "bailout",
        "an argument is an empty list: what it is a list of, only an annotation could tell",
    ),
    Reason("plan limit", "bailout", "the function has as many plans as the knob `plans` allows"),
    Reason(
        "size limit",
        "bailout",
        "arguments of this kind were compiled as often as the knob `respecialize` allows",
    ),
    Reason(
        "capture limit",
        "bailout",
        "captured names changed more often than the knob `respecialize` allows",
    ),
    Reason(
        "switched off",
        "event",
        "the last calls were all refused; from now on they go straight to eager, uncounted",
    ),
    Reason("not scriptable", "refuse", "the source uses a construct outside the compiled language"),
    Reason(
        "context",
        "refuse",
        "the function enters a context manager that is no grad mode: only eager knows its meaning",
    ),
    Reason(
        "default dtype",
        "refuse",
        "torch's default dtype is not float32, which the type rules take for granted",
    ),
    Reason(
        "gradients inside",
        "refuse",
        "the function starts or runs autograd itself: eager records the graph",
    ),
    Reason(
        "sizes in place",
        "refuse",
        "a tensor that others hold is given other sizes or strides in place: `t_`, `resize_`, `out`"
        " of other sizes",
    ),
    Reason("argument type", "refuse", "an argument has a type that plans cannot take"),
    Reason("declared type", "refuse", "a number is of another kind than its annotation says"),
    Reason(
        "compiler error", "refuse", "the compiler failed on this function: a bug worth reporting"
    ),
    Reason(
        "in vain",
        "refuse",
        "plans for these arguments came back more often than they served, by a fault or a guard",
    ),
    Reason("nothing native", "refuse", "all would be called back: eager is as fast"),
    Reason("not native", "aside", "an operation has no native form in a plan yet"),
    Reason("unknown shape", "aside", "a shape or dtype is not known before the call"),
)
REASONS: Mapping[str, Reason] = {row.name: row for row in _ROWS}


class Counters:
    """How often each reason occurred; unknown names are a bug."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def count(self, name: str) -> None:
        """Note one occurrence."""
        if name not in REASONS:
            raise KeyError(f"{name!r} is no row of the reason table")
        with self._lock:
            self._counts[name] += 1

    def snapshot(self) -> dict[str, int]:
        """Occurrences by name, most frequent first."""
        with self._lock:
            return dict(self._counts.most_common())

    def renew_lock(self) -> None:
        """After a fork: the lock may have been held by a thread that is gone."""
        self._lock = threading.Lock()
