"""One compilation: a graph, the call that it is specialized to, and what its plan depends on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

import codegen
from ir import LateModule, field, record, replace

if TYPE_CHECKING:
    from codegen import Captured
    from ir import Dim, Facts, Graph
    from jit import specialize
    from jit.call import Source
    from jit.captures import Extra
    from jit.given import Given
    from jit.profile import History, Kind, Measured
    from jit.specialize import Specialized
else:
    specialize = LateModule("jit.specialize")


@record(frozen=False, eq=False)
class Job:
    """What decides a plan. `extras` are the tensors that the graph reads itself, as they are now;
    `history` and `measures` tell sizes; `guards` are those of captured names; `keywords` name the
    last values passed; `compile_later` makes functions of parts that plans call back.
    """

    graph: Graph
    sources: Sequence[Source]
    given: Given
    extras: Sequence[tuple[Extra, Any]]
    kind: Kind
    history: History
    measures: Measured
    guards: Sequence[Captured]
    keywords: Sequence[str]
    compile_later: Callable[[Graph], Callable[..., Any]]
    has_grad: bool = field(default_factory=torch.is_grad_enabled)
    """The grad mode of the call, which code may ask for."""
    key: str | None = None
    """The name of its record in the object cache (`jit.remembered`)."""
    made: Specialized | None = None

    def dims(self, facts: Facts) -> list[Dim]:
        """The sizes of the call: constants, or symbols of `facts`."""
        return self.history.dims(self.measures, facts)

    def specialized(self) -> Specialized:
        """The graph for calls like this one, made once. Raises what `specialize` does."""
        if self.made is None:
            with torch.set_grad_enabled(self.has_grad):
                self.made = specialize.specialize(
                    self.graph, self.sources, self.given, self.extras, self.dims
                )
            self.made.captured.extend(self.guards)
        return self.made

    def emit(self) -> codegen.Emitted:
        """The IR of the plan. Raises what `codegen.emit` does."""
        made = self.specialized()
        with torch.set_grad_enabled(self.has_grad):
            return codegen.emit(
                made.graph,
                made.params,
                made.known,
                made.facts,
                keywords=self.keywords,
                captured=made.captured,
                taken=made.taken,
                compile_later=self.compile_later,
            )

    def compile(self) -> codegen.Plan:
        """The plan. Raises what `codegen.emit` does."""
        return codegen.compile_plan(self.emit())

    def guard_lines(self) -> list[str]:
        """What a call must bring, as readable text."""
        made = self.specialized()
        pairs = zip(self.given.names, made.params, strict=True)
        captured = [f"captured {c.key}: {c.param}" for c in made.captured]
        passed = [f"{name}: {param}" for name, param in pairs]
        return [*passed, *captured, *map(str, made.facts.assumptions)]

    def settle(self) -> None:
        """The plan is made, and the job kept for reports: let go of the call's elements, and of a
        history that goes on.
        """
        self.given = replace(self.given, values=[_bare(value) for value in self.given.values])
        self.extras = [(extra, _bare(value)) for extra, value in self.extras]
        self.history = copy.copy(self.history)


def _bare(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")
    if type(value) in (list, tuple):
        return type(value)(map(_bare, value))
    return value
