"""Subscripts of tensors that the front end leaves to Python, as a mask among them takes as many
dims as it has: archives count the dims when the code runs.

    x[mask, 1, :, index]        x = torch.select(x, width(mask), 1)
                                indices = [mask, None, index]
                                torch.index(x, indices)
"""

from __future__ import annotations

from collections.abc import Iterator

from ir import (
    BOOL,
    FLOAT,
    INT,
    NONE,
    NUMBER,
    TENSOR,
    Builder,
    Graph,
    ListType,
    Node,
    OptionalType,
    TensorType,
    Value,
)
from jit.script.library import index_width, tensor_getitem, tensor_setitem

_ENTRY = OptionalType(TENSOR)
_NUMBERS = (INT, FLOAT, NUMBER)
_SLICE = 3  # values


def lower_subscripts(graph: Graph) -> None:
    """Change a graph in place; subscripts with other parts stay with Python."""
    for node in list(graph.walk()):
        function = node.attrs.get("function")
        if function is tensor_getitem or function is tensor_setitem:
            _lower(node, function is tensor_setitem)


def _lower(node: Node, writes: bool) -> None:
    tensor, *rest = node.inputs
    item = rest.pop(0) if writes else None
    parts = _parts(rest[0], rest[1:])
    is_plain = item is None or item.type in (*_NUMBERS, BOOL) or isinstance(item.type, TensorType)
    if parts is None or not is_plain or not all(map(_is_known, parts)):
        return
    walk = _Walk(Builder.before(node), tensor)
    walk.parts(parts)
    if item is None:
        node.output.replace_all_uses_with(walk.read())
    else:
        walk.write(item)
    node.erase()


Part = list[Value]


def _parts(shape: Value, values: list[Value]) -> list[Part] | None:
    """The values of each part; None when the number of parts is not known."""
    if shape.node is None or shape.node.name not in ("prim::ListConstruct", "prim::Constant"):
        return None
    counts = shape.node.attrs.get("value") or [_known(v) for v in shape.node.inputs]
    rest: Iterator[Value] = iter(values)
    return [[next(rest) for _ in range(count)] for count in counts]


def _known(value: Value) -> int:
    assert value.node is not None
    found = value.node.attrs["value"]
    assert isinstance(found, int)
    return found


def _is_known(part: Part) -> bool:
    if len(part) != 1:
        return all(v.type in (INT, NONE) for v in part)
    return part[0].type in (INT, NUMBER, NONE) or isinstance(part[0].type, TensorType)


class _Walk:
    """A subscript part by part: the view so far, the dim that is next, and what is gathered."""

    def __init__(self, builder: Builder, tensor: Value) -> None:
        self.b = builder
        self.view = tensor
        self.dim: Value = builder.const(0)
        self.indices = builder.node("prim::ListConstruct", (), [ListType(_ENTRY)]).output
        self.gathers = False  # anything but None

    def parts(self, parts: list[Part]) -> None:
        """Apply all parts."""
        for position, part in enumerate(parts):
            if part:
                self.part(part)
            else:
                self.skip(parts[position + 1 :])

    def part(self, part: Part) -> None:
        """An int, a slice, None or a tensor."""
        (first, *ends), b = part, self.b
        if len(part) == _SLICE:
            step = b.const(1) if ends[1].type == NONE else ends[1]
            self.view = b.op("aten::slice", self.view, self.dim, first, ends[0], step)
        elif first.type == NONE:
            self.view = b.op("aten::unsqueeze", self.view, self.dim)
        elif isinstance(first.type, TensorType):
            self.gathers = True
            self.gather(first)
            self.dim = b.op("aten::add", self.dim, self.width(first))
            return
        else:
            self.view = b.op("aten::select", self.view, self.dim, first)
            return
        self.gather(b.const(None, _ENTRY))
        self.dim = b.op("aten::add", self.dim, b.const(1))

    def gather(self, index: Value) -> None:
        """One more entry of the list of indices."""
        self.b.op("aten::append", self.indices, index)

    def width(self, index: Value) -> Value:
        """How many dims a tensor takes."""
        attrs = {"function": index_width, "name": index_width.__name__}
        return self.b.node("prim::PythonOp", [index], [INT], attrs).output

    def skip(self, behind: list[Part]) -> None:
        """The dims that an Ellipsis stands for: those that the parts behind it leave."""
        b = self.b
        left: Value = b.op("aten::sub", b.op("aten::dim", self.view), self.dim)
        for part in behind:
            is_new = len(part) == 1 and part[0].type == NONE
            is_index = len(part) == 1 and isinstance(part[0].type, TensorType)
            if not is_new:
                taken = self.width(part[0]) if is_index else b.const(1)
                left = b.op("aten::sub", left, taken)
        loop = b.node("prim::Loop", [left, b.const(True)])
        body = loop.add_block()
        body.add_param(INT)
        inside = Builder(body, b.span)
        inside.op("aten::append", self.indices, inside.const(None, _ENTRY))
        body.set_returns([inside.const(True)])
        self.dim = b.op("aten::add", self.dim, left)

    def read(self) -> Value:
        """What is gathered, or the view."""
        if not self.gathers:
            return self.view
        made: Value = self.b.op("aten::index", self.view, self.indices)
        return made

    def write(self, item: Value) -> None:
        """Put a tensor or a number there."""
        b = self.b
        is_tensor = isinstance(item.type, TensorType)
        if not self.gathers:
            b.op("aten::copy_" if is_tensor else "aten::fill_", self.view, item)
            return
        if not is_tensor:
            dtype, device = b.op("prim::dtype", self.view), b.op("prim::device", self.view)
            sizes = b.node("prim::ListConstruct", (), [ListType(INT)]).output
            item = b.op("aten::full", sizes, item, dtype=dtype, device=device)
        b.op("aten::index_put_", self.view, self.indices, item)
