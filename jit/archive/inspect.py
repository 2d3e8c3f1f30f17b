"""What is inside an archive, told without running, importing or building any of it.

    data.pkl ── Unpickler ──► Descriptions: tensors by size, objects by class ──► weights
    code/ ──── ast ─────────► signatures, code, operators

Weights are not read, so that the time does not depend on their size.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from typing import Any

from ir import CompileError, field, record
from jit.archive.errors import ArchiveError
from jit.archive.layout import check_members, read_version
from jit.archive.reader import ArchiveReader, Source
from jit.archive.source.annotations import dotted
from jit.archive.source.files import SourceFile, SourceFiles, spelled
from jit.archive.unpickler import StorageRef, Unpickler


@record
class MethodInfo:
    """A method or function: where it is defined, its signature, its code, and the types of its
    parameters (without `self`).
    """

    name: str
    signature: str
    code: str
    parameters: dict[str, str]


@record
class TensorInfo:
    """A tensor: its dtype by the name of torch's storages, sizes, bytes, device, and the member
    that holds its storage, with that member's checksum.
    """

    dtype: str
    sizes: tuple[int, ...]
    bytes: int
    device: str
    member: str
    checksum: int
    kind: str = ""

    def __str__(self) -> str:
        return f"{self.dtype}({', '.join(map(str, self.sizes))}){self.kind}"


@record(frozen=False)
class ObjectInfo:
    """An instance of a class of the archive, with its attributes."""

    name: str
    state: Any = None


@record(frozen=False)
class Summary:
    """What `inspect` found."""

    name: str
    version: int
    root: str
    """The class of the top module."""
    methods: list[MethodInfo]
    """Those of the top module's class."""
    classes: dict[str, list[MethodInfo]]
    """All classes of the archive with their methods."""
    functions: list[MethodInfo]
    weights: dict[str, TensorInfo]
    """All tensors of the data, by the path of their attribute."""
    constants: list[Any]
    """The table of constants; tensors as `TensorInfo`."""
    operators: Counter[str]
    """How often the code calls each operator."""
    extra_files: dict[str, int]
    """Names and sizes."""
    members: dict[str, int] = field(default_factory=dict)
    """Every member of the zip file and its size."""
    traced_inputs: Any = None
    """Descriptions of the inputs of tracing, where they were stored: a list for each method."""

    @property
    def weight_bytes(self) -> int:
        """The bytes of all storages, each counted once."""
        return sum(
            {t.member: self.members.get(t.member, 0) for t in self.weights.values()}.values()
        )

    @property
    def code(self) -> str:
        """The code of the top module's methods."""
        return "\n\n".join(method.code for method in self.methods)

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def inspect(f: Source) -> Summary:
    """Tell what an archive holds: methods with signatures and code, weights, operators, extra
    files, version. `f` is a path or a binary file object.

    Nothing of the archive is run, imported or made. Raises `ArchiveError` for a file that is
    damaged, hostile or no archive.
    """
    reader = ArchiveReader(f)
    check_members(reader)
    try:
        return _inspect(reader)
    except CompileError as error:
        raise ArchiveError(f"{reader.name}: {error}") from error
    except RecursionError:
        raise ArchiveError(f"{reader.name}: its code or data is nested too deeply") from None


def _inspect(reader: ArchiveReader) -> Summary:
    constants = _described(reader, "constants", "constants.pkl")
    data = _described(reader, "data", "data.pkl")
    root = data.name if isinstance(data, ObjectInfo) else type(data).__name__
    classes, functions, operators = _code(SourceFiles(reader))
    return Summary(
        name=reader.name,
        version=read_version(reader),
        root=root,
        methods=classes.get(root, []),
        classes=classes,
        functions=functions,
        weights=dict(_tensors(data, "", set())),
        constants=list(constants) if isinstance(constants, tuple) else [],
        operators=operators,
        extra_files={n[len("extra/") :]: reader.size(n) for n in reader.names("extra/")},
        members={name: reader.size(name) for name in reader.names()},
        traced_inputs=_traced_inputs(reader),
    )


# data ---------------------------------------------------------------------------------------------


class Descriptions:
    """Values of a pickle, described."""

    def __init__(self, reader: ArchiveReader, folder: str) -> None:
        self._reader = reader
        self._folder = folder

    def storage(self, ref: StorageRef) -> StorageRef:
        """The storage as it is named."""
        return ref

    def tensor(self, kind: str, arguments: tuple[Any, ...]) -> Any:
        """The size of a tensor."""
        match kind, arguments:
            case "_rebuild_sparse_tensor", (_, (_, TensorInfo() as values, sizes, *_)):
                return self._info(values, sizes, " sparse")
            case "_rebuild_parameter", (TensorInfo() as tensor, *_):
                return tensor
            case "_rebuild_qtensor", (StorageRef() as ref, _, sizes, _, quantizer, *_):
                return self._dense(ref, sizes, f" {quantizer[0]}")
            case _, (StorageRef() as ref, _, sizes, *_):
                return self._dense(ref, sizes, "")
        raise ValueError(f"{kind} is called with {len(arguments)} arguments")

    def _dense(self, ref: StorageRef, sizes: Any, kind: str) -> TensorInfo:
        member = f"{self._folder}/{ref.key}"
        size = self._reader.size(member) if member in self._reader else 0
        checksum = self._reader.checksum(member) if member in self._reader else 0
        dtype = ref.kind.removesuffix("Storage")
        found = TensorInfo(dtype, (), size, ref.device, member, checksum, kind)
        return self._info(found, sizes, kind)

    def _info(self, like: TensorInfo, sizes: Any, kind: str) -> TensorInfo:
        if not isinstance(sizes, tuple | list) or not all(type(n) is int for n in sizes):
            raise ValueError("a tensor without sizes")
        return TensorInfo(
            like.dtype, tuple(sizes), like.bytes, like.device, like.member, like.checksum, kind
        )

    def earlier_tensor(self, number: int) -> str:
        """A tensor that stands elsewhere."""
        return f"tensor {number}"

    def tag(self, value: Any, type_: str) -> Any:
        """The container itself."""
        return value

    def enum(self, name: str, value: Any) -> str:
        """The member in text."""
        return f"{name}({value!r})"

    def new(self, name: str) -> ObjectInfo:
        """The object without attributes."""
        return ObjectInfo(name)

    def build(self, instance: ObjectInfo, state: Any) -> ObjectInfo:
        """The object with its attributes."""
        instance.state = state
        return instance

    def device(self, name: str) -> str:
        """The device's name."""
        return name


def _described(reader: ArchiveReader, folder: str, member: str) -> Any:
    objects = Descriptions(reader, folder)
    return Unpickler(reader.read(member), objects, f"{reader.name}: {member}").load()


def _traced_inputs(reader: ArchiveReader) -> Any:
    if "traced_inputs.pkl" not in reader:
        return None
    return _described(reader, "traced_inputs", "traced_inputs.pkl")


def _tensors(value: Any, path: str, seen: set[int]) -> Iterator[tuple[str, TensorInfo]]:
    """The tensors of a value by their paths; an object that is met again is passed over."""
    if isinstance(value, TensorInfo):
        yield path, value
        return
    items: Any = ()
    match value:
        case ObjectInfo(state=dict() as state):
            items = state.items()
        case ObjectInfo(state=state):
            items = [("state", state)]
        case dict():
            items = value.items()
        case list() | tuple():
            items = enumerate(value)
    if items and id(value) not in seen:
        seen.add(id(value))
        for key, item in items:
            yield from _tensors(item, f"{path}.{key}" if path else str(key), seen)


# code ---------------------------------------------------------------------------------------------


def _code(files: SourceFiles) -> tuple[dict[str, list[MethodInfo]], list[MethodInfo], Counter[str]]:
    """Classes with their methods, functions, and the operators that they call."""
    classes: dict[str, list[MethodInfo]] = {}
    functions: list[MethodInfo] = []
    operators: Counter[str] = Counter()
    for path in files.paths():
        file = files.file(path)
        assert file is not None
        module = path.removeprefix("code/").removesuffix(".py").replace("/", ".")
        for name, node in file.definitions.items():
            operators.update(_operators(node))
            if isinstance(node, ast.ClassDef):
                methods = [n for n in node.body if isinstance(n, ast.FunctionDef)]
                classes[f"{module}.{name}"] = [
                    _method(file, n, spelled(n.name), True) for n in methods
                ]
            else:
                functions.append(_method(file, node, f"{module}.{name}", False))
    return classes, functions, operators


def _method(file: SourceFile, node: ast.FunctionDef, name: str, has_self: bool) -> MethodInfo:
    spec = node.args
    if has_self:
        spec = ast.arguments(
            spec.posonlyargs, spec.args[1:], spec.vararg, spec.kwonlyargs, spec.kw_defaults,
            spec.kwarg, spec.defaults,
        )  # fmt: skip
    result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    code = "\n".join(file.lines[node.lineno - 1 : node.end_lineno])
    params = (*spec.posonlyargs, *spec.args, *spec.kwonlyargs)
    types = {p.arg: ast.unparse(p.annotation) if p.annotation else "Tensor" for p in params}
    return MethodInfo(name, f"{name}({ast.unparse(spec)}){result}", code, types)


def _operators(node: ast.AST) -> Iterator[str]:
    """The operators that code calls: `aten::add`, `quantized::linear`."""
    for call in ast.walk(node):
        path = dotted(call.func) if isinstance(call, ast.Call) else None
        match path.split(".") if path else ():
            case "torch", name:
                yield f"aten::{name}"
            case "ops", namespace, name:
                yield f"{namespace}::{name}"


# text ---------------------------------------------------------------------------------------------


def size_text(count: int) -> str:
    """Bytes for readers."""
    for scale, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count} bytes"


def _lines(found: Summary) -> Iterator[str]:
    total = sum(found.members.values())
    yield f"{found.name}: TorchScript archive, version {found.version}, {size_text(total)}"
    yield f"  {found.root}"
    yield from (f"    {method.signature}" for method in found.methods)
    yield f"weights: {len(found.weights)} tensors, {size_text(found.weight_bytes)}"
    width = max(map(len, found.weights), default=0)
    for path, tensor in found.weights.items():
        where = "" if tensor.device == "cpu" else f"  on {tensor.device}"
        yield f"  {path:{width}}  {tensor}{where}"
    yield f"classes: {len(found.classes)}, functions: {len(found.functions)}"
    yield f"operators: {len(found.operators)}"
    for name, count in found.operators.most_common():
        yield f"  {count:5} {name}"
    if found.extra_files:
        yield "extra files:"
        yield from (f"  {n}  {size_text(size)}" for n, size in found.extra_files.items())
