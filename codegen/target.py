"""The machine that code is generated for: triple, CPU, features, vector width and cache sizes.

Invariants: a `Target` is immutable and hashable, and everything in it that changes code is part of
`key`, so that an object cached for one machine is never loaded on another. Targets of other
machines can be described too (`describe`); their objects can be emitted and inspected, not run.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import llvmlite.binding as llb

from ir import record

_VECTOR_BYTES = (("+avx512f", 64), ("+avx2", 32), ("+avx", 32))  # the first feature present decides
_DEFAULT_VECTOR_BYTES = 16  # SSE2, NEON
_DEFAULT_CACHES = (32 << 10, 1 << 20, 8 << 20)
_HUGE_PAGE = 2 << 20
_HALVED = frozenset({"znver4"})  # CPUs that run 64-byte vectors in two halves


@record
class Target:
    """One machine: what LLVM needs to know, and what schedules are chosen by."""

    triple: str
    cpu: str
    features: str
    vector_bytes: int
    caches: tuple[int, int, int] = _DEFAULT_CACHES
    """Bytes of the level 1 data cache, of level 2, and of level 3."""
    page_bytes: int = 4096
    huge_page_bytes: int = _HUGE_PAGE

    @property
    def key(self) -> str:
        """Identity for caches of code."""
        return "|".join((self.triple, self.cpu, self.features, str(self.vector_bytes)))

    @property
    def instructions(self) -> frozenset[str]:
        """Names of the instruction sets that it has ("avx512f")."""
        return frozenset(f[1:] for f in self.features.split(",") if f.startswith("+"))

    @property
    def is_host(self) -> bool:
        """Whether its code runs here."""
        return self == host()

    @property
    def halves_vectors(self) -> bool:
        """Whether vectors of half the width compute as fast; from beyond the level 2 cache they
        come and go faster then (by 5 to 20 per cent).
        """
        return self.vector_bytes == 64 and self.cpu in _HALVED

    @property
    def registers(self) -> int:
        """How many vector registers it has."""
        return 16 if self.triple.startswith("x86") and self.vector_bytes < 64 else 32

    def lanes(self, bits: int) -> int:
        """Elements of `bits` bits in one vector register."""
        return max(self.vector_bytes * 8 // bits, 1)

    def machine(self, opt: int = 2) -> llb.TargetMachine:
        """A new LLVM target machine; not to be shared between threads."""
        initialize_llvm()
        target = llb.Target.from_triple(self.triple)
        return target.create_target_machine(
            cpu=self.cpu, features=self.features, opt=opt, reloc="pic", codemodel="small"
        )


@cache
def initialize_llvm() -> None:
    """Register every target that the LLVM in the wheel was built with; done once."""
    llb.initialize_all_targets()
    llb.initialize_all_asmprinters()
    llb.initialize_native_asmparser()


@cache
def host() -> Target:
    """The machine that this process runs on."""
    features = llb.get_host_cpu_features().flatten()
    if _vector_bytes(features) == 64:
        features += (
            ",-prefer-256-bit"  # LLVM splits 64-byte vectors on such machines unless told not to
        )
    return Target(
        triple=llb.get_process_triple(),
        cpu=llb.get_host_cpu_name(),
        features=features,
        vector_bytes=_vector_bytes(features),
        caches=_cache_sizes(),
        page_bytes=os.sysconf("SC_PAGE_SIZE"),
    )


def describe(triple: str, cpu: str = "", features: str = "") -> Target:
    """A target given by name, for tests and export to other machines."""
    return Target(triple, cpu, features, _vector_bytes(features))


def _vector_bytes(features: str) -> int:
    present = set(features.split(","))
    return next((width for name, width in _VECTOR_BYTES if name in present), _DEFAULT_VECTOR_BYTES)


def _cache_sizes() -> tuple[int, int, int]:
    """Data or unified caches of CPU 0 as Linux reports them; defaults for levels it does not
    report.
    """
    sizes = list(_DEFAULT_CACHES)
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind = _read(index / "level"), _read(index / "type")
        size = _read(index / "size").removesuffix("K")
        if kind != "Instruction" and size.isdigit() and level in ("1", "2", "3"):
            sizes[int(level) - 1] = int(size) << 10
    return sizes[0], sizes[1], sizes[2]


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
