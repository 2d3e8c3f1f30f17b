"""The exception of archives."""

from __future__ import annotations


class ArchiveError(RuntimeError):
    """An archive that cannot be read: what was found, where in the file, what was expected."""
