"""What the members of an archive are: which must be there, and the version of the format."""

from __future__ import annotations

import re

from jit.archive.errors import ArchiveError
from jit.archive.reader import ArchiveReader

VERSIONS = range(1, 11)
_REQUIRED = ("data.pkl", "constants.pkl")
_VERSION = ("version", ".data/version")  # the second from version 6 on


def check_members(reader: ArchiveReader) -> None:
    """ArchiveError when a file is a zip file, but not one of TorchScript's."""
    missing = [name for name in _REQUIRED if name not in reader]
    if not any(name in reader for name in _VERSION):
        missing.append("version")
    if not missing:
        return
    if "model.json" in reader:
        raise ArchiveError(
            f"{reader.name} was written by PyTorch 1.3 or earlier, whose format is not supported: "
            "load and save it once with a PyTorch between 1.4 and 2.13"
        )
    if missing == ["constants.pkl"]:
        raise ArchiveError(
            f"{reader.name} was written by torch.save: open it with torch.load. "
            "Archives are written by jit.save and torch.jit.save"
        )
    raise ArchiveError(
        f"{reader.name} is not a TorchScript archive: it has no {' and no '.join(missing)}"
    )


def read_version(reader: ArchiveReader) -> int:
    """The version of the format."""
    member = next(name for name in _VERSION if name in reader)
    text = reader.read(member)[:32]
    if not re.fullmatch(rb"\d{1,9}\s*", text):
        raise reader.error(member, f"{text!r} is no number")
    version = int(text)
    if version not in VERSIONS:
        known = f"{VERSIONS[0]} to {VERSIONS[-1]}"
        raise reader.error(member, f"version {version} is not supported, only {known}")
    return version
