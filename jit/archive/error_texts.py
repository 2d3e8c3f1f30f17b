"""What exceptions say whose classes have an `__init__` or `__str__` of their own: archives hold the
text only, so it is computed where they are raised.

    class NotFound(Exception):                        def text(key):
        def __init__(self, key):                          said = f"missing {key}"
            super().__init__(f"missing {key}")    ==>     of_key = key
            self.key = key                                return said
"""

from __future__ import annotations

import ast
from copy import deepcopy
from types import FunctionType

from ir import STR, Builder, CompileError, Graph, Node, UnsupportedError
from jit.archive.exits import RAISE
from jit.archive.written_methods import compiled
from jit.script import compile_function
from jit.script.pysource import read_function
from jit.script.structure import class_attribute

_SAID = "said"


def write_texts(graph: Graph) -> None:
    """Let the exceptions of a graph be raised with their texts, in place; CompileError for a class
    whose methods do more than to make one.
    """
    for node in [n for n in graph.walk() if n.name == RAISE and has_text(n.attrs.get("exception"))]:
        _write(node, node.attrs["exception"])


def has_text(cls: object) -> bool:
    """Whether Python code of a class decides what its exceptions say."""
    return isinstance(cls, type) and any(_methods(cls).values())


def _methods(cls: type) -> dict[str, FunctionType | None]:
    found = {name: class_attribute(cls, name) for name in ("__init__", "__str__")}
    return {name: f if isinstance(f, FunctionType) else None for name, f in found.items()}


def _write(node: Node, cls: type[BaseException]) -> None:
    try:
        function = _text_function(cls, len(node.inputs))
        graph = compile_function(function, [v.type for v in node.inputs]).graph
        if graph.returns[0].type != STR:
            raise UnsupportedError("its text is no str")
    except CompileError as error:
        raise CompileError(
            f"Could not export what an exception of class {cls.__qualname__} says: {error.message}",
            node.span,
        ) from error
    attrs = {"graph": graph, "name": f"__torch__.relume.text_of_{cls.__name__}"}
    made = Builder.before(node).node("prim::CallFunction", node.inputs, [STR], attrs)
    node.set_inputs([made.output])


def _text_function(cls: type, count: int) -> FunctionType:
    """The function from the arguments of a class's exceptions, `count` of them, to their text."""
    init, text = _methods(cls).values()
    parameters = [f"argument{i}" for i in range(count)]
    body: list[ast.stmt] = []
    if init is not None:
        names, body = _as_locals(init, cls)
        parameters = names[:count]
        given = init.__defaults__ or ()
        left_out = dict(zip(names[len(names) - len(given) :], given, strict=True))
        for name in names[count:]:
            body.insert(0, ast.parse(f"{name} = {left_out.get(name)!r}").body[0])
    said = f"str({parameters[0]})" if count == 1 else "''"
    start = ast.parse(f"{_SAID} = {said}").body
    end = ast.parse(f"return {_SAID}").body if text is None else _as_locals(text, cls)[1]
    (function,) = ast.parse(f"def text({', '.join(parameters)}): pass").body
    assert isinstance(function, ast.FunctionDef)
    function.body = [*start, *body, *end]
    source = ast.unparse(ast.fix_missing_locations(function))
    method = init or text
    assert method is not None
    return compiled(f"<text of {cls.__qualname__}, {count}>", source, "text", method.__globals__)


def _as_locals(method: FunctionType, cls: type) -> tuple[list[str], list[ast.stmt]]:
    """The parameters behind `self`, and the body, of which attributes are variables."""
    node = deepcopy(read_function(method).node)
    spec = node.args
    if not isinstance(node, ast.FunctionDef) or spec.vararg or spec.kwarg or spec.kwonlyargs:
        raise UnsupportedError(f"its {method.__name__} takes any arguments")
    owner, *names = [a.arg for a in (*spec.posonlyargs, *spec.args)]
    if any(_methods(base)["__init__"] for base in cls.__mro__[1:] if base is not object):
        raise UnsupportedError("its base has an `__init__` of its own, too")
    locals_of = _Locals(owner)
    return names, [locals_of.visit(statement) for statement in node.body]


class _Locals(ast.NodeTransformer):
    """Attributes of an exception become variables, and so does what its base is given to say."""

    def __init__(self, owner: str) -> None:
        self.owner = owner

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        """`self.key`."""
        if isinstance(node.value, ast.Name) and node.value.id == self.owner:
            return ast.Name(f"of_{node.attr}", node.ctx)
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        """`super().__init__(text)`."""
        match node.value:
            case ast.Call(func=ast.Attribute(value=owner, attr="__init__"), args=args):
                is_super = isinstance(owner, ast.Call)
                given = [self.visit(a) for a in (args if is_super else args[1:])]
                if len(given) > 1:
                    raise UnsupportedError("it says more than one thing")
                text = ast.Call(ast.Name("str", ast.Load()), given, [])
                return ast.Assign([ast.Name(_SAID, ast.Store())], text)
        return node

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """The exception itself is no value."""
        if node.id == self.owner:
            raise UnsupportedError("its methods use it as a value")
        return node
