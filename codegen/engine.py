"""The engine: LLVM modules to machine code in memory.

    ll.Module ── text ─► parts ─► parse ─► verify ─► passes ─► object ─► link ─► Library (addresses)
                           │                                     ▲
                           └── hash with target, pipeline ─► object cache

Invariants
  * IR holds no address. What a module uses from outside (C API, torch, constants) is declared, and
    bound by name when the object is linked; so an object made by one process serves every other
    one.
  * A module is verified before any pass runs: LLVM crashes on invalid IR.
  * A `Library` owns its code. Whoever holds an address holds its library, and keeps it until no
    thread can be inside.
  * Every use of LLVM goes through one lock; the GIL is not held while LLVM works. The lock is held
    across a fork, so that no child inherits it taken.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache

import llvmlite
import llvmlite.binding as llb
import llvmlite.ir as ll

from codegen.cache import ObjectCache, fingerprint, is_enabled
from codegen.separate import AS_IT_STANDS, FULL, Part, separate
from codegen.target import Target, host, initialize_llvm
from ir import record

PIPELINE = "p3"
"""Name of the pass pipeline below; part of the cache key, so change it with the passes."""

Resolver = Callable[[str], int | None]
LOCK = threading.RLock()
"""Held while LLVM is in use, and by whoever makes what a process has one of."""
os.register_at_fork(before=LOCK.acquire, after_in_parent=LOCK.release, after_in_child=LOCK.release)


class UnknownSymbol(LookupError):
    """A module uses a name that nobody defines."""


class Library:
    """Linked code. Its addresses are valid as long as the library is referenced."""

    __slots__ = ("_exports", "_tracker", "compile_seconds", "is_cached", "parts", "size")

    def __init__(
        self,
        tracker: llb.ResourceTracker,
        exports: Sequence[str],
        size: int,
        seconds: float,
        is_cached: bool,
        parts: Sequence[str] = (),
    ) -> None:
        self._tracker = tracker
        self._exports = frozenset(exports)
        self.parts = parts
        """Names of its objects in the cache."""
        self.size = size
        """Bytes of the object."""
        self.compile_seconds = seconds
        """Time that making and linking the object took."""
        self.is_cached = is_cached
        """Whether the object came from the cache."""

    def address(self, name: str) -> int:
        """Address of an exported function or global; KeyError when the module did not export it."""
        if name not in self._exports:
            raise KeyError(name)
        return int(self._tracker[name])

    def read_i64(self, name: str) -> int:
        """Value of an exported 64-bit global, such as a counter."""
        return ctypes.c_int64.from_address(self.address(name)).value

    def write_pointer(self, name: str, value: int) -> None:
        """Set an exported pointer global."""
        ctypes.c_void_p.from_address(self.address(name)).value = value

    def write_i64(self, name: str, value: int) -> None:
        """Set an exported 64-bit global."""
        ctypes.c_int64.from_address(self.address(name)).value = value

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if not is_finalizing():  # at exit other threads and deleters may still run the code
            with LOCK:
                self._tracker.close()


@record
class Source:
    """What the engine is given: IR text, and the names that it defines for others and takes from
    others.
    """

    text: str
    exports: tuple[str, ...]
    imports: tuple[str, ...]

    @staticmethod
    def of(module: ll.Module) -> Source:
        """Exports are the definitions with external linkage, imports the declarations that are
        no intrinsics.
        """
        exports, imports = [], []
        for value in module.global_values:
            if _is_defined(value):
                if not value.linkage or value.linkage == "external":
                    exports.append(value.name)
            elif not value.name.startswith("llvm."):
                imports.append(value.name)
        return Source(str(module), tuple(exports), tuple(imports))

    @staticmethod
    def of_text(text: str) -> Source:
        """The same for handwritten IR, where each definition and declaration starts a line."""
        exports = re.findall(r"^(?:define (?!internal)[^@]*)?@([\w.]+)(?:\(| = global)", text, re.M)
        imports = re.findall(
            r"^(?:declare [^@]*)?@(?!llvm\.)([\w.]+)(?:\(| = external)", text, re.M
        )
        return Source(text, tuple(exports), tuple(imports))


def _is_defined(value: ll.GlobalValue) -> bool:
    if isinstance(value, ll.Function):
        return not value.is_declaration
    return value.initializer is not None


class Engine:
    """Compiles and links modules for the host, through an object cache."""

    def __init__(
        self, objects: ObjectCache | None = None, resolve: Resolver = lambda name: None
    ) -> None:
        self.target = host()
        self.objects = objects
        self._resolve = resolve
        self._names = itertools.count()
        with LOCK:
            initialize_llvm()
            self._linker = llb.create_lljit_compiler(self.target.machine(), use_jit_link=True)

    def load(self, source: ll.Module | Source, imports: Mapping[str, int] | None = None) -> Library:
        """Compile (or take from the cache), link and load a module.

        Names are bound to `imports` first, then to what the engine's resolver knows, then to the
        process (libc, libm).
        """
        start = time.perf_counter()
        source = source if isinstance(source, Source) else Source.of(source)
        parts = separate(source.text)
        made = [self._object(part) for part in parts]
        tracker = self._link(
            [body for body, _ in made], source.exports, source.imports, imports or {}
        )
        size, is_cached = sum(len(body) for body, _ in made), all(known for _, known in made)
        seconds, names = time.perf_counter() - start, tuple(map(self.key, parts))
        return Library(tracker, source.exports, size, seconds, is_cached, names)

    def relink(
        self,
        parts: Sequence[str],
        exports: Sequence[str],
        names: Sequence[str],
        imports: Mapping[str, int],
    ) -> Library | None:
        """Link objects of the cache by their names; None when one is no longer there."""
        start = time.perf_counter()
        found = [self.objects.get(part) if self.objects is not None else None for part in parts]
        bodies = [body for body in found if body is not None]
        if len(bodies) != len(parts):
            return None
        tracker = self._link(bodies, exports, names, imports)
        size = sum(map(len, bodies))
        return Library(tracker, exports, size, time.perf_counter() - start, True, parts)

    def key(self, part: Part) -> str:
        """Name of a part's object in the cache."""
        how = (self.target.key, PIPELINE, str(part.opt), llvmlite.__version__)
        return fingerprint((part.text, *how))

    def _object(self, part: Part) -> tuple[bytes, bool]:
        """The object of a part, and whether it came from the cache."""
        if self.objects is None:
            return compile_object(part.text, self.target, part.opt), False
        key = self.key(part)
        body = self.objects.get(key)
        if body is not None:
            return body, True
        body = compile_object(part.text, self.target, part.opt)
        self.objects.put(key, body)
        return body, False

    def _link(
        self,
        bodies: Sequence[bytes],
        exports: Sequence[str],
        names: Sequence[str],
        imports: Mapping[str, int],
    ) -> llb.ResourceTracker:
        builder = llb.JITLibraryBuilder().add_current_process()
        for body in bodies:
            builder.add_object_img(body)
        addresses = {name: imports.get(name) or self._resolve(name) for name in names}
        for name in exports:
            builder.export_symbol(name)
        with LOCK:
            for name, address in addresses.items():
                if address:
                    builder.import_symbol(name, address)
                elif llb.address_of_symbol(name) is None:
                    raise UnknownSymbol(name)
            return builder.link(self._linker, f"relume.{next(self._names)}")


def compile_object(text: str, target: Target, opt: int = FULL) -> bytes:
    """The relocatable object of an LLVM module for any target."""
    with LOCK:
        return _object(text, target, opt)


def assembly(text: str, target: Target, opt: int = FULL) -> str:
    """The assembly text of an LLVM module for any target."""
    with LOCK:
        return _assembly(text, target, opt)


def optimized(text: str, target: Target) -> str:
    """The IR text of a module after verification and the pass pipeline."""
    with LOCK:
        return str(_optimized(text, target, FULL))


# The functions below are called under the lock, and LLVM's objects die when they return: so under
# the lock, too.


@cache
def _machine(target: Target, opt: int = FULL) -> llb.TargetMachine:
    """One machine per target: making it costs as much as a small kernel's register allocation."""
    return target.machine(opt)


def _object(text: str, target: Target, opt: int) -> bytes:
    return bytes(_machine(target, opt).emit_object(_optimized(text, target, opt)))


def _assembly(text: str, target: Target, opt: int) -> str:
    return str(_machine(target, opt).emit_assembly(_optimized(text, target, opt)))


def _optimized(text: str, target: Target, opt: int) -> llb.ModuleRef:
    """A verified and optimized module in a context of its own."""
    machine = _machine(target, opt)
    module = llb.parse_assembly(text, llb.create_context())
    module.triple = machine.triple
    module.data_layout = str(machine.target_data)
    module.verify()
    if opt != AS_IT_STANDS:
        _run_passes(module, machine, has_inline="alwaysinline" in text)
    return module


def _run_passes(module: llb.ModuleRef, machine: llb.TargetMachine, has_inline: bool) -> None:
    """Clean up what the builders leave: stack slots, repeated computations, trivial branches, dead
    code.

    Loops come vectorized and with invariants hoisted, so LLVM's own pipelines (five to ten times
    slower than this one) find nothing more to do.
    """
    builder = llb.create_pass_builder(machine, llb.create_pipeline_tuning_options(speed_level=1))
    if has_inline:
        inline = llb.create_new_module_pass_manager()
        inline.add_always_inliner_pass()
        inline.run(module, builder)
    kernels, bodies = _cleanup(has_gvn=True), _cleanup(has_gvn=False)
    for function in module.functions:
        if not function.is_declaration:
            (bodies if _has_control(function) else kernels).run(function, builder)


def _cleanup(has_gvn: bool) -> llb.FunctionPassManager:
    clean = llb.create_new_function_pass_manager()
    clean.add_sroa_pass()
    if has_gvn:
        clean.add_new_gvn_pass()
    clean.add_instruction_combine_pass()
    clean.add_simplify_cfg_pass()
    clean.add_dead_code_elimination_pass()
    return clean


def _has_control(function: llb.ValueRef) -> bool:
    """Whether a function has loops of a plan's body (`codegen.control`): LLVM's value numbering
    may fail an assertion of its own on them, which ends the process, and the back end's does here.
    """
    return any(block.name.startswith("loop.body") for block in function.blocks)


@cache
def default_cache() -> ObjectCache | None:
    """The object cache of this process, None when it is switched off."""
    return ObjectCache() if is_enabled() else None
