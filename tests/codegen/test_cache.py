"""The object cache: whatever is on the disk, `get` gives a sound object or none."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from codegen.cache import ObjectCache, default_directory, fingerprint

KEY = fingerprint(["text", "target"])


def _files(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


def test_round_trip(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path / "made")
    assert cache.get(KEY) is None
    cache.put(KEY, b"object")
    assert cache.get(KEY) == b"object"
    assert ObjectCache(tmp_path / "made").get(KEY) == b"object"
    assert cache.counters == {"misses": 1, "stores": 1, "hits": 1}


def test_borders_of_parts_count() -> None:
    assert fingerprint(["ab", "c"]) != fingerprint(["a", "bc"])
    assert fingerprint(["ab"]) != fingerprint(["ab", ""])


@pytest.mark.parametrize(
    "damage", [lambda d: d[:-1], lambda d: d + b"x", lambda d: b"", lambda d: d[:5] + b"?" + d[6:]]
)
def test_damaged_entries_are_replaced(tmp_path: Path, damage) -> None:
    cache = ObjectCache(tmp_path)
    cache.put(KEY, b"object")
    (path,) = _files(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    assert cache.get(KEY) is None
    assert cache.counters["corrupt"] == 1
    cache.put(KEY, b"again")
    assert cache.get(KEY) == b"again"


def test_unusable_directories_are_counted(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    cache = ObjectCache(blocked / "cache")
    cache.put(KEY, b"object")
    assert cache.get(KEY) is None
    assert cache.counters["unwritable"] == 1
    assert cache.counters["unreadable"] == 1


def test_oldest_entries_are_evicted(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path, max_bytes=10_000)
    keys = [fingerprint([str(k)]) for k in range(20)]
    for age, key in enumerate(keys):
        cache.put(key, bytes(1000))
        os.utime(cache._path(key), (age, age))
    cache.evict()
    left = [key for key in keys if cache.get(key) is not None]
    assert left == keys[-len(left) :]
    assert 5 <= len(left) <= 8
    assert sum(path.stat().st_size for path in _files(tmp_path)) <= 10_000


def _hammer(directory: str, worker: int) -> None:
    cache = ObjectCache(Path(directory))
    for k in range(60):
        body = bytes([k]) * 5000
        cache.put(fingerprint([str(k)]), body)
        found = cache.get(fingerprint([str((k * 7 + worker) % 60)]))
        assert found is None or len(set(found)) == 1
    assert not cache.counters["corrupt"]


def test_processes_share_a_directory(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_hammer, args=(str(tmp_path), k)) for k in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert len(_files(tmp_path)) == 60  # no temporary file is left


def test_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    monkeypatch.delenv("JIT_CACHE_DIR", raising=False)
    assert default_directory() == Path("/somewhere/relume")
    monkeypatch.setenv("JIT_CACHE_DIR", "/elsewhere")
    assert default_directory() == Path("/elsewhere")
