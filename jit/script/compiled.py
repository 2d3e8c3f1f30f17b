"""What the script front end gives back."""

from __future__ import annotations

from dataclasses import dataclass

from ir import Graph
from jit.script.resolve import Capture


@dataclass(frozen=True, slots=True)
class CompiledSource:
    """A graph and what its source captured."""

    graph: Graph
    captures: tuple[Capture, ...]

    def is_current(self) -> bool:
        """Whether every captured name still means what was compiled."""
        return all(capture.holds() for capture in self.captures)
