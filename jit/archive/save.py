"""`jit.save`: compiled functions and modules as archives that `torch.jit.load` reads."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from ir import (
    BOOL,
    COMPLEX,
    DEVICE,
    FLOAT,
    INT,
    STR,
    TENSOR,
    ClassDef,
    DictType,
    Program,
    TupleType,
    replace,
    to_torch,
)
from jit.archive.class_writer import write_program
from jit.archive.container import ContainerWriter, Target, open_container
from jit.archive.form import FunctionForm, ModuleForm, Savable
from jit.archive.generalize import PLACEHOLDER, Generalizer, placeholder
from jit.archive.modules import ModuleGeneralizer
from jit.archive.pickler import Pickler, storage_bytes
from jit.archive.portable import SPELLINGS
from jit.archive.reach import reachable
from jit.archive.recursion import lower_recursion
from jit.archive.results import MEMBER, PARAMETERS, parameters_of, results_of
from jit.archive.source.origins import SUFFIX, origins_of
from jit.archive.source_writer import called_function, write_method
from jit.archive.spelling import Constants, annotation
from jit.archive.traced_inputs import inputs_of
from jit.archive.versions import MOVED, program_version
from jit.modules.bind import definition_of
from jit.reasons import JitWarning

_KEYS = (INT, FLOAT, COMPLEX, STR, DEVICE, TENSOR, BOOL)  # of TorchScript's dicts
Extra = Mapping[str, str | bytes]


def save(m: Any, f: Target, _extra_files: Extra | None = None) -> None:
    """Write a compiled function or module to a path or file object.

    The archive is read by `jit.load` and by `torch.jit.load`; a function becomes a module whose
    forward it is. `_extra_files` are stored beside it, by name. Raises `CompileError` for code that
    has no meaning outside of this process, such as callbacks into Python, with its file, line and
    caret; a target path is then left as it was.
    """
    archive = _Archive(m)
    with open_container(f) as writer:
        archive.write(writer, _extra_files or {})


def save_to_buffer(m: Any, _extra_files: Extra | None = None) -> bytes:
    """The bytes that `save` writes."""
    buffer = io.BytesIO()
    save(m, buffer, _extra_files)
    return buffer.getvalue()


class _Archive:
    """The members of one archive, made before the first byte is written."""

    def __init__(self, m: Any) -> None:
        generalizer, definition, root = _generic(m)

        held: dict[str, ClassDef] = {}  # also of objects that the types only know by an interface

        def class_at(value: Any) -> ClassDef | None:
            found = definition if value is root else generalizer.object_class(value)
            return None if found is None else held.setdefault(found.name, found)

        self.inputs = inputs_of(root)
        self.data = Pickler(class_at, generalizer.attribute)
        self.data_pickle = self.data.dump(root, definition.type)
        roots = [definition, *held.values()]
        program = reachable(roots, generalizer.program)
        if lower_recursion(program, generalizer.names.unique):
            program = reachable(roots, program)
        constants = Constants()
        self.files = write_program(program, constants)
        _warn_of_library(program)
        self.notes = {
            MEMBER: results_of(definition, program, generalizer.results),
            PARAMETERS: parameters_of(definition, program, generalizer.parameters),
        }
        self.version = program_version(program)
        self.constants = Pickler(class_at, generalizer.attribute)
        values = tuple(map(to_torch, constants.values, constants.types))
        self.constants_pickle = self.constants.dump(values, TupleType(tuple(constants.types)))

    def write(self, writer: ContainerWriter, extra_files: Extra) -> None:
        """All members, in torch's order."""
        for name, content in extra_files.items():
            data = content.encode() if isinstance(content, str) else bytes(content)
            writer.add(f"extra/{name}", data)
        _write_pickle(writer, "data", self.data, self.data_pickle)
        for name, (text, spans) in self.files.items():
            writer.add(name, text.encode())
            if (origins := origins_of(text, spans)) is not None:
                writer.add(name + SUFFIX, Pickler(lambda value: None).dump(*origins))
        _write_pickle(writer, "constants", self.constants, self.constants_pickle)
        if self.inputs is not None:
            self.inputs.write(writer)
        for name, note in self.notes.items():
            if note:
                writer.add(name, json.dumps(note).encode())
        name = "version" if self.version < MOVED else ".data/version"
        writer.add(name, f"{self.version}\n".encode())
        writer.add("byteorder", b"little")


def _warn_of_library(program: Program) -> None:
    """Say what torch does not read."""
    nodes = [node for method in program.methods() for node in method.graph.walk()]
    called = {n.attrs["name"] for n in nodes if n.name == "prim::PythonOp"} - SPELLINGS.keys()
    names = {f"ops.relume.{name}" for name in called}
    types = {value.type for node in nodes for value in node.outputs}
    dicts = {annotation(t) for t in types if isinstance(t, DictType) and t.key not in _KEYS}
    functions = [name for name in program.functions if _recurs(program, name)]
    recursive = {f"{name} (which calls itself)" for name in functions}
    if names or dicts or recursive:
        warnings.warn(
            f"the archive uses {', '.join(sorted(names | dicts | recursive))}: jit.load reads it, "
            "torch.jit.load does not",
            JitWarning,
            stacklevel=2,
        )


def _recurs(program: Program, name: str) -> bool:
    """Whether a function calls itself, by way of others or not."""
    seen: set[str] = set()
    pending = [name]
    while pending:
        function = program.functions.get(pending.pop())
        nodes = function.graph.walk() if function is not None else ()
        called = set(filter(None, map(called_function, nodes))) - seen
        if name in called:
            return True
        seen |= called
        pending += called
    return False


def _write_pickle(writer: ContainerWriter, name: str, pickler: Pickler, pickle: bytes) -> None:
    for number, storage in enumerate(pickler.storages):
        writer.add(f"{name}/{number}", storage_bytes(storage))
    writer.add(f"{name}.pkl", pickle)


def _generic(m: Any) -> tuple[Generalizer, ClassDef, Any]:
    """The program of what is to be saved, the class of its root object, and that object."""
    if not isinstance(m, Savable):
        raise TypeError(
            f"only compiled functions and modules can be saved, not a {type(m).__qualname__}: "
            "compile it with jit.script or jit.trace first"
        )
    form = m.archive_form() if definition_of(m) is None else ModuleForm(m, {})
    if isinstance(form, FunctionForm):
        made, definition = placeholder(form)
        return made, definition, SimpleNamespace(training=True)
    program = ModuleGeneralizer(form)
    return program, program.definition, form.module


def code_of(m: Any) -> tuple[str, dict[str, Any]]:
    """The source of what would be saved, without the class around it, and its constants."""
    _, definition, _ = _generic(m)
    constants = Constants()
    method = definition.methods["forward"]
    if isinstance(m, Savable) and definition.name == PLACEHOLDER:
        graph = method.graph.copy()
        graph.block.params.pop(0)
        text = write_method(replace(method, name=graph.name, graph=graph), constants)
    else:
        text = write_method(method, constants, types_first=False)
    values = map(to_torch, constants.values, constants.types)
    return text, {f"c{number}": value for number, value in enumerate(values)}
