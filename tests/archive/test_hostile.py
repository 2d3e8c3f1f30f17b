"""Damaged and hostile archives give `ArchiveError`, and nothing else happens."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from jit import ArchiveError, inspect, load
from tests.archive.mutations import members, packed, read_bodies
from tests.archive.saved import Tagger, saved
from tests.imports import ROOT

SHORT = 400
SWEEP = 20_000
STEP = 2_000


def mutate(first: int, last: int) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "tests.archive.mutations"]
    done = subprocess.run(
        [*command, str(first), str(last)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_mutations() -> None:
    mutate(0, SHORT)


@pytest.mark.sweep
@pytest.mark.parametrize("first", range(0, SWEEP, STEP))
def test_many_mutations(first: int) -> None:
    mutate(first, first + STEP)


def refused(content: dict[str, bytes], match: str) -> None:
    for read in (inspect, load):
        with pytest.raises(ArchiveError, match=match):
            read(io.BytesIO(packed(content)))


def test_globals_are_a_closed_list() -> None:
    content = dict(members(saved(Tagger())))
    content["archive/data.pkl"] = b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R."
    refused(content, "os.system is not among the globals")


def test_sizes_are_checked() -> None:
    content = dict(members(saved(Tagger())))
    content["archive/data/0"] = content["archive/data/0"][:-4]
    with pytest.raises(ArchiveError, match="data/0: expected 480 bytes, found 476"):
        load(io.BytesIO(packed(content)))


def test_a_tensor_stays_inside_its_storage() -> None:
    content = dict(members(saved(Tagger())))
    data = content["archive/data.pkl"]
    assert data.count(b"(K\x14K\x06t") == 1
    content["archive/data.pkl"] = data.replace(b"(K\x14K\x06t", b"(K\xffK\x06t")
    with pytest.raises(ArchiveError, match="of a storage of 120"):
        load(io.BytesIO(packed(content)))


def test_roots() -> None:
    content = {f"a/{name}": data for name, data in members(saved(Tagger())).items()}
    refused(content, "not a TorchScript archive")


def test_small_data_that_is_endless_to_walk() -> None:
    content = dict(members(saved(Tagger())))
    content["archive/constants.pkl"] = b"\x80\x02)" + b"q\x00h\x00\x86" * 60 + b"\x85."
    with pytest.raises(ArchiveError, match="containers inside one another"):
        load(io.BytesIO(packed(content)))


def test_code_that_is_endless_to_read() -> None:
    content = dict(members(saved(Tagger())))
    (name,) = (n for n in content if n.endswith("saved.py"))
    bomb = "n"
    for depth in range(60):
        bomb = f"[{bomb} for n in [{depth}]]"
    line = f"    y = annotate(int, {bomb})\n    return".encode()
    content[name] = content[name].replace(b"    return", line, 1)
    with pytest.raises(ArchiveError):
        read_bodies(load(io.BytesIO(packed(content))))
