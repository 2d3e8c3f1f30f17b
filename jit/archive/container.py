"""The zip file of an archive, laid out as torch writes it.

    <root>/data.pkl ...        every payload starts at a multiple of 64 bytes, so that weights can
                               be mapped into memory; an extra field `FB` fills the gap

The same members give the same bytes: no times, no names of machines. A file appears whole or not at
all: it is written beside its target, flushed to the disk, and put in its place in one step.
"""

from __future__ import annotations

import hashlib
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Protocol, cast

_ALIGNMENT = 64
_PADDING = 0x4246  # the id "FB"
_HEADER = 30  # bytes of a local file header
_ZIP64_EXTRA = 20
_EPOCH = (1980, 1, 1, 0, 0, 0)
_DEFLATED = (".py", ".debug_pkl")
Data = bytes | memoryview
Target = str | os.PathLike[str] | IO[bytes]


class Sink(Protocol):
    """What an archive is written to."""

    def write(self, data: Any, /) -> Any: ...


class _Stream:
    """A sink that cannot seek, so that every target gets the same bytes; it knows its position."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.position = 0

    def write(self, data: Data) -> int:
        self._sink.write(data)
        size = memoryview(data).nbytes
        self.position += size
        return size

    def flush(self) -> None:
        """Nothing is held back."""


class ContainerWriter:
    """Writes members below one root, in the order they come."""

    def __init__(self, sink: Sink, root: str) -> None:
        self._stream = _Stream(sink)
        self._zip = zipfile.ZipFile(cast(IO[bytes], self._stream), "w")
        self._root = root
        self._digest = hashlib.sha1(usedforsecurity=False)

    def add(self, name: str, data: Data) -> None:
        """Write one member; source text is deflated where that makes it smaller."""
        view = memoryview(data)
        info = zipfile.ZipInfo(f"{self._root}/{name}", _EPOCH)
        info.create_system = 0
        info.external_attr = 0o600 << 16
        if name.endswith(_DEFLATED) and len(zlib.compress(view)) < len(view):
            info.compress_type = zipfile.ZIP_DEFLATED
        info.extra = self._padding(info, len(view))
        self._zip.writestr(info, view)
        self._digest.update(f"{name}\0{len(view)}\0{zlib.crc32(view)}\0".encode())

    def _padding(self, info: zipfile.ZipInfo, size: int) -> bytes:
        """The extra field that moves the payload to the next multiple of the alignment."""
        start = self._stream.position + _HEADER + len(info.filename.encode()) + 4
        if size * 1.05 > zipfile.ZIP64_LIMIT:  # zipfile then adds a field of its own
            start += _ZIP64_EXTRA
        gap = -start % _ALIGNMENT
        return struct.pack("<HH", _PADDING, gap) + b"Z" * gap

    def close(self) -> None:
        """Write the id of the contents and the directory."""
        digest = int.from_bytes(self._digest.digest(), "big") % 10**40
        self.add(".data/serialization_id", f"{digest:040d}".encode())
        self._zip.close()


@contextmanager
def open_container(target: Target) -> Iterator[ContainerWriter]:
    """A writer to a path or a file object; on an error a path is left as it was."""
    if not isinstance(target, str | os.PathLike):
        writer = ContainerWriter(target, "archive")
        yield writer
        writer.close()
        return
    with _replacement(Path(target).resolve()) as file:
        writer = ContainerWriter(file, root_name(Path(target)))
        yield writer
        writer.close()


def root_name(path: Path) -> str:
    """The folder that holds the members: the file's name without its suffix."""
    return path.stem or "archive"


@contextmanager
def _replacement(path: Path) -> Iterator[IO[bytes]]:
    """A new file that takes the place of `path` once it is complete and on the disk."""
    mode = _mode_of(path)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        _quietly(lambda: os.unlink(name))
        raise
    _sync_folder(path.parent)


def _mode_of(path: Path) -> int:
    """The permissions of the file that is replaced, or those of a new one."""
    try:
        return path.stat().st_mode & 0o777
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def _sync_folder(folder: Path) -> None:
    """The new name reaches the disk, too, where folders can be synced."""

    def sync() -> None:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    _quietly(sync)


def _quietly(action: Callable[[], object]) -> None:
    """Do what is only for good measure."""
    with suppress(OSError):
        action()
