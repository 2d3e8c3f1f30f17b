"""What compiled functions and modules have in common with torch's: `save`, and their code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ir
from ir import LateModule

if TYPE_CHECKING:
    from ir import Graph
    from jit.archive.container import Target
    from jit.archive.form import Form
    from jit.archive.save import Extra

_SAVE = LateModule("jit.archive.save")


def code_of(m: Any) -> tuple[str, dict[str, Any]]:
    """The source of what would be saved, without the class around it, and its constants."""
    code, constants = _SAVE.code_of(m)
    return code, constants


class Saveable:
    """Mixin of everything that has an archive form."""

    __slots__ = ()

    def archive_form(self) -> Form:
        """What an archive is made from."""
        raise NotImplementedError

    def save(self, f: Target, _extra_files: Extra | None = None) -> None:
        """Write to a path or file object, as `jit.save` does."""
        _SAVE.save(self, f, _extra_files)

    def save_to_buffer(self, _extra_files: Extra | None = None) -> bytes:
        """The bytes that `save` writes."""
        made = _SAVE.save_to_buffer(self, _extra_files)
        assert isinstance(made, bytes)
        return made

    @property
    def code(self) -> str:
        """The source of the function, or of the module's forward, as archives hold it."""
        return code_of(self)[0]

    @property
    def code_with_constants(self) -> tuple[str, dict[str, Any]]:
        """The source, and the constants that it refers to as `CONSTANTS.cN`, by their names."""
        return code_of(self)

    @property
    def inlined_graph(self) -> Graph:
        """The graph with what it calls in place of the calls."""
        graph: Graph = self.graph.copy()  # type: ignore[attr-defined]
        ir.PASSES["inline"].run(graph)
        return graph
