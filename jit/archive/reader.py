"""The members of an archive: a zip file whose names all lie under one root.

    reader = ArchiveReader("model.pt")
    reader.read("data.pkl")               inflated if need be, its checksum verified
    reader.view("data/0")                 of a stored member: the file's own bytes, memory-mapped

A stored member is not read before its bytes are used, so that a large archive opens in
milliseconds; the mapping is copy-on-write, private to this process. Nothing of what the file says
about itself is trusted: names, counts, sizes and offsets are checked against the limits below and
against the file, and ArchiveError says what does not hold.
"""

from __future__ import annotations

import io
import mmap
import os
import struct
import zipfile
import zlib
from typing import IO, Any

from jit.archive.errors import ArchiveError

Source = str | os.PathLike[str] | IO[bytes]

MAX_MEMBERS = 1_000_000
MAX_NAME = 4096
MAX_INFLATED = 256 << 20  # bytes that compressed members may grow to in all ...
MAX_RATIO = 64  # ... or this many times the file's size, whichever is more

_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_ENCRYPTED = 1


class ArchiveReader:
    """The members of one archive, by their names below the root."""

    def __init__(self, source: Source) -> None:
        """`source` is a path or a file object, which is read from where it stands."""
        self.name, self._data = _open(source)
        self._bytes = memoryview(self._data)
        self.root, self._members = self._index(self._directory())
        self._budget = max(MAX_INFLATED, MAX_RATIO * len(self._bytes))

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def names(self, prefix: str = "") -> list[str]:
        """The members whose names start with `prefix`, in the file's order."""
        return [name for name in self._members if name.startswith(prefix)]

    def size(self, name: str) -> int:
        """The bytes of a member when inflated."""
        return self._info(name).file_size

    def stored_size(self, name: str) -> int:
        """The bytes that a member takes in the file."""
        return self._info(name).compress_size

    def checksum(self, name: str) -> int:
        """The checksum that the zip directory gives of a member's content."""
        return self._info(name).CRC

    def read(self, name: str) -> bytes:
        """The content of a member; ArchiveError when it is damaged or too large."""
        info = self._info(name)
        raw = self._raw(info)
        content = bytes(raw) if info.compress_type == zipfile.ZIP_STORED else self._inflate(info)
        if zlib.crc32(content) != info.CRC:
            raise self.error(name, "its checksum does not match its content")
        return content

    def view(self, name: str) -> Any:
        """A buffer of a member's content: the file's own, writable without changing the file, for
        a stored one."""
        info = self._info(name)
        if info.compress_type == zipfile.ZIP_STORED:
            return self._raw(info)
        return bytearray(self.read(name))

    def error(self, member: str, message: str) -> ArchiveError:
        """An error about one member."""
        return ArchiveError(f"{self.name}: {member}: {message}")

    # the zip layer ----------------------------------------------------------------------------

    def _directory(self) -> list[zipfile.ZipInfo]:
        try:
            with zipfile.ZipFile(_Whole(self._bytes)) as archive:
                return archive.infolist()
        except zipfile.BadZipFile as error:
            raise ArchiveError(
                f"{self.name} is not a TorchScript archive: it is not a zip file, or is cut short "
                f"({error})"
            ) from None
        except (ValueError, OverflowError, NotImplementedError, struct.error, OSError) as error:
            raise ArchiveError(f"{self.name}: its zip directory is damaged ({error})") from None

    def _index(self, infos: list[zipfile.ZipInfo]) -> tuple[str, dict[str, zipfile.ZipInfo]]:
        """The root, and the members by name below it."""
        infos = [info for info in infos if not info.filename.endswith("/")]
        if not infos:
            raise ArchiveError(f"{self.name} is not a TorchScript archive: the zip file is empty")
        if len(infos) > MAX_MEMBERS:
            raise ArchiveError(f"{self.name} has {len(infos)} members; at most {MAX_MEMBERS}")
        root = infos[0].filename.partition("/")[0]
        members: dict[str, zipfile.ZipInfo] = {}
        for info in infos:
            members[self._checked_name(info, root, members)] = info
        return root, members

    def _checked_name(
        self, info: zipfile.ZipInfo, root: str, members: dict[str, zipfile.ZipInfo]
    ) -> str:
        path = info.filename
        parts = path.split("/")
        if len(path) > MAX_NAME or "\\" in path or not all(p not in ("", ".", "..") for p in parts):
            raise ArchiveError(f"{self.name}: {path[:80]!r} is no name of a member")
        if parts[0] != root or len(parts) < 2:
            raise ArchiveError(
                f"{self.name} is not a TorchScript archive: its members lie in one folder, but "
                f"{path[:80]!r} does not lie in {root[:80]!r}"
            )
        name = path[len(root) + 1 :]
        if name in members:
            raise self.error(name, "there are two members of this name")
        if info.flag_bits & _ENCRYPTED:
            raise self.error(name, "it is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise self.error(name, f"compression method {info.compress_type} is not supported")
        if info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size:
            raise self.error(name, "a stored member has two sizes")
        return name

    def _info(self, name: str) -> zipfile.ZipInfo:
        found = self._members.get(name)
        if found is None:
            raise self.error(name, "there is no such member")
        return found

    def _raw(self, info: zipfile.ZipInfo) -> memoryview:
        """The bytes of a member as they lie in the file."""
        name = info.filename[len(self.root) + 1 :]
        start = info.header_offset
        header = bytes(self._bytes[max(start, 0) : max(start, 0) + _LOCAL_HEADER.size])
        if start < 0 or len(header) < _LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
            raise self.error(name, "its header is not where the zip directory says")
        *_, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        begin = start + _LOCAL_HEADER.size + name_length + extra_length
        end = begin + info.compress_size
        if end > len(self._bytes):
            raise self.error(name, "it is cut short")
        return self._bytes[begin:end]

    def _inflate(self, info: zipfile.ZipInfo) -> bytes:
        name = info.filename[len(self.root) + 1 :]
        if info.file_size > self._budget:
            raise self.error(name, f"it inflates to {info.file_size} bytes, more than is sensible")
        self._budget -= info.file_size
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            content = inflater.decompress(self._raw(info), info.file_size + 1)
        except zlib.error as error:
            raise self.error(name, f"it cannot be inflated ({error})") from None
        if len(content) != info.file_size:
            raise self.error(name, "it inflates to another size than the zip directory says")
        return content


def _open(source: Source) -> tuple[str, Any]:
    """What to call a source in messages, and its bytes: a mapping of a file, a copy of a stream."""
    if isinstance(source, str | os.PathLike):
        path = os.fspath(source)
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise ArchiveError(f"{path} is empty")
            return str(path), mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    if not hasattr(source, "read"):
        raise TypeError(f"expected a path or a binary file object, not {type(source).__name__}")
    content = source.read()
    if not isinstance(content, bytes | bytearray):
        raise TypeError("the file object gives text: open it with mode 'rb'")
    return str(getattr(source, "name", "<stream>")), bytearray(content)


class _Whole(io.RawIOBase):
    """A file object over a buffer, so that `zipfile` reads the directory without copying it all."""

    def __init__(self, content: memoryview) -> None:
        self._content = content
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._content)}
        if base[whence] + offset < 0:
            raise OSError("a position before the start")
        self._position = base[whence] + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        end = None if size is None or size < 0 else self._position + size
        content = bytes(self._content[self._position : end])
        self._position += len(content)
        return content
