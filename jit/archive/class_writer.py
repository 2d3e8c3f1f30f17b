"""Programs as source files: one for each module of Python that their names have.

__torch__.package.module.Class      code/__torch__/package/module.py
__torch__.Class                     code/__torch__.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ir import ClassDef, ClassKind, Method, Program, Role, erased_type_of
from jit.archive.source_writer import Spans, write_method
from jit.archive.spelling import Constants, annotation, is_identifier, literal, quoted

_BASES = {kind: f"({kind.value})" if kind.value else "" for kind in ClassKind}


def write_program(program: Program, constants: Constants) -> dict[str, tuple[str, Spans]]:
    """The source files of a program, by their names in the archive, and where each line comes
    from.
    """
    files: dict[str, tuple[str, Spans]] = {}
    for name, definition in program.classes.items():
        text, spans = files.get(_file_of(name), ("", []))
        text += write_class(definition, constants, spans)
        files[_file_of(name)] = text, spans
    for name, function in program.functions.items():
        text, spans = files.get(_file_of(name), ("", []))
        text += write_method(function, constants, spans)
        files[_file_of(name)] = text, spans
    return files


def _file_of(name: str) -> str:
    return f"code/{name.rpartition('.')[0].replace('.', '/')}.py"


def write_class(definition: ClassDef, constants: Constants, spans: Spans | None = None) -> str:
    """The source of one class; `spans` gets where each line comes from."""
    spans = [] if spans is None else spans
    name = definition.name.rpartition(".")[2]
    lines = [f"class {name}{_BASES[definition.kind]}:"]
    lines += [f"  {line}" for line in _HEADS[definition.kind](definition, constants)]
    if definition.kind in (ClassKind.INTERFACE, ClassKind.MODULE_INTERFACE):
        lines += map(_interface_method, definition.methods.values())
    elif len(lines) == 1 and not definition.methods:
        lines.append("  pass")
    text = "\n".join(lines) + "\n"
    spans += [None] * text.count("\n")
    if definition.is_interface:
        return text
    methods = (write_method(m, constants, spans, level=1) for m in definition.methods.values())
    return text + "".join(methods)


def _module(definition: ClassDef, constants: Constants) -> Iterator[str]:
    for title, role in (("parameters", Role.PARAMETER), ("buffers", Role.BUFFER)):
        names = [n for n, f in definition.fields.items() if f.role is role]
        yield f"__{title}__ = {_names(names)}"
    for title, hooks in (
        ("forward_pre_hooks", definition.forward_pre_hooks),
        ("forward_hooks", definition.forward_hooks),
    ):
        if hooks:
            yield f"__{title}__ = {_names(hooks)}"
    yield from _fields(definition, constants)
    for name, (type_, value) in definition.constants.items():
        yield f"{name} : Final[{annotation(type_)}] = {literal(value, type_, constants)}"


def _names(names: list[str]) -> str:
    return f"[{''.join(f'{quoted(n)}, ' for n in names)}]"


def _fields(definition: ClassDef, constants: Constants) -> Iterator[str]:
    for name, field in definition.fields.items():
        if not is_identifier(name):
            yield f"__annotations__[{quoted(name)}] = {annotation(field.type)}"
        else:
            yield f"{name} : {annotation(field.type)}"


def _members(definition: ClassDef, constants: Constants) -> Iterator[str]:
    for name, value in definition.members.items():
        yield f"{name} = {_member(value, constants)}"


def _member(value: Any, constants: Constants) -> str:
    return literal(value, erased_type_of(value), constants)


def _nothing(definition: ClassDef, constants: Constants) -> Iterator[str]:
    return iter(())


_HEADS: dict[ClassKind, Callable[[ClassDef, Constants], Iterator[str]]] = {
    ClassKind.MODULE: _module,
    ClassKind.CLASS: _fields,
    ClassKind.NAMED_TUPLE: _fields,
    ClassKind.ENUM: _members,
    ClassKind.INTERFACE: _nothing,
    ClassKind.MODULE_INTERFACE: _nothing,
}


def _interface_method(method: Method) -> str:
    """A method without a body."""
    params = [f", {v.name}: {annotation(v.type)}" for v in method.graph.params[1:]]
    (result,) = method.graph.returns
    return f"  def {method.name}(self{''.join(params)}) -> {annotation(result.type)}:\n    pass"
