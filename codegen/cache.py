"""The object cache: compiled objects on disk, so that a second process does no LLVM work.

One file per object, named by the hash of everything that the object depends on:

    magic (8 bytes) | sha256 of the object (32 bytes) | the object

Invariants
  * A file appears under its name complete (written aside, then renamed), so readers need no lock
    and several processes may write the same entry at once: the last one wins with equal content.
  * A file that fails its checksum is no entry: it is counted, and replaced by the next `put`.
  * The cache never raises for what the disk does: an unwritable or full directory means no caching,
    and `counters` says why.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

FORMAT = 1
_MAGIC = b"RELUME" + FORMAT.to_bytes(2, "little")
_HEAD = len(_MAGIC) + hashlib.sha256().digest_size
_SUFFIX = ".o"
_EVICTION_PERIOD = 64  # puts between two looks at the size of the directory
_KEEP = 0.75  # share of the cap that an eviction leaves
_ROOT = Path(__file__).resolve().parent.parent
_PACKAGES = ("ir", "codegen", "jit")


def default_directory() -> Path:
    """`JIT_CACHE_DIR`, otherwise `relume` in the user's cache directory."""
    if named := os.environ.get("JIT_CACHE_DIR"):
        return Path(named)
    root = os.environ.get("XDG_CACHE_HOME")
    return Path(root) / "relume" if root else Path("~/.cache/relume").expanduser()


def fingerprint(parts: Iterable[str]) -> str:
    """Name of the entry that depends on exactly `parts`; their borders count."""
    digest = hashlib.sha256(_MAGIC)
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def own_sources() -> str:
    """The state of our own code, by its files: part of names that tell nothing of the code."""
    return "\n".join(sorted(line for name in _PACKAGES for line in _sources(f"{_ROOT}/{name}")))


def _sources(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                status = entry.stat()
                yield f"{entry.path} {status.st_size} {status.st_mtime_ns}"
            elif entry.is_dir() and entry.name != "__pycache__":
                yield from _sources(entry.path)


class ObjectCache:
    """A directory of compiled objects with a size cap; the oldest entries go first.

    `counters` holds hits, misses, stores and, by name, what went wrong: `corrupt`, `unreadable`,
    `unwritable`.
    """

    def __init__(self, directory: Path | None = None, max_bytes: int = 512 << 20) -> None:
        self.directory = default_directory() if directory is None else directory
        self.max_bytes = max_bytes
        self.counters: Counter[str] = Counter()
        self._puts = itertools.count(os.getpid() % _EVICTION_PERIOD)

    def get(self, key: str) -> bytes | None:
        """The object stored under `key`, None when there is no sound one."""
        path = self._path(key)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return self._missed("misses")
        except OSError:
            return self._missed("unreadable")
        body = data[_HEAD:]
        if data[:_HEAD] != _head(body):
            return self._missed("corrupt")
        self.counters["hits"] += 1
        return body

    def put(self, key: str, body: bytes) -> None:
        """Store an object; a directory that cannot be written is counted, not raised."""
        try:
            self._write(self._path(key), _head(body) + body)
        except OSError:
            self.counters["unwritable"] += 1
            return
        self.counters["stores"] += 1
        if next(self._puts) % _EVICTION_PERIOD == 0:
            self.evict()

    def evict(self) -> None:
        """Remove the oldest entries when the directory has outgrown its cap."""
        entries = sorted(self._entries())
        total = sum(size for _, size, _ in entries)
        if total <= self.max_bytes:
            return
        for _, size, path in entries:
            if total <= self.max_bytes * _KEEP:
                break
            path.unlink(missing_ok=True)
            total -= size
            self.counters["evictions"] += 1

    def _entries(self) -> Iterable[tuple[float, int, Path]]:
        for path in self.directory.glob(f"??/*{_SUFFIX}"):
            try:
                status = path.stat()
            except FileNotFoundError:  # another process evicts too
                continue
            yield status.st_mtime, status.st_size, path

    def _path(self, key: str) -> Path:
        return self.directory / key[:2] / (key[2:] + _SUFFIX)

    def _missed(self, reason: str) -> bytes | None:
        self.counters[reason] += 1
        return None

    def _write(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".part-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(name, path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise


def _head(body: bytes) -> bytes:
    return _MAGIC + hashlib.sha256(body).digest()


def is_enabled() -> bool:
    """Whether this process keeps objects on disk (`JIT_CACHE=0` switches it off)."""
    return os.environ.get("JIT_CACHE", "1") != "0" and not sys.flags.isolated
