"""Reads the pickles of an archive: the opcodes that TorchScript writes, and a closed list of
globals.

Nothing is imported, and no code runs: what a global means is looked up in the `Objects` that the
caller passes, which makes tensors and instances (`jit.archive.load`) or describes them
(`jit.archive.inspect`). Containers are built without recursion; sizes are bounded by the length of
the pickle.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Protocol

from ir import CompileError, record
from jit.archive.errors import ArchiveError


@record
class StorageRef:
    """A storage as a pickle names it: the dtype's class in torch, the member's number, the device,
    the elements."""

    kind: str
    key: str
    device: str
    numel: int


@record
class ClassRef:
    """A class of the archive, by qualified name."""

    name: str


class Objects(Protocol):
    """What a pickle is read into."""

    def storage(self, ref: StorageRef) -> Any: ...

    def tensor(self, kind: str, arguments: tuple[Any, ...]) -> Any:
        """`kind` is the rebuilding function: `_rebuild_tensor_v2`, `_rebuild_qtensor` ..."""

    def earlier_tensor(self, number: int) -> Any:
        """A tensor by its number, as the first archives have them."""

    def tag(self, value: Any, type_: str) -> Any:
        """A container, with its type in TorchScript's spelling."""

    def enum(self, name: str, value: Any) -> Any:
        """A member of an enum of the archive, by its value."""

    def new(self, name: str) -> Any:
        """A new instance of a class of the archive."""

    def build(self, instance: Any, state: Any) -> Any:
        """The instance with its state."""

    def device(self, name: str) -> Any: ...


class _Function:
    """A global that may be called."""

    __slots__ = ("call", "name")

    def __init__(self, name: str, call: Callable[..., Any]) -> None:
        self.name = name
        self.call = call


_MARK: Any = type("_MARK", (), {"__slots__": ()})()
_REBUILD = (
    "_rebuild_tensor",
    "_rebuild_tensor_v2",
    "_rebuild_tensor_v3",
    "_rebuild_qtensor",
    "_rebuild_sparse_tensor",
    "_rebuild_meta_tensor_no_storage",
    "_rebuild_parameter",
)
_QSCHEMES = (
    "per_tensor_affine",
    "per_channel_affine",
    "per_tensor_symmetric",
    "per_channel_symmetric",
    "per_channel_affine_float_qparams",
)
_LISTS = ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist")
_LIST_TYPES = {
    "build_intlist": "List[int]",
    "build_doublelist": "List[float]",
    "build_boollist": "List[bool]",
    "build_tensorlist": "List[Tensor]",
}


class Unpickler:
    """One pickle, read into `objects`; `where` names it in messages."""

    def __init__(self, content: bytes, objects: Objects, where: str) -> None:
        self._content = content
        self._objects = objects
        self._where = where
        self._position = 0
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._globals = self._table()

    def load(self) -> Any:
        """The pickled value; ArchiveError when the pickle is malformed or outside the format."""
        while True:
            code = self._take(1)
            if code == b".":
                value = self._pop()
                if self._stack:
                    raise self._error("values are left over at the end")
                return value
            handler = _OPCODES.get(code)
            if handler is None:
                raise self._error(f"opcode {code!r} is not one that TorchScript writes")
            try:
                handler(self)
            except ArchiveError:
                raise
            except CompileError as error:
                if error.span is not None:
                    raise  # it says where in the code
                raise self._error(error.message) from None
            except (
                TypeError,
                ValueError,
                IndexError,
                KeyError,
                AttributeError,
                OverflowError,
                UnicodeDecodeError,
                RuntimeError,
            ) as error:
                reason = str(error).partition("\n")[0]
                raise self._error(f"{type(error).__name__}: {reason}") from error

    def _error(self, message: str) -> ArchiveError:
        return ArchiveError(f"{self._where}: at byte {self._position}: {message}")

    # reading ----------------------------------------------------------------------------------

    def _take(self, count: int) -> bytes:
        end = self._position + count
        if count < 0 or end > len(self._content):
            raise self._error("the pickle is cut short")
        taken = self._content[self._position : end]
        self._position = end
        return taken

    def _number(self, form: struct.Struct) -> Any:
        return form.unpack(self._take(form.size))[0]

    def _line(self) -> str:
        end = self._content.find(b"\n", self._position)
        if end < 0:
            raise self._error("the pickle is cut short")
        line = self._content[self._position : end]
        self._position = end + 1
        return line.decode()

    def _pop(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise self._error("a value is missing")
        return self._stack.pop()

    def _top(self, kind: type) -> Any:
        if not self._stack or not isinstance(self._stack[-1], kind):
            raise self._error(f"expected a {kind.__name__}")
        return self._stack[-1]

    def _pop_mark(self) -> list[Any]:
        """The values above the last mark."""
        for position in range(len(self._stack) - 1, -1, -1):
            if self._stack[position] is _MARK:
                values = self._stack[position + 1 :]
                del self._stack[position:]
                return values
        raise self._error("a mark is missing")

    # opcodes ----------------------------------------------------------------------------------

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _protocol(self) -> None:
        if self._take(1)[0] > 2:
            raise self._error("only protocol 2 is supported")

    def _put(self, form: struct.Struct) -> None:
        index = self._number(form)
        value = self._pop()
        self._push(value)
        self._memo[index] = value

    def _get(self, form: struct.Struct) -> None:
        index = self._number(form)
        if index not in self._memo:
            raise self._error(f"nothing is kept under {index}")
        self._push(self._memo[index])

    def _text(self, form: struct.Struct) -> None:
        self._push(self._take(self._number(form)).decode("utf-8", "surrogatepass"))

    def _long(self) -> None:
        self._push(int.from_bytes(self._take(self._take(1)[0]), "little", signed=True))

    def _append(self) -> None:
        value = self._pop()
        self._top(list).append(value)

    def _appends(self) -> None:
        values = self._pop_mark()
        self._top(list).extend(values)

    def _set_item(self) -> None:
        value, key = self._pop(), self._pop()
        self._fill([key, value])

    def _set_items(self) -> None:
        values = self._pop_mark()
        self._fill(values)

    def _fill(self, values: list[Any]) -> None:
        keys, items = values[::2], values[1::2]
        if len(keys) != len(items) or any(isinstance(k, tuple | list | dict) for k in keys):
            raise self._error("the keys of a dict are not those of archives")
        self._top(dict).update(zip(keys, items, strict=True))

    def _tuple(self, count: int) -> None:
        values = [self._pop() for _ in range(count)]
        self._push(tuple(reversed(values)))

    def _global(self) -> None:
        module, name = self._line(), self._line()
        found = self._globals.get((module, name))
        if found is None and (module == "__torch__" or module.startswith("__torch__.")):
            found = ClassRef(f"{module}.{name}")
        if found is None and module == "torch" and name.endswith("Storage"):
            found = name
        if found is None:
            raise self._error(f"{module}.{name} is not among the globals that archives may use")
        self._push(found)

    def _persistent(self) -> None:
        match self._pop():
            case ("storage", str(kind), str(key), str(device), int(numel), *_):
                self._push(self._objects.storage(StorageRef(kind, key, device, numel)))
            case _:
                raise self._error("a persistent id names no storage")

    def _reduce(self) -> None:
        arguments, function = self._pop(), self._pop()
        if isinstance(function, ClassRef):
            value = arguments[0] if type(arguments) is tuple and arguments else arguments
            self._push(self._objects.enum(function.name, value))
        elif isinstance(function, _Function) and isinstance(arguments, tuple):
            self._push(function.call(*arguments))
        else:
            raise self._error("this is not called in archives")

    def _new(self) -> None:
        arguments, cls = self._pop(), self._pop()
        if not isinstance(cls, ClassRef) or arguments != ():
            raise self._error("an instance of what is no class of the archive")
        self._push(self._objects.new(cls.name))

    def _build(self) -> None:
        state, instance = self._pop(), self._pop()
        built = self._objects.build(instance, state)
        if built is not instance:
            for key in [k for k, v in self._memo.items() if v is instance]:
                self._memo[key] = built
        self._push(built)

    def _table(self) -> dict[tuple[str, str], Any]:
        """The globals that archives may use."""
        objects = self._objects

        def function(module: str, name: str, call: Callable[..., Any]) -> None:
            table[module, name] = _Function(name, call)

        def rebuild(kind: str) -> Callable[..., Any]:
            return lambda *arguments: objects.tensor(kind, arguments)

        def built_list(name: str) -> Callable[..., Any]:
            return lambda items: objects.tag(list(items), _LIST_TYPES[name])

        table: dict[tuple[str, str], Any] = {}
        for kind in _REBUILD:
            function("torch._utils", kind, rebuild(kind))
        for name in _LISTS:
            function("torch.jit._pickle", name, built_list(name))
        for scheme in _QSCHEMES:
            table["torch", scheme] = scheme
        function("torch.jit._pickle", "restore_type_tag", objects.tag)
        function("torch.jit._pickle", "build_tensor_from_id", objects.earlier_tensor)
        function("torch.serialization", "_get_layout", lambda layout: layout)
        function(
            "torch",
            "device",
            lambda name, index=None: objects.device(name if index is None else f"{name}:{index}"),
        )
        function("collections", "OrderedDict", lambda items=(): dict(items))
        function("builtins", "complex", complex)
        return table


_U8, _U16, _U32, _I32 = (struct.Struct(f) for f in ("<B", "<H", "<I", "<i"))
_F64 = struct.Struct(">d")
_OPCODES: dict[bytes, Callable[[Unpickler], None]] = {
    b"\x80": Unpickler._protocol,
    b"q": lambda u: u._put(_U8),
    b"r": lambda u: u._put(_U32),
    b"h": lambda u: u._get(_U8),
    b"j": lambda u: u._get(_U32),
    b"(": lambda u: u._push(_MARK),
    b"N": lambda u: u._push(None),
    b"\x88": lambda u: u._push(True),
    b"\x89": lambda u: u._push(False),
    b"J": lambda u: u._push(u._number(_I32)),
    b"K": lambda u: u._push(u._number(_U8)),
    b"M": lambda u: u._push(u._number(_U16)),
    b"G": lambda u: u._push(u._number(_F64)),
    b"\x8a": Unpickler._long,
    b"X": lambda u: u._text(_U32),
    b"T": lambda u: u._text(_I32),
    b"U": lambda u: u._text(_U8),
    b"]": lambda u: u._push([]),
    b"}": lambda u: u._push({}),
    b")": lambda u: u._push(()),
    b"t": lambda u: u._push(tuple(u._pop_mark())),
    b"\x85": lambda u: u._tuple(1),
    b"\x86": lambda u: u._tuple(2),
    b"\x87": lambda u: u._tuple(3),
    b"a": Unpickler._append,
    b"e": Unpickler._appends,
    b"s": Unpickler._set_item,
    b"u": Unpickler._set_items,
    b"c": Unpickler._global,
    b"Q": Unpickler._persistent,
    b"R": Unpickler._reduce,
    b"\x81": Unpickler._new,
    b"b": Unpickler._build,
}
