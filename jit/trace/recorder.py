"""The graph that a trace writes, and which value of it each live object is.

Laws
  * A tensor, a traced number or a device is known by identity. A tensor is forgotten when it dies,
    so that no identity is reused and a trace needs the memory of the run that it records; the
    others are kept alive.
  * A tensor that nothing recorded made is captured by reference: read from the module that holds
    it, else a constant that holds the live tensor.
  * What the run assigned to the module's attributes, the graph assigns at its end.
  * Everything else is a constant. Reading a value that depends on the inputs into Python freezes
    it: `freeze` warns.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from ir import (
    ANY,
    NUMBER,
    TENSOR,
    Builder,
    Graph,
    ListType,
    Node,
    ObjectType,
    Op,
    OptionalType,
    Span,
    TensorType,
    Type,
    Value,
    constant_of,
)
from jit.trace.frames import user_span
from jit.trace.state import Attribute, ModuleState


class TracerWarning(Warning):
    """Python looked at something that the trace cannot follow, so that the graph may be wrong for
    other inputs.
    """


class TracedNumber:
    """Base of numbers that stand for a value of the graph; `hint` is what they were in the traced
    run.
    """

    value: Value
    hint: Any


class Recorder:
    """Writes one graph. With `keeps`, `results` maps the recorded values that it accepts to copies
    of their tensors in the traced run, and what the graph returns or assigns to its tensors.
    """

    def __init__(
        self,
        name: str,
        state: ModuleState,
        *,
        is_quiet: bool = False,
        keeps: Callable[[Value], bool] | None = None,
    ) -> None:
        self.graph = Graph(name)
        self.builder = Builder(self.graph.block)
        self.warnings: list[str] = []
        self.results: dict[Value, torch.Tensor] = {}
        self.is_paused = False
        self.function: Any = None  # the function of torch that Python called
        self.device: Value | None = None  # the traced device that it was given
        self._state = state
        self._is_quiet = is_quiet
        self._keeps = keeps
        self._known: dict[int, tuple[object, Value]] = {}  # tensors by weak references
        self._captured: dict[int, tuple[torch.Tensor, Value]] = {}
        self._owners: dict[int, Value] = {}  # modules as constants

    # identities ---------------------------------------------------------------------------------
    def define(self, thing: object, value: Value) -> None:
        """Let an object stand for a value."""
        if not isinstance(thing, torch.Tensor):
            self._known[id(thing)] = (thing, value)
            return
        self._known[id(thing)] = (self._reference(thing), value)
        if self._keeps is not None and self._keeps(value):
            self.results[value] = thing.detach().clone()

    def _reference(self, tensor: torch.Tensor) -> weakref.ref[torch.Tensor]:
        known, key = self._known, id(tensor)

        def forget(dead: object) -> None:
            if known[key][0] is dead:  # and not that of another name of the same tensor
                del known[key]

        return weakref.ref(tensor, forget)

    def add_input(self, tensor: torch.Tensor, name: str) -> None:
        """A parameter of the graph; the same tensor twice is two parameters, the first of which is
        read.
        """
        value = self.graph.block.add_param(TENSOR, name)
        if not self.knows(tensor):
            self.define(tensor, value)

    def knows(self, thing: object) -> bool:
        """Whether an object stands for a value that the trace computes or is given."""
        return id(thing) in self._known

    def value_of(self, thing: object) -> Value | None:
        """The value that an object stands for."""
        found = self._known.get(id(thing))
        return found[1] if found else None

    def depends(self, thing: object) -> bool:
        """Whether an argument holds a tensor that was computed in the trace."""
        if isinstance(thing, list | tuple):
            return any(map(self.depends, thing))
        return isinstance(thing, torch.Tensor) and self.knows(thing)

    # values -------------------------------------------------------------------------------------
    def read(self, thing: Any, type_: Type = ANY) -> Value:
        """The value of an argument whose schema type is `type_`."""
        if isinstance(type_, OptionalType):
            type_ = type_.element if thing is not None else ANY
        known = self.value_of(thing)
        if known is not None:
            return known
        if isinstance(thing, TracedNumber):
            return thing.value
        if isinstance(thing, torch.Tensor):
            return self._capture(thing)
        if isinstance(thing, torch.device) and self.device is not None:
            return self.device
        if isinstance(thing, list | tuple):
            element = type_.element if isinstance(type_, ListType) else ANY
            items = [self.read(item, element) for item in thing]
            return self.builder.list_(items, None if element == ANY else element)
        held, held_type = constant_of(thing)
        return self.builder.const(held, held_type)

    def _capture(self, tensor: torch.Tensor) -> Value:
        if id(tensor) not in self._captured:
            place = self._state.place_of(tensor)
            value = self.builder.const(tensor, TENSOR) if place is None else self._attribute(place)
            self._captured[id(tensor)] = tensor, value
        return self._captured[id(tensor)][1]

    def _attribute(self, place: Attribute) -> Value:
        owner = self._owner(place.owner)
        node = self.builder.node("prim::GetAttr", [owner], [TENSOR], {"name": place.name})
        return node.output

    def _owner(self, module: torch.nn.Module) -> Value:
        if id(module) not in self._owners:
            cls = type(module)
            type_ = ObjectType(f"{cls.__module__}.{cls.__qualname__}", cls)
            self._owners[id(module)] = self.builder.const(module, type_)
        return self._owners[id(module)]

    # nodes --------------------------------------------------------------------------------------
    def call(self, name: str, *arguments: Any) -> Value:
        """One operator of a single result, its overload chosen by the arguments."""
        self.builder.span = user_span()
        result: Value = self.builder.call(name, [self.read(a) for a in arguments])
        return result

    def record(self, op: Op, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Node:
        """The node of one operator call, its defaults filled in."""
        self.builder.span = user_span()
        formals = op.schema.arguments
        given = dict(zip((f.name for f in formals), args, strict=False)) | dict(kwargs)
        inputs = [self.read(given.get(f.name, _default(f.default)), f.type) for f in formals]
        types = [f.type for f in formals]
        if any(_is_number_as_tensor(v.type, t) for v, t in zip(inputs, types, strict=True)):
            self.builder.call(op.name, inputs)  # the overload on numbers
        else:
            self.builder.apply(op, inputs)
        return self.graph.block.nodes[-1]

    def define_result(self, value: Value, result: Any) -> None:
        """Let what an operator returned stand for an output of its node."""
        if isinstance(result, torch.Tensor):
            self.define(result, value)
        elif isinstance(result, list | tuple):
            unpack = self.builder.node("prim::ListUnpack", [value], [TENSOR] * len(result))
            for piece, part in zip(result, unpack.outputs, strict=True):
                self.define(piece, part)

    @contextmanager
    def calling(self, function: Any, arguments: Sequence[Any]) -> Iterator[None]:
        """While Python calls a function of torch."""
        before = self.function, self.device
        devices = (self.value_of(a) for a in arguments if isinstance(a, torch.device))
        self.function, self.device = function, next(filter(None, devices), None)
        try:
            yield
        finally:
            self.function, self.device = before

    def finish(self, leaves: Sequence[Any]) -> None:
        """Return the value of one leaf, or a tuple of those of several; drop what only Python
        needed, such as sizes that an assertion read.
        """
        results = [self.read(leaf) for leaf in leaves]
        self.builder.span = None
        for value, leaf in zip(results, leaves, strict=True):
            self._keep_end(value, leaf)
        self._assign_state()
        self.graph.block.set_returns(
            [results[0] if len(results) == 1 else self.builder.tuple_(results)]
        )
        for node in reversed(list(self.graph.block.nodes)):
            if node.op.is_pure and not any(v.uses for v in node.outputs):
                node.erase()

    def _keep_end(self, value: Value, leaf: object) -> None:
        if self._keeps is not None and isinstance(leaf, torch.Tensor):
            self.results.setdefault(value, leaf)

    def _assign_state(self) -> None:
        """Repeat what the run assigned to attributes of the module."""
        for place in self._state.replaced():
            value = self.value_of(place.now)
            if value is not None:
                self._keep_end(value, place.now)
                inputs = [self._owner(place.owner), value]
                self.builder.node("prim::SetAttr", inputs, (), {"name": place.name})
            else:
                self._warn(
                    f"the attribute {place.name!r} of {type(place.owner).__qualname__} was "
                    "assigned something that is no tensor of the trace: calls of the trace leave "
                    "it as it is",
                    None,
                )

    # what cannot be followed ----------------------------------------------------------------------
    def freeze(self, what: str) -> None:
        """Warn, at the user's line, that the trace keeps what Python saw there."""
        self._warn(
            f"{what}: the trace keeps what it was for the example inputs, also for others",
            user_span(),
        )

    def _warn(self, message: str, span: Span | None) -> None:
        text = f"{message}\n{span.render()}" if span else message
        if self.is_paused or text in self.warnings:
            return
        self.warnings.append(text)
        if not self._is_quiet:
            file, line = (span.file, span.line) if span else ("<trace>", 1)
            warnings.warn_explicit(text, TracerWarning, file, line)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Run operators without recording them."""
        before, self.is_paused = self.is_paused, True
        try:
            yield
        finally:
            self.is_paused = before


def _default(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _is_number_as_tensor(found: Type, formal: Type) -> bool:
    return isinstance(formal, TensorType) and (
        found == NUMBER or str(found) in ("int", "float", "bool", "complex")
    )
