"""The import graph of the three packages, read from source with `ast`, and the laws it must keep.

    jit -> codegen -> ir        the facade of a package is what the others see

Laws, each a function from modules to complaints (`file:line: text`):
  * `upward`: a package imports only packages below it;
  * `deep`: across packages only the facade is imported (`from ir import Graph` or `import ir`), or
    a whole module that the facade itself takes so (`from ir import dtypes`);
  * `hidden`: our own packages are never imported inside a function;
  * `foreign`: torch and llvmlite are imported only by the modules that `OWNERS` names, llvmlite
    only under its two short names;
  * `cycles`: modules of one package form no import cycle, imports for type checking included, and
    none imports its own package's facade.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LAYERS = ("ir", "codegen", "jit")  # from the bottom up

# Modules that may import a foreign package; a name that ends in a dot stands for all below it.
OWNERS: Mapping[str, tuple[str, ...]] = {
    "torch": (
        "ir.torch_bridge",
        "codegen.torch_abi",
        "jit.__main__",
        "jit.agreement",
        "jit.archive.edits",
        "jit.archive.foreign",
        "jit.archive.holdings",
        "jit.archive.inputs",
        "jit.archive.load",
        "jit.archive.portable",
        "jit.archive.pythons",
        "jit.archive.tensors",
        "jit.archive.shell",
        "jit.archive.torchbind",
        "jit.archive.torchscript.numbers",
        "jit.archive.torchscript.tensors",
        "jit.archive.modules",
        "jit.archive.pickler",
        "jit.comparison",
        "jit.compilation_unit",
        "jit.frozen.",
        "jit.job",
        "jit.language",
        "jit.misfit",
        "jit.numpy_bridge",
        "jit.peers",
        "jit.modules.",
        "jit.packing",
        "jit.plainness",
        "jit.profile",
        "jit.remembered",
        "jit.specialize",
        "jit.script.",
        "jit.trace.",
    ),
    "llvmlite": ("codegen.",),
}
LLVMLITE_FORMS = ("llvmlite", "llvmlite.ir as ll", "llvmlite.binding as llb")


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module of an import statement; `name` is what `from` takes out of it."""

    target: str
    name: str | None
    alias: str | None
    line: int
    in_function: bool

    @property
    def package(self) -> str:
        """The top-level package."""
        return self.target.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Module:
    """A source file of ours and what it imports."""

    name: str
    path: str
    imports: tuple[Import, ...]

    @property
    def package(self) -> str:
        """The top-level package."""
        return self.name.partition(".")[0]

    def complain(self, at: Import, text: str) -> str:
        """A complaint that names the place."""
        return f"{self.path}:{at.line}: {text}"


def parse_module(name: str, path: str, source: str) -> Module:
    """The imports of one source text."""
    return Module(name, path, tuple(_imports(ast.parse(source), in_function=False)))


def read_modules(root: Path = ROOT) -> dict[str, Module]:
    """All modules of the three packages, by dotted name."""
    modules = {}
    for path in sorted(p for layer in LAYERS for p in (root / layer).rglob("*.py")):
        relative = path.relative_to(root)
        parts = relative.with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        modules[name] = parse_module(name, str(relative), path.read_text())
    return modules


def _imports(node: ast.AST, in_function: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Import(names=names):
                for n in names:
                    yield Import(n.name, None, n.asname, child.lineno, in_function)
            case ast.ImportFrom(module=str(module), names=names):
                for n in names:
                    yield Import(module, n.name, n.asname, child.lineno, in_function)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                yield from _imports(child, in_function=True)
            case ast.expr():
                pass
            case _:
                yield from _imports(child, in_function)


def upward(modules: Mapping[str, Module]) -> Iterator[str]:
    """Imports of a package that lies above the importing one."""
    for m in modules.values():
        for i in m.imports:
            if i.package in LAYERS and LAYERS.index(i.package) > LAYERS.index(m.package):
                yield m.complain(i, f"{m.package} must not import {i.package}")


def deep(modules: Mapping[str, Module]) -> Iterator[str]:
    """Imports that reach behind another package's facade."""
    for m in modules.values():
        for i in m.imports:
            if i.package not in LAYERS or i.package == m.package:
                continue
            inner = f"{i.target}.{i.name}" in modules
            if i.target != i.package or (inner and not _offers(modules[i.package], i)):
                yield m.complain(i, f"import from the facade of {i.package}, not {i.target}")


def _offers(facade: Module, wanted: Import) -> bool:
    return any((i.target, i.name) == (wanted.target, wanted.name) for i in facade.imports)


def hidden(modules: Mapping[str, Module]) -> Iterator[str]:
    """Imports of our own packages inside functions."""
    for m in modules.values():
        for i in m.imports:
            if i.in_function and i.package in LAYERS:
                yield m.complain(i, f"import of {i.target} inside a function")


def foreign(modules: Mapping[str, Module]) -> Iterator[str]:
    """Imports of torch and llvmlite outside their owners, or llvmlite under other names."""
    for m in modules.values():
        for i in m.imports:
            if i.package in OWNERS and not _owns(m.name, OWNERS[i.package]):
                yield m.complain(i, f"{m.name} must not import {i.package}")
            elif i.package == "llvmlite" and _form(i) not in LLVMLITE_FORMS:
                yield m.complain(i, f"write one of: import {', import '.join(LLVMLITE_FORMS)}")


def _form(i: Import) -> str:
    text = f"{i.target}.{i.name}" if i.name else i.target
    return f"{text} as {i.alias}" if i.alias else text


def _owns(module: str, owners: Iterable[str]) -> bool:
    return any(f"{module}.".startswith(o) if o.endswith(".") else module == o for o in owners)


def edges(modules: Mapping[str, Module]) -> dict[str, dict[str, Import]]:
    """For each module the modules of its own package that it imports."""
    graph: dict[str, dict[str, Import]] = {}
    for m in modules.values():
        graph[m.name] = {}
        for i in m.imports:
            inner = f"{i.target}.{i.name}"
            target = inner if inner in modules else i.target
            if i.package == m.package and target in modules:
                graph[m.name][target] = i
    return graph


def cycles(modules: Mapping[str, Module]) -> Iterator[str]:
    """Import cycles inside a package, one complaint per closing edge; imports of the own facade."""
    graph = edges(modules)
    for name, targets in graph.items():
        facade = modules[name].package
        if facade in targets and name != facade:
            yield modules[name].complain(targets[facade], f"import of the own facade {facade}")
    done: set[str] = set()
    path: list[str] = []

    def visit(name: str) -> Iterator[str]:
        path.append(name)
        for target, at in graph[name].items():
            if target in path:
                loop = " -> ".join([*path[path.index(target) :], target])
                yield modules[name].complain(at, f"import cycle {loop}")
            elif target not in done:
                yield from visit(target)
        done.add(path.pop())

    for name in graph:
        if name not in done:
            yield from visit(name)
