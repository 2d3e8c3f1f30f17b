"""Classes and functions of an archive, read when they are first asked for.

    reader = ProgramReader(files, constants, version, pythons)
    reader.class_type("__torch__.pkg.Model")     declares the class and what its fields are of

Declaring a function gives it a graph with parameters and the annotated result; its body is read
when the graph is first looked into.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

from ir import (
    ANY,
    NONE,
    PASSES,
    TENSOR,
    ClassDef,
    ClassKind,
    CompileError,
    Field,
    Graph,
    Method,
    ObjectType,
    ParseError,
    Program,
    Role,
    TupleType,
    Type,
    replace,
)
from jit.archive.errors import ArchiveError
from jit.archive.source import calls, expressions, statements
from jit.archive.source.annotations import dotted, read_tag, read_type
from jit.archive.source.body import Body, Signature
from jit.archive.source.deferred import DeferredGraph
from jit.archive.source.files import SourceFile, SourceFiles, spelled
from jit.archive.source.literals import literal_value
from jit.archive.source.upgrade import LATEST, VERSIONS, upgrades_file
from jit.archive.source.values import context_type
from jit.collector import paused

# Importing these files registers their handlers.
HANDLERS = (calls, expressions, statements)

_BOUND_CLASSES = "__torch__.torch.classes."
_KINDS = {kind.value: kind for kind in ClassKind}
_ACCESSOR = re.compile(r"__(.+)_(getter|setter)")
_LISTS = {"__parameters__", "__buffers__", "__forward_hooks__", "__forward_pre_hooks__"}


class Pythons(Protocol):
    """What the archive's classes are in this process."""

    def named_tuple(self, name: str, fields: tuple[str, ...], defaults: Sequence[Any]) -> Any: ...

    def enum(self, name: str, members: dict[str, Any]) -> Any: ...

    def script_class(self, definition: ClassDef) -> Any: ...

    def context(self, name: str) -> type | None: ...

    def exception(self, name: str) -> type[Exception]: ...

    def of_type(self, type_: Type) -> Any: ...

    def bound_result(self, name: str, method: str) -> str | None: ...


class ProgramReader:
    """The program of one archive; `program` has what was read so far."""

    def __init__(
        self, files: SourceFiles, constants: Callable[[int], Any], version: int, pythons: Pythons
    ) -> None:
        self.program = Program()
        self._files = files
        self._constants = constants
        self._version = version
        self._pythons = pythons
        self._types: dict[str, Type | None] = {}
        self._enums: dict[str, Any] = {}
        self._functions: dict[str, Signature | None] = {}
        self._signatures: dict[Method, Signature] = {}
        self._results: dict[Graph, Type] = {}

    @property
    def is_old(self) -> bool:
        """Whether operators have changed since the archive was written."""
        return self._version < LATEST

    # what bodies ask --------------------------------------------------------------------------

    def class_type(self, name: str) -> Type:
        """The type of a qualified name's instances."""
        if name.startswith(_BOUND_CLASSES):
            return ObjectType(name)
        if name not in self._types:
            self._types[name] = None
            context = self.context(name)
            if context is not None:
                self._types[name] = context_type(context)
            else:
                self._declare_class(name)
        found = self._types[name]
        if found is None:
            raise ParseError(f"{name} is defined by itself")
        return found

    def enum(self, name: str) -> Any:
        """The class of an enum by qualified name, None when it is none."""
        if name not in self._enums:
            found = self._files.find(name) if name.startswith("__torch__.") else None
            is_enum = found is not None and _base(found[1]) == ClassKind.ENUM.value
            self._enums[name] = self.class_type(name).cls if is_enum else None  # type: ignore[attr-defined]
        return self._enums[name]

    def function(self, name: str) -> Signature | None:
        """A free function by qualified name."""
        if name not in self._functions:
            self._functions[name] = None
            found = self._files.find(name)
            if found is not None and isinstance(found[1], ast.FunctionDef):
                declared = self._declare(found[0], found[1], name)
                self._functions[name] = declared
                self.program.functions[name] = declared.method
        return self._functions[name]

    def method(self, owner: ClassDef, name: str) -> Signature | None:
        """A method of a class."""
        found = owner.methods.get(name)
        if found is None:
            return None
        known = self._signatures.get(found)  # none for a class of another program
        return known or Signature(found, found.graph.returns[0].type)

    def result(self, graph: Graph) -> Type:
        """The type of what a graph returns, which may not be read yet."""
        found = self._results.get(graph)
        return graph.returns[0].type if found is None else found

    def constant(self, name: str) -> Any:
        """An entry of the table of constants: `c0`."""
        if not re.fullmatch(r"c\d{1,9}", name):
            raise ParseError(f"CONSTANTS.{name} is no constant")
        return self._constants(int(name[1:]))

    def context(self, name: str) -> type | None:
        """The context manager of torch that a qualified name stands for, or None."""
        return self._pythons.context(name)

    def bound_result(self, name: str, method: str) -> Type | None:
        """What a method of a class of torch's registry returns, None when it is not known."""
        text = self._pythons.bound_result(name, method)
        return None if text is None else read_tag(text, self.class_type)

    def exception(self, name: str) -> type[Exception]:
        """The class of an exception by qualified name."""
        return self._pythons.exception(name)

    def python_class(self, type_: Type) -> Any:
        """The Python class that `isinstance` tests for a type."""
        return self._pythons.of_type(type_)

    def upgrade(self, op: str) -> Signature | None:
        """What an operator meant in the archive's version, None when it means the same today."""
        name = VERSIONS.get(op)
        if name is None or self._version >= name.changed_in:
            return None
        found = self._functions.get(name.function)
        if found is None:
            file = upgrades_file()
            found = self._declare(file, file.definitions[name.function], name.function)  # type: ignore[arg-type]
            self._functions[name.function] = found
        return found

    # classes ----------------------------------------------------------------------------------

    def _declare_class(self, name: str) -> None:
        found = self._files.find(name)
        if found is None or not isinstance(found[1], ast.ClassDef):
            raise ParseError(f"class {name} is not defined in this archive")
        file, node = found[0], found[1]
        kind = _KINDS.get(_base(node))
        with placed(file, node):
            if kind is None:
                raise ParseError(f"{_base(node)!r} is no base of a class")
        definition = ClassDef(name, kind)
        if kind not in (ClassKind.ENUM, ClassKind.NAMED_TUPLE):
            self._types[name] = definition.type
        if kind is ClassKind.MODULE:
            definition.reread = partial(self._reread, file, node, definition)
        self.program.classes[name] = definition
        reader = _ClassReader(self, file, node, definition)
        reader.read_fields()
        if kind is ClassKind.ENUM:
            definition.python = self._pythons.enum(name, definition.members)
            self._types[name] = ObjectType(name, definition.python)
        elif kind is ClassKind.NAMED_TUPLE:
            self._types[name] = self._named_tuple(definition)
        else:
            reader.declare_methods()
            if kind is ClassKind.CLASS:
                definition.python = self._pythons.script_class(definition)

    def _reread(
        self, file: SourceFile, node: ast.ClassDef, known: ClassDef, fields: Mapping[str, Field]
    ) -> ClassDef:
        """A class of modules with other fields, whose methods are read for their types."""
        made = replace(known, fields=dict(fields), methods={}, properties={}, python=None)
        _ClassReader(self, file, node, made).declare_methods()
        return made

    def _named_tuple(self, definition: ClassDef) -> Type:
        fields = tuple(definition.fields)
        made = self._pythons.named_tuple(
            definition.name, fields, list(definition.defaults.values())
        )
        definition.python = made
        types = tuple(f.type for f in definition.fields.values())
        return TupleType(types, definition.name, fields, made)

    # functions --------------------------------------------------------------------------------

    def _declare(
        self,
        file: SourceFile,
        node: ast.FunctionDef,
        name: str,
        owner: ClassDef | None = None,
        given: Mapping[str, Type] | None = None,
    ) -> Signature:
        """A function; `given` types take the place of those that the code declares."""
        graph = DeferredGraph(name)
        method = Method(spelled(node.name), graph)
        spec = node.args
        with placed(file, node):
            if spec.vararg or spec.kwarg:
                raise ParseError("* and ** parameters are not part of the archive's language")
            params = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs]
            for position, arg in enumerate(params):
                is_self = owner is not None and position == 0
                type_ = owner.type if is_self and owner else self._parameter_type(arg, given)
                graph.block.add_param(type_, spelled(arg.arg))
            method.keyword_only = frozenset(spelled(a.arg) for a in spec.kwonlyargs)
            method.defaults = self._defaults(spec)
            is_open = node.returns is None or given is not None
            result = None if is_open else read_type(node.returns, self.class_type)  # type: ignore[arg-type]
            method.undeclared = frozenset(spelled(a.arg) for a in params if a.annotation is None)
            if method.undeclared:
                method.reread = lambda types: self._declare(file, node, name, owner, types).method
        signature = Signature(method, ANY if result is None else result)
        if result is None:
            signature = Signature(method, self._read_body(file, node, graph, None))
        elif owner is not None and owner.is_interface:
            made = Body(self, file, graph, result).node("prim::Uninitialized", (), [result])
            graph.block.add_return(made.output)
        else:
            graph.defer(partial(self._read_later, file, node, graph, result))
        self._signatures[method] = signature
        self._results[graph] = signature.result
        return signature

    def _parameter_type(self, arg: ast.arg, given: Mapping[str, Type] | None) -> Type:
        if arg.annotation is None:
            return (given or {}).get(spelled(arg.arg), TENSOR)
        return read_type(arg.annotation, self.class_type)

    def _defaults(self, spec: ast.arguments) -> dict[str, Any]:
        params = [*spec.posonlyargs, *spec.args]
        pairs = [*zip(params[len(params) - len(spec.defaults) :], spec.defaults, strict=True)]
        pairs += [(a, d) for a, d in zip(spec.kwonlyargs, spec.kw_defaults, strict=True) if d]
        return {spelled(arg.arg): literal_value(value, self.constant) for arg, value in pairs}

    def _read_later(
        self, file: SourceFile, node: ast.FunctionDef, graph: Graph, result: Type
    ) -> None:
        """Read the body of a function that is used for the first time."""
        try:
            with paused():
                self._read_body(file, node, graph, result)
        except (CompileError, ValueError) as error:
            raise ArchiveError(f"{self._files.name}: {error}") from error
        except RecursionError:
            text = "its code is nested too deeply"
            raise ArchiveError(f"{self._files.name}: {text}") from None

    def _read_body(
        self, file: SourceFile, node: ast.FunctionDef, graph: Graph, declared: Type | None
    ) -> Type:
        """Read a function's statements; gives the type of what it returns."""
        body = Body(self, file, graph, declared)
        body.scope.update({str(p.name): p for p in graph.params})
        with placed(file, node):
            value = statements.read_function(body, node.body)
            if declared is not None and declared != NONE:
                value = body.coerce(value, declared)
        graph.block.add_return(value)
        PASSES["dce"].run(graph)
        return value.type


class _ClassReader:
    """The body of one class."""

    def __init__(
        self, program: ProgramReader, file: SourceFile, node: ast.ClassDef, definition: ClassDef
    ) -> None:
        self.program = program
        self.file = file
        self.node = node
        self.definition = definition
        self.lists: dict[str, list[str]] = {}

    def read_fields(self) -> None:
        """Attributes, constants, members; lists of names such as `__parameters__`."""
        for node in self.node.body:
            with placed(self.file, node):
                self._read_statement(node)
        for name, role in (("__parameters__", Role.PARAMETER), ("__buffers__", Role.BUFFER)):
            for field in self.lists.get(name, ()):
                if field in self.definition.fields:
                    type_ = self.definition.fields[field].type
                    self.definition.fields[field] = Field(type_, role)
        self.definition.forward_hooks = self.lists.get("__forward_hooks__", [])
        self.definition.forward_pre_hooks = self.lists.get("__forward_pre_hooks__", [])

    def _read_statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name in _LISTS:
                self.lists[name] = list(literal_value(value, self.program.constant))
            case ast.Assign(
                targets=[ast.Subscript(value=ast.Name(id="__annotations__"), slice=key)],
                value=annotation,
            ):
                self._field(literal_value(key, self.program.constant), annotation, None)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                self._assigned(spelled(name), value)
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
                self._field(spelled(name), annotation, value)
            case ast.FunctionDef() | ast.Pass() | ast.Expr():
                pass
            case _:
                raise ParseError("this is not part of a class in archives")

    def _assigned(self, name: str, value: ast.expr) -> None:
        if self.definition.kind is ClassKind.ENUM:
            self.definition.members[name] = literal_value(value, self.program.constant)
        elif not name.startswith("__"):
            raise ParseError(f"{name!r} has no type")

    def _field(self, name: Any, annotation: ast.expr, value: ast.expr | None) -> None:
        type_ = read_type(annotation, self.program.class_type)
        if not isinstance(name, str):
            raise ParseError("the name of an attribute is no string")
        if value is None:
            self.definition.fields[name] = Field(type_)
        elif isinstance(annotation, ast.Subscript) and dotted(annotation.value) == "Final":
            known = literal_value(value, self.program.constant)
            self.definition.constants[name] = (type_, known)
        else:
            self.definition.fields[name] = Field(type_)
            self.definition.defaults[name] = literal_value(value, self.program.constant)

    def declare_methods(self) -> None:
        """Methods and properties."""
        made = self.definition
        nodes = [n for n in self.node.body if isinstance(n, ast.FunctionDef)]
        for node in nodes:
            name = spelled(node.name)
            signature = self.program._declare(self.file, node, f"{made.name}.{name}", made)
            made.methods[name] = signature.method
        for name in made.methods:
            accessor = _ACCESSOR.fullmatch(name)
            if accessor and accessor[2] == "getter":
                setter = f"__{accessor[1]}_setter"
                made.properties[accessor[1]] = (name, setter if setter in made.methods else None)


def _base(node: ast.ClassDef | ast.FunctionDef) -> str:
    if not isinstance(node, ast.ClassDef) or not node.bases:
        return ""
    return dotted(node.bases[0]) or "?"


@contextmanager
def placed(file: SourceFile, node: ast.AST) -> Iterator[None]:
    """Give errors without a place that of `node`."""
    try:
        yield
    except CompileError as error:
        if error.span is not None:
            raise
        raise ParseError(error.message, file.span(node)) from None
    except RecursionError:
        raise ParseError("this is nested too deeply", file.span(node)) from None
