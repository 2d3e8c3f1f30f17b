"""Qualified names of what archives hold: `__torch__.package.module.Class`, each once."""

from __future__ import annotations

from typing import Any

from jit.archive.spelling import as_identifier, is_identifier

ROOT = "__torch__"
_MANGLED = "___torch_mangle_"


def qualified_name(obj: Any, name: str | None = None) -> str:
    """The name of a Python function or class; what `__main__` defines has no module."""
    own = name or getattr(obj, "__name__", None) or type(obj).__name__
    module = getattr(obj, "__module__", None) or "__main__"
    parts = [] if module == "__main__" else module.split(".")
    if parts and parts[0] == ROOT:
        parts = parts[1:]
    return ".".join([ROOT, *map(_part, (*parts, own))])


def _part(name: str) -> str:
    text = as_identifier(name)
    return text if is_identifier(text) else f"{text}_"


class Names:
    """The names given so far; a second thing of one name gets `.___torch_mangle_N.` in front of
    its last part.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._next = 0

    def unique(self, wanted: str) -> str:
        """A free name."""
        name = wanted
        while name in self._taken:
            name = self._mangled(wanted)
        self._taken.add(name)
        return name

    def release(self, name: str) -> None:
        """Take back the name given last."""
        self._taken.discard(name)
        if name.endswith(f"{_MANGLED}{self._next - 1}.{name.rpartition('.')[2]}"):
            self._next -= 1

    def _mangled(self, name: str) -> str:
        parts = [p for p in name.split(".") if not p.startswith(_MANGLED)]
        parts.insert(-1, f"{_MANGLED}{self._next}")
        self._next += 1
        return ".".join(parts)
