"""Damaged and hostile archives: valid ones with seeded changes to bytes, zip structure, pickles and
code.

    python -m tests.archive.mutations FIRST LAST

opens the mutations of these seeds, reads all their code, and reports what no archive may do: raise
anything but `ArchiveError`, take longer than 5 s, take more than 1 GiB, touch a file or start a
process. A crash ends the run with Python's trace of it.
"""

from __future__ import annotations

import faulthandler
import io
import random
import re
import signal
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch

from jit.archive.errors import ArchiveError
from jit.archive.inspect import inspect
from jit.archive.load import load
from jit.archive.source.files import PSEUDO_FILE
from tests.archive.saved import Detector, Tagger, saved

Members = dict[str, bytes]
PATIENCE = 5.0
MEMORY = 1 << 30
_NAMES = (
    "x",
    "self",
    "torch",
    "__torch__",
    "annotate",
    "CONSTANTS.c9",
    "1",
    "None",
    "inf",
    '"a"',
    "",
)
_OPCODES = b"\x80\x81\x85\x86\x87\x88\x89\x8aGJKMNQRTUX]abcehjqrstu})(."


@cache
def archives() -> tuple[bytes, ...]:
    """Valid archives to start from."""
    torch.manual_seed(0)
    return saved(Detector()), saved(Tagger()), saved(torch.nn.Linear(2, 2))


@cache
def members(archive: bytes) -> Members:
    """The members of an archive."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def packed(content: Members, method: int = zipfile.ZIP_STORED) -> bytes:
    """An archive of members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def mutate_bytes(r: random.Random, content: bytes) -> bytes:
    """Bytes changed, cut out, repeated or cut off."""
    data = bytearray(content)
    for _ in range(r.choice((1, 1, 2, 8))):
        at = r.randrange(len(data) or 1)
        match r.randrange(5):
            case 0:
                data[at : at + 1] = bytes([r.randrange(256)])
            case 1:
                del data[at : at + r.randrange(1, 64)]
            case 2:
                data[at:at] = data[at : at + r.randrange(1, 64)]
            case 3:
                data[at : at + 4] = struct.pack("<i", r.choice((-1, 0, 1 << 30, -(1 << 31))))
            case 4:
                del data[r.randrange(len(data) or 1) :]
    return bytes(data)


def mutate_zip(r: random.Random, archive: bytes) -> bytes:
    """Members renamed, dropped, repeated, compressed; fields of the directory changed."""
    content = dict(members(archive))
    name = r.choice(list(content))
    match r.randrange(6):
        case 0:
            content[r.choice(("../x", "a/b/c", "/etc/passwd", "a\\b", "x" * 5000, name + "/y"))] = (
                b""
            )
        case 1:
            del content[name]
        case 2:
            content[name] = content.pop(r.choice(list(content)))
        case 3:
            content[name] = bytes(r.choice((0, 10, 1 << 20)))
        case 4:
            content[name.partition("/")[0] + "/version"] = r.choice((b"11", b"-1", b"x", b"9" * 99))
        case 5:
            return _patched(r, packed(content, r.choice((0, 8))))
    return packed(content, r.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))


def _patched(r: random.Random, archive: bytes) -> bytes:
    """A field of a header in the zip directory changed."""
    data = bytearray(archive)
    starts = [i for i in range(len(data) - 4) if data[i : i + 4] in (b"PK\x01\x02", b"PK\x05\x06")]
    at = r.choice(starts) + r.choice((6, 8, 10, 16, 20, 24, 28, 30, 32, 42))
    value = r.choice((0, 1, 0xFFFFFFFF, 0x7FFFFFFF, r.randrange(1 << 32)))
    data[at : at + 4] = struct.pack("<I", value)
    return bytes(data)


def mutate_pickle(r: random.Random, archive: bytes) -> bytes:
    """Opcodes, sizes and globals of a pickle changed."""
    content = dict(members(archive))
    name = r.choice([n for n in content if n.endswith("pkl")])
    data = bytearray(content[name])
    for _ in range(r.choice((1, 1, 3))):
        at = r.randrange(len(data) or 1)
        match r.randrange(5):
            case 0:
                data[at : at + 1] = bytes([r.choice(_OPCODES)])
            case 1:
                data[at:at] = bytes(r.choice(_OPCODES) for _ in range(r.randrange(1, 6)))
            case 2:
                data[at:at] = r.choice((b"cos\nsystem\n", b"cbuiltins\neval\n", b"c__torch__\nM\n"))
            case 3:
                data = data.replace(
                    b"K\x04", bytes([*b"J", *struct.pack("<i", r.getrandbits(31))]), 1
                )
            case 4:
                del data[at : at + r.randrange(1, 16)]
    content[name] = bytes(data)
    return packed(content)


def mutate_code(r: random.Random, archive: bytes) -> bytes:
    """Lines and words of the code changed."""
    content = dict(members(archive))
    name = r.choice([n for n in content if n.endswith(".py")])
    lines = content[name].decode().split("\n")
    for _ in range(r.choice((1, 1, 3))):
        at = r.randrange(len(lines))
        words = lines[at].split(" ")
        match r.randrange(7):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, r.choice(lines))
            case 2:
                words[r.randrange(len(words))] = r.choice(_NAMES)
                lines[at] = " ".join(words)
            case 3:
                lines[at] = "  " + lines[at]
            case 4:
                lines[at] = lines[at].replace("Tensor", r.choice(("int", "List[Tensor]", "X", "")))
            case 5:
                lines.insert(at, "    x = " + "(" * r.choice((3, 150, 5000)) + "x")
            case 6:
                lines.insert(at, "    y = " + "-" * r.choice((10, 20000)) + "1")
        if not lines:
            break
    content[name] = "\n".join(lines).encode()
    return packed(content)


def mutate_raw(r: random.Random, archive: bytes) -> bytes:
    """Bytes of the whole file changed."""
    return mutate_bytes(r, archive)


KINDS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    mutate_raw, mutate_zip, mutate_pickle, mutate_code,
)  # fmt: skip


def mutation(seed: int) -> bytes:
    """The mutated archive of a seed."""
    r = random.Random(seed)
    return KINDS[seed % len(KINDS)](r, r.choice(archives()))


def read_bodies(module: Any) -> None:
    """Read all code of a loaded module, which is read when it is used, and where it comes from."""
    held = (m for m in module.modules() if hasattr(type(m), "definition"))
    pending = [method.graph for m in held for method in type(m).definition.methods.values()]
    seen = set(pending)
    for graph in pending:
        nodes = list(graph.walk())
        for node in nodes:
            assert node.span is None or node.span.origin.render()
        called = {n.attrs["graph"] for n in nodes if "graph" in n.attrs} - seen
        seen |= called
        pending += called


def _open(archive: bytes) -> None:
    """All that reads an archive without running it."""
    for read in (inspect, lambda file: read_bodies(load(file))):
        try:
            read(io.BytesIO(archive))
        except ArchiveError:
            pass


_TOUCHES = ("open", "os.", "subprocess.", "socket.", "shutil.", "ctypes.dlopen")
_touched: list[str] = []


def _watch(event: str, args: tuple[object, ...]) -> None:
    if event.startswith(_TOUCHES) and args[:1] != (PSEUDO_FILE,):
        _touched.append(f"{event}{args[:1]}")


class Hang(BaseException):
    """More than `PATIENCE` seconds of this process's time; no handler of errors catches it."""


def _hang(signal_: int, frame: Any) -> None:
    raise Hang(f"{PATIENCE} s are over")


def _peak() -> int:
    """The most bytes that this process has ever had mapped."""
    found = re.search(r"VmPeak:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


def problems(seeds: range) -> Iterator[str]:
    """What the mutations of these seeds do that they must not."""
    "".encode("cp437")  # what is imported at the first use is imported now
    for archive in archives():
        read_bodies(load(io.BytesIO(archive)))
    signal.signal(signal.SIGPROF, _hang)
    peak = _peak()
    for seed in seeds:
        archive = mutation(seed)
        _touched.clear()
        signal.setitimer(signal.ITIMER_PROF, PATIENCE)
        try:
            _open(archive)
        except (Exception, Hang) as error:  # noqa: BLE001  exactly this is looked for
            yield f"seed {seed}: {type(error).__name__}: {error}"
        signal.setitimer(signal.ITIMER_PROF, 0)
        if _touched:
            yield f"seed {seed}: {_touched}"
        before, peak = peak, _peak()
        if peak - before > MEMORY:
            yield f"seed {seed}: {peak - before} bytes"


if __name__ == "__main__":
    faulthandler.enable()
    sys.addaudithook(_watch)
    count = 0
    for count, problem in enumerate(problems(range(int(sys.argv[1]), int(sys.argv[2]))), 1):
        print(problem, flush=True)
    sys.exit(1 if count else 0)
