"""The reference executor: the first tier, the target of bailouts and the law for every other tier.

A graph is written once as plain Python source: one local variable per value, one line per node,
`if` and `while` for the control ops, `del` after a value's last use.

    graph(%x, %n):                         def graph(v0, v1):
      %y = aten::relu(%x)                      v2 = f1(v0)
      %z = prim::Loop(%n, %true, %y)           v3, go_v3, v4 = 0, k2, v2
        block0(%i, %a):                        del v2
          %b = aten::mul(%a, %x)               while go_v3 and v3 < v1:
          -> (%true, %b)                           v5 = f3(v4, v0)
      return (%z)                                  del v4
                                                   go_v3, v4 = k2, v5
                                                   del v5
                                                   v3 += 1
                                               del v0, v1
                                               return v4

Laws
  * A node calls its op's reference: `op.python` when the row has one (attributes are keyword
    arguments), torch's operator otherwise. Structure (the tables below) is written by name.
  * A value is freed right after its last use; one that dies in an `if` dies inside each branch.
  * A run-time error keeps its exception and gets a note with the user's file, line and caret.
  * An observer sees every parameter and every result except constants, before it can be freed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol

from ir.classes import create_object
from ir.graph import Block, Graph, Node, Value
from ir.torch_bridge import fork, reference, to_torch
from ir.types import BOOL, FLOAT, INT, TupleType, Type


class Observer(Protocol):
    """Who watches a run: called with each value and its result."""

    def observe(self, value: Value, result: object) -> None: ...


class Interpreter:
    """Runs one graph, which must not change afterwards."""

    __slots__ = ("_callees", "_observed", "_plain", "graph")

    def __init__(self, graph: Graph, callees: dict[Graph, Interpreter] | None = None) -> None:
        """`callees` are the interpreters of called graphs, each made once, so that calls may
        recurse."""
        self.graph = graph
        self._callees = {graph: self} if callees is None else callees
        self._plain: Callable[..., Any] | None = None
        self._observed: Callable[..., Any] | None = None

    def run(self, *args: Any, observer: Observer | None = None) -> Any:
        """The graph's result: a value, None for no return, a tuple of several."""
        if observer is None:
            return self.function(*args)
        if self._observed is None:
            self._observed = _Source(self.graph, True, self._callees).function()
        return self._observed(observer.observe, *args)

    @property
    def function(self) -> Callable[..., Any]:
        """The graph as a Python function of positional arguments, without observer."""
        if self._plain is None:
            self._plain = _Source(self.graph, False, self._callees).function()
        return self._plain

    def source(self, observed: bool = False) -> str:
        """The generated Python source, for readers."""
        return _Source(self.graph, observed, self._callees).text


class _Source:
    """A graph written as Python. `globals` holds what the lines refer to: `f` references, `k`
    constants, `V` values; `nodes` says which node each line came from."""

    def __init__(self, graph: Graph, observed: bool, callees: dict[Graph, Interpreter]) -> None:
        self.observed = observed
        self.callees = callees
        self.globals: dict[str, Any] = {"_explain": self._explain}
        self.nodes: list[Node | None] = []
        self.name = "run_" + re.sub(r"\W", "_", graph.name)  # no name of `bind`
        self._lines: list[str] = []
        self._names: dict[Value, str] = {}
        self._indent = 0
        self._write_graph(graph)
        self.text = "\n".join(self._lines) + "\n"

    def function(self) -> Callable[..., Any]:
        """The compiled function; with `observed`, its first parameter sees every result."""
        exec(compile(self.text, f"<graph {self.name}>", "exec"), self.globals)
        function: Callable[..., Any] = self.globals[self.name]
        function.__name__ = function.__qualname__ = self.name.removeprefix("run_")
        return function

    def _explain(self, error: Exception) -> None:
        """Note where in the user's source the node stands that raised `error`."""
        assert error.__traceback__ is not None
        node = self.nodes[error.__traceback__.tb_lineno - 1]
        if node is not None and node.span is not None:
            error.add_note(node.span.render())

    # lines ------------------------------------------------------------------------------------

    def line(self, text: str, node: Node | None = None) -> None:
        """One line of source, made for `node`."""
        self._lines.append("    " * self._indent + text)
        self.nodes.append(node)

    def indented(self, head: str, node: Node | None, body: Callable[[], None]) -> None:
        """A compound statement."""
        self.line(head, node)
        self._indent += 1
        body()
        self._indent -= 1

    def name_of(self, value: Value) -> str:
        """The local variable (or the constant's global name) of a value."""
        return self._names.setdefault(value, f"v{len(self._names)}")

    def rename(self, value: Value, name: str) -> None:
        """Let a value live under a name that exists already."""
        self._names[value] = name

    def names_of(self, values: Iterable[Value]) -> str:
        """Variables, comma separated."""
        return ", ".join(map(self.name_of, values))

    def bind(self, prefix: str, thing: Any) -> str:
        """A global name for a Python object."""
        name = f"{prefix}{len(self.globals)}"
        self.globals[name] = thing
        return name

    def is_local(self, value: Value) -> bool:
        """Whether the value lives in a local variable."""
        return self.name_of(value).startswith("v")

    # blocks -----------------------------------------------------------------------------------

    def _write_graph(self, graph: Graph) -> None:
        params = self.names_of(graph.params)
        has_contexts = any(node.name == "prim::Enter" for node in graph.walk())
        head = ", ".join(filter(None, ["observe" if self.observed else "", params]))

        def body() -> None:
            if has_contexts:
                self.line("contexts = []  # entered, not yet left")
            self.indented("try:", None, lambda: self.block(graph.block, graph.params, finish))
            self.line("except Exception as error:")
            self.line("    _explain(error)")
            if has_contexts:
                self.line("    while contexts:")
                leave = "__exit__(type(error), error, error.__traceback__)"
                self.line(f"        contexts.pop().{leave}")
            self.line("    raise")

        def finish() -> None:
            self.line(f"return {self.names_of(graph.returns) or None}")

        self.indented(f"def {self.name}({head}):", None, body)

    def block(self, block: Block, owned: Sequence[Value], finish: Callable[[], None]) -> None:
        """Nodes, then what `finish` writes; `owned` are values from outside that die in here."""
        deaths = _deaths(block, owned)
        self.observe(block.params)
        self.free(deaths.get(-1, ()))
        for position, node in enumerate(block.nodes):
            dying = deaths.get(position, ())
            if node.blocks:
                spent = [v for v in dying if v.node is not node]
                _COMPOUND[node.name](self, node, spent)
                dying = [v for v in dying if v.node is node]
            else:
                _STATEMENTS.get(node.name, _write_expression)(self, node)
            self.observe(node.outputs, node)
            self.free(dying)
        finish()
        rebound = set(block.params)
        self.free(v for v in deaths.get(len(block.nodes), ()) if v not in rebound)

    def observe(self, values: Iterable[Value], node: Node | None = None) -> None:
        """Show results to the observer."""
        for value in values if self.observed else ():
            if self.is_local(value):
                self.line(f"observe({self.bind('V', value)}, {self.name_of(value)})", node)

    def free(self, values: Iterable[Value]) -> None:
        """Forget values that nothing reads any more."""
        names = ", ".join(self.name_of(v) for v in values if self.is_local(v))
        if names and not self._lines[-1].lstrip().startswith(("return", "raise")):
            self.line(f"del {names}")


def _reads(node: Node) -> Iterator[Value]:
    """What a node reads, its blocks included."""
    yield from node.inputs
    for block in node.blocks:
        yield from _block_reads(block)


def _block_reads(block: Block) -> Iterator[Value]:
    for node in block.nodes:
        yield from _reads(node)
    yield from block.returns


def _deaths(block: Block, owned: Iterable[Value]) -> dict[int, list[Value]]:
    """Which values die at each position of a block: -1 is its start, `len(nodes)` its end."""
    last = dict.fromkeys(owned, -1)
    for position, node in enumerate(block.nodes):
        last.update((v, position) for v in _reads(node) if v in last)
        last.update((v, position) for v in node.outputs)
    last.update((v, len(block.nodes)) for v in block.returns if v in last)
    deaths: dict[int, list[Value]] = {}
    for value, position in last.items():
        deaths.setdefault(position, []).append(value)
    return deaths


# nodes with blocks: they free what dies in them (`spent`) themselves ------------------------------


def _write_if(source: _Source, node: Node, spent: Sequence[Value]) -> None:
    targets = source.names_of(node.outputs)

    def branch(block: Block) -> None:
        def finish() -> None:  # names of constants are known only now
            values = source.names_of(block.returns)
            source.line(f"{targets} = {values}" if targets else "pass", node)

        source.block(block, spent, finish)

    source.indented(f"if {source.name_of(node.inputs[0])}:", node, partial(branch, node.blocks[0]))
    source.indented("else:", node, partial(branch, node.blocks[1]))


def _write_loop(source: _Source, node: Node, spent: Sequence[Value]) -> None:
    """Carried values live in the body's parameters, which become the outputs."""
    (body,) = node.blocks
    limit, *initial = node.inputs
    index, *carried = map(source.name_of, body.params)
    state = ", ".join([f"go_{index}", *carried])
    source.line(f"{index}, {state} = 0, {source.names_of(initial)}", node)
    kept = {limit, *_block_reads(body)}
    source.free(v for v in spent if v not in kept)

    def finish() -> None:
        source.line(f"{state} = {source.names_of(body.returns)}", node)
        source.line(f"{index} += 1", node)

    source.indented(
        f"while go_{index} and {index} < {source.name_of(limit)}:",
        node,
        lambda: source.block(body, body.params[1:], finish),
    )
    source.free(v for v in spent if v in kept)
    for param, output in zip(body.params[1:], node.outputs, strict=True):
        source.rename(output, source.name_of(param))


_COMPOUND: dict[str, Callable[[_Source, Node, Sequence[Value]], None]] = {
    "prim::If": _write_if,
    "prim::Loop": _write_loop,
}

# Values that nobody reads; plans keep numbers in registers.
_ZEROS: dict[Type, Any] = {INT: 0, FLOAT: 0.0, BOOL: False}

# nodes that are no assignment ---------------------------------------------------------------------


def _write_constant(source: _Source, node: Node) -> None:
    output = node.output
    source.rename(output, source.bind("k", to_torch(node.attrs.get("value"), output.type)))


def _write_raise(source: _Source, node: Node) -> None:
    exception = source.bind("k", node.attrs["exception"])
    source.line(f"raise {exception}({source.names_of(node.inputs)})", node)


def _write_unpack(source: _Source, node: Node) -> None:
    source.line(f"[{source.names_of(node.outputs)}] = {source.name_of(node.inputs[0])}", node)


def _write_enter(source: _Source, node: Node) -> None:
    context = source.name_of(node.inputs[0])
    source.line(f"{source.name_of(node.output)} = {context}.__enter__()", node)
    source.line(f"contexts.append({context})", node)


def _write_exit(source: _Source, node: Node) -> None:
    source.line("contexts.pop().__exit__(None, None, None)", node)


_STATEMENTS: dict[str, Callable[[_Source, Node], None]] = {
    "prim::Constant": _write_constant,
    "prim::Uninitialized": lambda source, node: source.rename(
        node.output, repr(_ZEROS.get(node.output.type))
    ),
    "prim::RaiseException": _write_raise,
    "prim::TupleUnpack": _write_unpack,
    "prim::ListUnpack": _write_unpack,
    "prim::Enter": _write_enter,
    "prim::Exit": _write_exit,
}

# nodes that are an expression ---------------------------------------------------------------------


def _write_expression(source: _Source, node: Node) -> None:
    expression = _EXPRESSIONS.get(node.name, _call)(source, node)
    targets = source.names_of(node.outputs)
    source.line(f"{targets} = {expression}" if targets else expression, node)


def _call(source: _Source, node: Node) -> str:
    function = reference(node.op)
    if node.op.python is None:
        return f"{source.bind('f', function)}({', '.join(_torch_arguments(source, node))})"
    return _apply(source, node, partial(function, **node.attrs) if node.attrs else function)


def _torch_arguments(source: _Source, node: Node) -> Iterator[str]:
    """Torch's operators take the parameters after `*` by keyword only."""
    for value, argument in zip(node.inputs, node.op.schema.arguments, strict=True):
        name = source.name_of(value)
        yield f"{argument.name}={name}" if argument.kwarg_only else name


def _apply(source: _Source, node: Node, function: Callable[..., Any]) -> str:
    return f"{source.bind('f', function)}({source.names_of(node.inputs)})"


def _callee(source: _Source, node: Node) -> Callable[..., Any]:
    graph = node.attrs["graph"]
    return source.callees.setdefault(graph, Interpreter(graph, source.callees)).run


def _attempt(body: Callable[..., Any], nothing: list[Any], *args: Any) -> tuple[Any, ...]:
    """Whether a body completed, its exception, and its results, or as many values nobody reads."""
    try:
        result = body(*args)
    except BaseException as error:  # noqa: BLE001  the code after the node decides what it takes
        return (False, error, *nothing)
    return (True, None, *(result if len(nothing) > 1 else [result] * len(nothing)))


def _nothing(values: Sequence[Value]) -> list[Any]:
    """Values of the same types that nobody reads; plans keep numbers in registers."""
    return [_ZEROS.get(v.type) for v in values]

def _tuple(source: _Source, node: Node) -> str:
    type_ = node.output.type
    if isinstance(type_, TupleType) and type_.cls is not None:
        return _apply(source, node, type_.cls)
    return f"({''.join(source.name_of(v) + ', ' for v in node.inputs)})"


def _dict(source: _Source, node: Node) -> str:
    names = [source.name_of(v) for v in node.inputs]
    pairs = (f"{k}: {v}" for k, v in zip(names[::2], names[1::2], strict=True))
    return f"{{{', '.join(pairs)}}}"


_EXPRESSIONS: dict[str, Callable[[_Source, Node], str]] = {
    "prim::ListConstruct": lambda source, node: f"[{source.names_of(node.inputs)}]",
    "prim::TupleConstruct": _tuple,
    "prim::DictConstruct": _dict,
    "prim::unchecked_cast": lambda source, node: source.names_of(node.inputs),
    "prim::CallFunction": lambda source, node: _apply(source, node, _callee(source, node)),
    "prim::fork": lambda source, node: _apply(
        source, node, partial(fork, _callee(source, node))
    ),
    "prim::Try": lambda source, node: _apply(
        source, node, partial(_attempt, _callee(source, node), _nothing(node.outputs[2:]))
    ),
    "prim::PythonOp": lambda source, node: _apply(source, node, node.attrs["function"]),
    "prim::CallMethod": lambda source, node: _apply(
        source, node, lambda obj, *args: getattr(obj, node.attrs["name"])(*args)
    ),
    "prim::CreateObject": lambda source, node: _apply(
        source, node, partial(create_object, node.output.type)
    ),
    "prim::GetAttr": lambda source, node: _apply(
        source, node, lambda obj: getattr(obj, node.attrs["name"])
    ),
    "prim::SetAttr": lambda source, node: _apply(
        source, node, lambda obj, value: setattr(obj, node.attrs["name"], value)
    ),
}
