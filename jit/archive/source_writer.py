"""Graphs in generic form as TorchScript's serialized source, the dialect of `.code` and archives.

    graph(%x : Tensor, %c : bool):             def f(x: Tensor,
      %y : Tensor = prim::If(%c)                   c: bool) -> Tensor:
        block0():                                if c:
          %4 : Tensor = aten::neg(%x)    ==>       _0 = torch.neg(x)
          -> (%4)                                else:
        block1():                                  _0 = x
          -> (%x)                                return _0
      return (%y)

The graph must be legal for TorchScript (`jit.archive.legalize`). A node that `inlining` picks is
written where it is read, unless that makes a long line; constants are written where they are read,
long ones on top of the function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ir import (
    ANY,
    DTYPE,
    INT,
    NONE,
    Block,
    CompileError,
    DictType,
    Graph,
    ListType,
    Method,
    Node,
    OptionalType,
    Span,
    TupleType,
    Value,
    class_of,
    overloads,
)
from jit.archive.inlining import inlined, is_meaningful
from jit.archive.portable import SPELLINGS, is_portable
from jit.archive.spelling import (
    Constants,
    annotation,
    as_identifier,
    is_identifier,
    is_inferred,
    is_reserved,
    literal,
    quoted,
    tuple_text,
)

_LONG = 40  # columns, indentation included, from which an expression gets a variable
_BREAK = ",\n    "
ENDLESS = (1 << 63) - 1
"""The trip count of a loop that only its condition ends."""


Spans = list[Span | None]


def called_function(node: Node) -> str | None:
    """The name of the function that a node calls, now or as a task; None for other nodes."""
    is_call = node.name in ("prim::CallFunction", "prim::fork") and "method" not in node.attrs
    return node.attrs["name"] if is_call else None


def write_method(
    method: Method,
    constants: Constants,
    spans: Spans | None = None,
    *,
    level: int = 0,
    types_first: bool = True,
) -> str:
    """The source of a method or function, indented `level` times; without `types_first` the first
    parameter (a method's `self`) is not annotated. `spans` gets where each line comes from.
    """
    writer = _FunctionWriter(method.graph, constants, level)
    text = writer.write(method, types_first)
    if spans is not None:
        spans += writer.spans
    return text


class _FunctionWriter:
    """One function under construction."""

    def __init__(self, graph: Graph, constants: Constants, level: int) -> None:
        self.graph = graph
        self.constants = constants
        self.level = level
        self.lines: list[str] = []
        self.spans: Spans = []  # where the lines come from
        self.span: Span | None = None
        self.inlined = inlined(graph.block)
        self._texts: dict[Value, str] = {}  # how each value is read
        self._variables: set[Value] = set()  # of these, the ones that have a variable
        self._used: set[str] = set()
        self._next: dict[str, int] = {}
        self._callees: dict[str, str] = {}  # long names of functions, and their variables

    def write(self, method: Method, types_first: bool) -> str:
        """The whole definition."""
        params = [self._parameter(method, v, types_first or i) for i, v in enumerate(self.params)]
        (result,) = self.graph.returns
        self.line(f"def {method.name}({_BREAK.join(params)}) -> {annotation(result.type)}:")
        self.level += 1
        self._write_constants(self.graph.block)
        self.block(self.graph.block)
        self._split([result])
        self.span = _origin(result.node) if result.node in self.inlined else None
        self.line(f"return {self.read(result)}")
        return "\n".join(self.lines) + "\n"

    @property
    def params(self) -> Sequence[Value]:
        return self.graph.params

    def _parameter(self, method: Method, value: Value, is_typed: object) -> str:
        name = value.name or "argument"
        self.define(value)
        text = self.read(value)
        if is_typed and name not in method.undeclared:
            text += f": {annotation(value.type)}"
        if name in method.defaults:
            text += f"={literal(method.defaults[name], value.type, self.constants)}"
        return text

    # lines and names --------------------------------------------------------------------------

    def line(self, text: str) -> None:
        """One line of source, which may be broken."""
        self.lines.append("  " * self.level + text)
        self.spans += [self.span] * (text.count("\n") + 1)

    def indented(self, head: str, body: Callable[[], None]) -> None:
        """A compound statement; `pass` where the body writes nothing."""
        self.line(head)
        self.level += 1
        before = len(self.lines)
        body()
        if len(self.lines) == before:
            self.line("pass")
        self.level -= 1

    def define(self, value: Value) -> str:
        """A new variable for a value: its own name if that is free, `_0`, `_1` ... without one."""
        wanted = as_identifier(_base(value.name)) if is_meaningful(value.name) else "_"
        name = self._fresh(wanted)
        self._texts[value] = name
        self._variables.add(value)
        return name

    def _fresh(self, wanted: str) -> str:
        name = wanted
        while name in self._used or is_reserved(name):
            count = self._next.get(wanted, 0)
            self._next[wanted] = count + 1
            name = f"{wanted}{count}"
        self._used.add(name)
        return name

    def share(self, value: Value, other: Value) -> None:
        """Let a value live in the variable of another."""
        self._texts[value] = self._texts[other]
        self._variables.add(value)

    def read(self, value: Value) -> str:
        """How a value is read: its variable, or the expression that gives it."""
        text = self._texts.get(value)
        if text is None:
            assert value.node is not None and value.node.name == "prim::Constant"
            text = self._constant(value.node)
        return text

    def reads(self, values: Iterable[Value]) -> str:
        """Several values, comma separated."""
        return ", ".join(map(self.read, values))

    def operand(self, value: Value) -> str:
        """A value before a dot or a subscript."""
        text = self.read(value)
        return text if value in self._variables else f"({text})"

    # constants --------------------------------------------------------------------------------

    def _constant(self, node: Node) -> str:
        text = literal(node.attrs.get("value"), node.output.type, self.constants)
        if text == "None" and isinstance(node.output.type, OptionalType):
            return f"annotate({annotation(node.output.type)}, None)"
        return text

    def _write_constants(self, block: Block) -> None:
        """Long constants and names of functions, each once, in the order of their uses."""
        written: dict[str, Value] = {}
        for node in _in_order(block):
            name = called_function(node)
            if name is not None and self.is_long(name) and name not in self._callees:
                self._callees[name] = self._fresh("_")
                self.line(f"{self._callees[name]} = {name}")
            for value in node.inputs:
                if _is_constant(value) and value not in self._texts:
                    text = self.read(value)
                    if text in written:
                        self.share(value, written[text])
                    elif self.is_long(text):
                        self.line(f"{self.define(value)} = {text}")
                        written[text] = value

    def is_long(self, text: str) -> bool:
        """Whether an expression is to have a line of its own."""
        return len(text) + 2 * self.level >= _LONG

    # statements -------------------------------------------------------------------------------

    def block(self, block: Block) -> None:
        """The nodes of a block."""
        for node in block.nodes:
            if node.name != "prim::Constant":
                if node not in self.inlined and node.name != "prim::Exit":
                    self.span = _origin(node)  # of the line that it writes
                self._split(node.inputs)
                write = _STATEMENTS.get(node.name, _FunctionWriter._write_expression)
                write(self, node)

    def _split(self, values: Sequence[Value]) -> None:
        """Give variables to long expressions, and to those that are evaluated before them."""
        pending = [v for v in values if v.node in self.inlined and v not in self._variables]
        long = [i for i, v in enumerate(pending) if self.is_long(self._texts[v])]
        outer = self.span
        for value in pending[: long[-1] + 1] if long else ():
            text, self.span = self._texts[value], _origin(value.node)
            self.line(f"{self.define(value)} = {text}")
        self.span = outer

    def _write_expression(self, node: Node) -> None:
        text = _EXPRESSIONS.get(node.name, _call_operator)(self, node)
        if node in self.inlined:
            self._texts[node.output] = text
            return
        targets = ", ".join(map(self.define, node.outputs))
        self.line(f"{targets} = {text}" if targets else text)

    def assign(self, targets: Sequence[Value], values: Sequence[Value]) -> None:
        """`a, b = x, y`."""
        if targets:
            self._split(values)
            self.span = None  # a line of the archive's own
            self.line(f"{self.reads(targets)} = {self.reads(values)}")

    def _write_if(self, node: Node) -> None:
        condition = self.read(node.inputs[0])
        for output in node.outputs:
            self.define(output)

        def branch(block: Block) -> None:
            self.block(block)
            self.assign(node.outputs, block.returns)

        self.indented(f"if {condition}:", lambda: branch(node.blocks[0]))
        self.indented("else:", lambda: branch(node.blocks[1]))

    def _write_loop(self, node: Node) -> None:
        """Carried values live in the variables of the outputs."""
        (body,) = node.blocks
        trip, first, *initial = node.inputs
        index, *carried = body.params
        head = [self.read(trip), self.read(first)]
        for output, start in zip(node.outputs, initial, strict=True):
            is_typed = start.type != output.type or _is_none(start)
            text = "None" if _is_none(start) else self.read(start)
            typed = f": {annotation(output.type)}" if is_typed else ""
            self.line(f"{self.define(output)}{typed} = {text}")
        for param, output in zip(carried, node.outputs, strict=True):
            self.share(param, output)
        name = self.define(index)
        is_for = is_counted(node)
        if not is_for:
            self.line(f"{name} = {head[1]}")

        def finish() -> None:
            self.block(body)
            skipped = 1 if is_for else 0
            self.assign(body.params[skipped:], body.returns[skipped:])

        self.indented(f"for {name} in range({head[0]}):" if is_for else f"while {name}:", finish)

    def _write_unpack(self, node: Node) -> None:
        source = self.read(node.inputs[0])
        targets = "".join(f"{self.define(v)}, " for v in node.outputs)
        self.line(f"{targets}= {source}" if targets else source)

    def _write_set(self, node: Node) -> None:
        owner, value = node.inputs
        self.line(f"{self.operand(owner)}.{node.attrs['name']} = {self.read(value)}")

    def _write_enter(self, node: Node) -> None:
        """The nodes up to the matching exit are one level deeper."""
        name = f" as {self.define(node.output)}" if node.output.uses else ""
        self.line(f"with {self.read(node.inputs[0])}{name}:")
        self.level += 1

    def _write_fork(self, node: Node) -> None:
        """A task is a local function without parameters."""
        name = self._fresh("__forked_function")
        call = _call_method if "method" in node.attrs else _call_function
        self.indented(f"def {name}():", lambda: self.line(f"return {call(self, node)}"))
        self.line(f"{self.define(node.output)} = fork({name})")

    def _write_exit(self, node: Node) -> None:
        if self.lines[-1].lstrip().startswith("with "):
            self.line("pass")
        self.level -= 1


def _origin(node: Node | None) -> Span | None:
    """The user's code that a node comes from, None for that of an archive which does not say so."""
    found = node.span.origin if node is not None and node.span is not None else None
    return found if found is not None and found.origins is None else None


def is_counted(node: Node) -> bool:
    """Whether a loop runs to its trip count whatever happens."""
    return all(
        _is_constant(v) and v.node is not None and v.node.attrs.get("value") is True
        for v in (node.inputs[1], node.blocks[0].returns[0])
    )


def _base(name: str | None) -> str:
    """A name without the number that made it unique."""
    base, dot, number = (name or "").rpartition(".")
    return base if dot and number.isdigit() else name or ""


def _is_constant(value: Value) -> bool:
    return value.node is not None and value.node.name == "prim::Constant"


def _is_none(value: Value) -> bool:
    """Whether a value is the constant None of a wider type."""
    return (
        value.type != NONE
        and _is_constant(value)
        and value.node is not None
        and value.node.attrs.get("value") is None
    )


def _in_order(block: Block) -> Iterator[Node]:
    """Nodes and returns in the order of the text."""
    for node in block.nodes:
        yield node
        for inner in node.blocks:
            yield from _in_order(inner)
    yield block.returning


_STATEMENTS: dict[str, Callable[[_FunctionWriter, Node], None]] = {
    "prim::If": _FunctionWriter._write_if,
    "prim::Loop": _FunctionWriter._write_loop,
    "prim::TupleUnpack": _FunctionWriter._write_unpack,
    "prim::ListUnpack": _FunctionWriter._write_unpack,
    "prim::SetAttr": _FunctionWriter._write_set,
    "prim::Enter": _FunctionWriter._write_enter,
    "prim::Exit": _FunctionWriter._write_exit,
    "prim::fork": _FunctionWriter._write_fork,
}


# expressions --------------------------------------------------------------------------------------
def _call_operator(w: _FunctionWriter, node: Node) -> str:
    """`torch.add(x, y)`, `ops.prim.min(a, b)`: arguments after `*` by name, trailing ones that
    equal their defaults left out.
    """
    formals = node.op.schema.arguments
    count = _necessary(node)
    parts = []
    for position, value in enumerate(node.inputs[:count]):
        formal = formals[position] if position < len(formals) else None
        is_named = formal is not None and (formal.kwarg_only or _is_ambiguous(node, position))
        keyword = f"{formal.name}=" if formal is not None and is_named else ""
        parts.append(keyword + w.read(value))
    return f"{operator_name(node.name)}({', '.join(parts)})"


def _is_ambiguous(node: Node, position: int) -> bool:
    """Whether a dtype, which is an int here, would be taken for a list of one size: in
    `view(x, 3)`.
    """
    formals = node.op.schema.arguments
    if formals[position].type != DTYPE:
        return False
    others = (op.schema.arguments for op in overloads(node.name) if op is not node.op)
    return any(len(o) > position and o[position].type == ListType(INT) for o in others)


def _call_library(w: _FunctionWriter, node: Node) -> str:
    """A call of the library, which only this package reads; its type is not in its name."""
    if not is_portable(node):
        raise _callback(node)
    name = node.attrs["name"]
    if name in SPELLINGS:
        return f"{SPELLINGS[name]}({w.reads(node.inputs)})"
    call = f"ops.relume.{name}({w.reads(node.inputs)})"
    return f"annotate({annotation(node.output.type)}, {call})" if node.outputs else call


def _callback(node: Node) -> CompileError:
    return CompileError(
        f"Could not export a callback into Python: {node.attrs.get('name', 'a function')!r} has no "
        "meaning outside of this process; keep it out of what is saved, or mark it with "
        "@torch.jit.unused",
        node.span,
    )


def operator_name(name: str) -> str:
    """How code calls an operator: `aten::add` is `torch.add`, `prim::min` is `ops.prim.min`."""
    namespace, _, base = name.partition("::")
    if namespace != "aten":
        return f"ops.{namespace}.{base}"
    return f"torch.autograd.{base}" if base in ("backward", "grad") else f"torch.{base}"


def _necessary(node: Node) -> int:
    """How many leading inputs must be written."""
    formals = node.op.schema.arguments
    if len(node.inputs) > len(formals):
        return len(node.inputs)
    count = len(node.inputs)
    while count and formals[count - 1].has_default:
        known, value = _known(node.inputs[count - 1])
        default = formals[count - 1].default
        if not known or type(value) is not type(default) or value != default:
            break
        count -= 1
    return count


def _known(value: Value) -> tuple[bool, Any]:
    """Whether a value is known, and what it is; lists are tuples, as in schemas."""
    node = value.node
    if node is None:
        return False, None
    if node.name == "prim::Constant":
        found = node.attrs.get("value")
        return True, tuple(found) if isinstance(found, list) else found
    return False, None


def _list(w: _FunctionWriter, node: Node) -> str:
    type_ = node.output.type
    assert isinstance(type_, ListType)
    text = f"[{w.reads(node.inputs)}]"
    if node.inputs and is_inferred(type_.element):
        return text
    return f"annotate({annotation(type_)}, {text})"


def _dict(w: _FunctionWriter, node: Node) -> str:
    type_ = node.output.type
    assert isinstance(type_, DictType)
    pairs = zip(node.inputs[::2], node.inputs[1::2], strict=True)
    text = f"{{{', '.join(f'{w.read(k)}: {w.read(v)}' for k, v in pairs)}}}"
    if node.inputs and is_inferred(type_.key) and is_inferred(type_.value):
        return text
    return f"annotate({annotation(type_)}, {text})"


def _tuple(w: _FunctionWriter, node: Node) -> str:
    type_ = node.output.type
    name = type_.name if isinstance(type_, TupleType) else None
    return f"{name or ''}{tuple_text(map(w.read, node.inputs))}"


def _get_attribute(w: _FunctionWriter, node: Node) -> str:
    owner, name = node.inputs[0], node.attrs["name"]
    if is_identifier(name):
        return f"{w.operand(owner)}.{name}"
    return f"getattr({w.read(owner)}, {quoted(name)})"


def _call_method(w: _FunctionWriter, node: Node) -> str:
    arguments = "".join(f"{w.read(v)}, " for v in node.inputs[1:])
    name = node.attrs.get("method") or node.attrs["name"]
    return f"({w.read(node.inputs[0])}).{name}({arguments})"


def _call_function(w: _FunctionWriter, node: Node) -> str:
    name = node.attrs["name"]
    arguments = "".join(f"{w.read(v)}, " for v in node.inputs)
    return f"{w._callees.get(name, name)}({arguments})"


def _unwrap(w: _FunctionWriter, node: Node) -> str:
    value = node.inputs[0]
    text = w.read(value)
    if value.type == NONE:
        text = f"annotate(Optional[{annotation(node.output.type)}], {text})"
    return f"torch._unwrap_optional({text})"


def _item(w: _FunctionWriter, node: Node) -> str:
    owner, key = node.inputs
    return f"{w.operand(owner)}[{w.read(key)}]"


_BARE = {ListType(ANY): "list", TupleType(()): "tuple"}  # what isinstance tests without elements


def _is_instance(w: _FunctionWriter, node: Node) -> str:
    types = [_BARE.get(t) or annotation(t) for t in node.attrs["types"]]
    text = types[0] if len(types) == 1 else f"({', '.join(types)})"
    return f"isinstance({w.read(node.inputs[0])}, {text})"


def _typed(form: str) -> Callable[[_FunctionWriter, Node], str]:
    """`form(Type, value)`."""
    return lambda w, node: f"{form}({annotation(node.output.type)}, {w.reads(node.inputs)})"


def _cast(w: _FunctionWriter, node: Node) -> str:
    """To an interface without an operator, behind which torch would lose sight of the object."""
    definition = class_of(node.output.type)
    is_interface = definition is not None and definition.is_interface
    return _typed("annotate" if is_interface else "unchecked_cast")(w, node)


def _named(function: str) -> Callable[[_FunctionWriter, Node], str]:
    """A call of one of the language's own functions."""
    return lambda w, node: f"{function}({w.reads(node.inputs)})"


def _create(w: _FunctionWriter, node: Node) -> str:
    name = annotation(node.output.type)
    return f"{name}.__new__({name})"


_EXPRESSIONS: dict[str, Callable[[_FunctionWriter, Node], str]] = {
    "prim::PythonOp": _call_library,
    "prim::Uninitialized": lambda w, node: f"uninitialized({annotation(node.output.type)})",
    "prim::ListConstruct": _list,
    "prim::DictConstruct": _dict,
    "prim::TupleConstruct": _tuple,
    "prim::TupleIndex": _item,
    "prim::GetAttr": _get_attribute,
    "prim::CallMethod": _call_method,
    "prim::CallFunction": _call_function,
    "prim::CreateObject": _create,
    "prim::unchecked_cast": _cast,
    "prim::unchecked_unwrap_optional": _typed("unchecked_cast"),
    "prim::isinstance": _is_instance,
    "prim::tolist": lambda w, node: (
        f"annotate({annotation(node.output.type)}, {w.operand(node.inputs[0])}.tolist())"
    ),
    "prim::EnumName": lambda w, node: f"({w.read(node.inputs[0])}).name",
    "prim::EnumValue": lambda w, node: f"({w.read(node.inputs[0])}).value",
    "prim::Print": _named("print"),
    "aten::_unwrap_optional": _unwrap,
    "aten::__getitem__": _item,
    "aten::sorted": _named("sorted"),
    "aten::str": _named("str"),
    "aten::Int": _named("int"),
    "aten::Float": _named("float"),
    "aten::Bool": _named("bool"),
    "aten::IntImplicit": _typed("annotate"),
    "aten::FloatImplicit": _typed("annotate"),
    "aten::ComplexImplicit": _typed("annotate"),
    "aten::ScalarImplicit": _typed("annotate"),
}
