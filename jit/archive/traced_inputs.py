"""What the inputs of a trace were like: sizes and dtypes of tensors without their contents, and the
plain data around them, in a member of their own, which loading keeps and saving writes again.

    traced_inputs.pkl           {"forward": [tensor, {"mask": tensor}, 2]}
    traced_inputs/0 ...         a storage of each tensor, empty
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ir import ANY, STR, DictType, ListType, record
from jit.archive.container import ContainerWriter
from jit.archive.pickler import Pickler
from jit.archive.reader import ArchiveReader
from jit.script.state import TRACED

_FOLDER = "traced_inputs"
_MEMBER = f"{_FOLDER}.pkl"
_MAX_BYTES = 1 << 20
_TYPE = DictType(STR, ListType(ANY))


@record
class TracedInputs:
    """The member and how many storages it names."""

    pickle: bytes
    storages: int

    def write(self, writer: ContainerWriter) -> None:
        """Add the members."""
        for number in range(self.storages):
            writer.add(f"{_FOLDER}/{number}", b"")
        writer.add(_MEMBER, self.pickle)


def inputs_of(module: Any) -> TracedInputs | None:
    """The inputs of a module that was traced, or of the trace that an archive holds."""
    kept = vars(module).get(TRACED)
    if isinstance(kept, TracedInputs):
        return kept
    return _described(kept) if kept else None


def _described(inputs: Mapping[str, list[Any]]) -> TracedInputs:
    pickler = Pickler(lambda value: None, device="cpu")
    pickle = pickler.dump(dict(inputs), _TYPE)
    return TracedInputs(pickle, len(pickler.storages))


def keep_inputs(module: Any, reader: ArchiveReader) -> None:
    """Let a module that is loaded know the inputs that its archive has."""
    if _MEMBER in reader and reader.size(_MEMBER) <= _MAX_BYTES:
        storages = len(reader.names(f"{_FOLDER}/"))
        vars(module)[TRACED] = TracedInputs(reader.read(_MEMBER), storages)
