"""What an archive is made from: a function, or a module and its methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ir import field, record

if TYPE_CHECKING:
    from ir import Graph


@record
class FunctionForm:
    """A graph, the default values of its parameters, and those that declare no type."""

    graph: Graph
    defaults: Mapping[str, Any] = field(default_factory=dict)
    undeclared: frozenset[str] = frozenset()


@record
class ModuleForm:
    """A live module and the methods that users may call."""

    module: Any
    methods: Mapping[str, FunctionForm]


Form = FunctionForm | ModuleForm


@runtime_checkable
class Savable(Protocol):
    """What can be saved."""

    def archive_form(self) -> Form:
        """The present state; CompileError when there is no graph."""
        ...
