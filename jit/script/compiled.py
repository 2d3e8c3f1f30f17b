"""What the script front end gives back."""

from __future__ import annotations

from types import FunctionType, MethodType
from typing import TYPE_CHECKING

from ir import record

if TYPE_CHECKING:
    from ir import Graph
    from jit.script.resolve import Capture


@record
class CompiledSource:
    """A graph and what its source captured."""

    graph: Graph
    captures: tuple[Capture, ...]
    is_shareable: bool = False
    """Whether it depends on nothing but the captures and the objects that it was given."""

    def is_current(self) -> bool:
        """Whether every captured name still means what was compiled."""
        return all(capture.holds() for capture in self.captures)


class CompiledMethod:
    """What a class has in the place of a method whose calls from Python are compiled; compiled code
    takes the function itself.
    """

    def __init__(self, name: str, function: FunctionType) -> None:
        self.name = name
        self.function = function

    @property
    def source(self) -> FunctionType | None:
        """What compiled code takes; None for a method that is only a graph."""
        return self.function

    def is_in_force(self, obj: object) -> bool:
        """Whether `obj` has no other attribute in front of the method."""
        own = vars(obj).get(self.name)
        source = getattr(own, "__wrapped__", None)
        return own is None or (isinstance(source, MethodType) and source.__func__ is self.function)
