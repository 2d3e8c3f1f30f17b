"""`jit.load`: an archive as a live module.

    constants.pkl, data.pkl ── Unpickler ──► Loader: tensors, instances ──► the module
                                                │ classes by name
    code/ ── ProgramReader ─────────────────────┘

Classes are read when the data first names them, the bodies of their methods when they are first
used. Weights stay in the file until they are used.
"""

from __future__ import annotations

from typing import Any

import torch

from ir import ClassDef, ClassKind, CompileError, ObjectType, Role, class_of
from jit.archive.errors import ArchiveError
from jit.archive.layout import check_members, read_version
from jit.archive.pythons import ArchivePythons, run_method
from jit.archive.reader import ArchiveReader, Source
from jit.archive.results import MEMBER, PARAMETERS, restore_parameters, restore_results
from jit.archive.source.files import SourceFiles
from jit.archive.source.program import ProgramReader
from jit.archive.tensors import Storages, rebuild
from jit.archive.torchbind import make_bound_object
from jit.archive.traced_inputs import keep_inputs
from jit.archive.unpickler import StorageRef, Unpickler
from jit.collector import paused
from jit.modules.loaded import LoadedModule, new_module, set_state
from jit.modules.script_module import ScriptModule

MAX_CONTAINERS = 1_000_000  # of the table of constants, each counted as often as it is met


def load(
    f: Source,
    map_location: str | torch.device | None = None,
    _extra_files: dict[str, Any] | None = None,
    _restore_shapes: bool = False,
) -> ScriptModule:
    """Read a module from an archive that `jit.save` or `torch.jit.save` has written.

    `f` is a path or a binary file object. `map_location` is the device of all tensors, by default
    the one that they were saved from. `_extra_files` names the extra files that are wanted; their
    contents are put into it. Weights of a file are mapped, not read: do not overwrite it in place
    while the module lives (`jit.save` replaces files, which is safe). Nothing is imported, and no
    code of the archive runs but `__setstate__` methods, in the interpreter.

    Raises `ArchiveError`, a RuntimeError, for a file that is damaged, hostile or no archive; for a
    body that makes no sense, when its method is first used.
    """
    reader = ArchiveReader(f)
    device = None if map_location is None else torch.device(map_location)
    check_members(reader)
    try:
        with paused():
            return _Loader(reader, device).load(_extra_files)
    except (CompileError, ValueError) as error:
        raise ArchiveError(f"{reader.name}: {error}") from error
    except RecursionError:
        raise ArchiveError(f"{reader.name}: its code or data is nested too deeply") from None


class _Loader:
    """One load; what the unpickler makes its values with."""

    def __init__(self, reader: ArchiveReader, device: torch.device | None) -> None:
        self.reader = reader
        self._device = device
        self.pythons = ArchivePythons()
        self.program = ProgramReader(
            SourceFiles(reader), self.constant, read_version(reader), self.pythons
        )
        self.storages = Storages(reader, "constants", device)
        self.constants: tuple[Any, ...] = ()
        self._pending: list[tuple[Any, ClassDef, Any]] = []

    def load(self, extra_files: dict[str, Any] | None) -> ScriptModule:
        """The top module."""
        constants = self._unpickle("constants")
        if not isinstance(constants, tuple):
            raise self.reader.error("constants.pkl", "it holds no tuple")
        check_extent(constants)
        self.constants = constants
        self.storages = Storages(self.reader, "data", self._device)
        module = self._unpickle("data")
        if not isinstance(module, LoadedModule):
            raise self.reader.error("data.pkl", "it holds no module")
        if MEMBER in self.reader:
            restore_results(type(module).definition, self.reader.read(MEMBER))
        if PARAMETERS in self.reader:
            restore_parameters(type(module).definition, self.reader.read(PARAMETERS))
        keep_inputs(module, self.reader)
        self._set_states()
        _read_extra_files(self.reader, extra_files)
        return module

    def _unpickle(self, name: str) -> Any:
        member = f"{name}.pkl"
        where = f"{self.reader.name}: {member}"
        return Unpickler(self.reader.read(member), self, where).load()

    def constant(self, index: int) -> Any:
        """An entry of the table of constants."""
        if index >= len(self.constants):
            raise CompileError(f"CONSTANTS.c{index} is not in the table of constants")
        return self.constants[index]

    # what the unpickler asks ------------------------------------------------------------------

    def storage(self, ref: StorageRef) -> Any:
        """A storage of the archive."""
        return self.storages.get(ref)

    def tensor(self, kind: str, arguments: tuple[Any, ...]) -> Any:
        """A tensor over storages."""
        return rebuild(kind, arguments)

    def earlier_tensor(self, number: int) -> Any:
        """A tensor by its number, as the first archives have them."""
        return self.constant(number)

    def tag(self, value: Any, type_: str) -> Any:
        """A container; its type was for the reader of the data alone."""
        return value

    def enum(self, name: str, value: Any) -> Any:
        """A member of an enum."""
        cls = self.program.enum(name)
        if cls is None:
            raise CompileError(f"{name} is no enum of this archive")
        return cls(value)

    def device(self, name: str) -> torch.device:
        """A device, as data."""
        return torch.device(name)

    def new(self, name: str) -> Any:
        """An instance without state."""
        type_ = self.program.class_type(name)
        definition = class_of(type_)
        if definition is None and isinstance(type_, ObjectType):
            return BoundObject(name)
        if definition is None:
            raise CompileError(f"{name} has no instances")
        if definition.kind is ClassKind.MODULE:
            return new_module(definition)
        if definition.kind is ClassKind.CLASS and definition.python is not None:
            return object.__new__(definition.python)
        raise CompileError(f"{name} has no instances")

    def build(self, instance: Any, state: Any) -> Any:
        """The instance with its state: its attributes, or what `__setstate__` is given."""
        if isinstance(instance, BoundObject):
            check_extent(state)
            return make_bound_object(instance.name, state)
        definition: ClassDef = type(instance).definition
        if "__setstate__" in definition.methods:
            if isinstance(instance, LoadedModule):
                set_state(instance, dict.fromkeys(definition.fields))
            self._pending.append((instance, definition, state))
        elif not isinstance(state, dict) or not all(isinstance(k, str) for k in state):
            raise CompileError(f"the state of {definition.name} is no dict of attributes")
        elif isinstance(instance, LoadedModule):
            _make_parameters(definition, state)
            set_state(instance, state)
        else:
            vars(instance).update(state)
        return instance

    def _set_states(self) -> None:
        """Run the `__setstate__` methods, inner objects first."""
        for instance, definition, state in self._pending:
            try:
                run_method(definition.methods["__setstate__"])(instance, state)
            except Exception as error:  # the archive's own code may raise anything
                raise CompileError(f"__setstate__ of {definition.name} failed: {error}") from error


def _make_parameters(definition: ClassDef, state: dict[str, Any]) -> None:
    """Let the parameters of a state be `nn.Parameter`s: the tensors themselves, as lists and other
    modules may hold them, too.
    """
    for name, field in definition.fields.items():
        value = state.get(name)
        if field.role is Role.PARAMETER and type(value) is torch.Tensor:
            value.__class__ = torch.nn.Parameter


class BoundObject:
    """An object of a class of torch's C++ registry, until its state is known."""

    def __init__(self, name: str) -> None:
        self.name = name


def check_extent(value: Any) -> None:
    """ValueError for data that is small in the file and endless to walk: containers that hold
    themselves, or one another over and over.
    """
    pending, met = [value], 0
    while pending:
        part = pending.pop()
        met += 1
        if met > MAX_CONTAINERS:
            raise ValueError(f"more than {MAX_CONTAINERS} containers inside one another")
        items = part.values() if isinstance(part, dict) else part
        pending += [item for item in items if isinstance(item, dict | list | tuple)]


def _read_extra_files(reader: ArchiveReader, wanted: dict[str, Any] | None) -> None:
    """Fill in the extra files that are there."""
    for name in wanted or ():
        member = f"extra/{name}"
        if member in reader:
            assert wanted is not None
            wanted[name] = reader.read(member)
