"""Generators: compiled in place where their items are consumed; nothing is ever suspended.

    def pairs(n):                          for i in range(n):
        for i in range(n):                     a, b = i, i * i
            yield i, i * i         ==>         if a > 3:
    for a, b in pairs(n):                          return          leaves the generator, and
        if a > 3: break                        total += b          remembers that it was a break
        total += b

A `yield` compiles the consumer's code where it stands, in the consumer's frame. What that code
assigns is lent to the generator's frame under another name (a prime is added), so that the
generator's own loops and branches carry it as if it were theirs.

Only an expression that consumes its items at once sees a generator (`GeneratorOf`); one that is
kept, bound to a name or handed to a function, is an iterator over a list of its items.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable

from ir import TENSOR, Value, record
from jit.script.frame import (
    DEAD,
    OBJECT,
    RESULT,
    RETURNED,
    SKIP,
    STOP,
    Binding,
    Frame,
    Scope,
    expression,
)
from jit.script.functions import generator_frame
from jit.script.iteration import indexed, iteration, least
from jit.script.names import local_names, shared_names
from jit.script.scope import conditional, raise_exception
from jit.script.values import Arguments, Closure, GeneratorOf, Items, Operand, ZipOf, is_lazy

_PRIME = "\N{MODIFIER LETTER PRIME}"
_ITEM = f"{_PRIME}item"
_FLAGS = (SKIP, STOP, RETURNED)
_RESULT = f"{_PRIME}result"
_PARTS = re.compile(r"[?.[]")  # behind a variable's name: its flag, what is known about its parts

Each = Callable[[Operand], None]


@record(frozen=False)
class Consumer:
    """The code that a generator's items are for, as the generator's frame sees it.

    `lent` has the names of the consumer's variables in the generator's frame; what the consumer's
    code decided (to skip, to stop, to return) is a variable there, too. With `resumes` the
    generator goes on after the consumer's code however that ends: the code is the body of a `with`.
    """

    frame: Frame
    each: Each
    lent: dict[str, str]
    base: Scope
    resumes: bool = False

    def receive(self, generator: Frame, item: Operand) -> None:
        """Compile the consumer's code for one item, where the generator stands."""
        consumer = self.frame
        consumer.scope = {**self.taken(generator.scope), **dict.fromkeys(_FLAGS, False)}
        outer, consumer.builder = consumer.builder, generator.builder
        try:
            self.each(item)
        finally:
            consumer.builder = outer
        self.give(generator.scope)
        end, consumer.scope = consumer.scope, dict(self.base)
        if end[DEAD] is True:
            generator.scope.update(dict.fromkeys((DEAD, SKIP, STOP), True))
        elif not self.resumes:
            self._leave(generator, end[STOP])

    def give(self, scope: Scope) -> None:
        """Lend the consumer's variables to the generator's scope."""
        for name, other in self.lent.items():
            for mark in ("", "?"):
                scope.pop(other + mark, None)
                if name + mark in self.frame.scope:
                    scope[other + mark] = self.frame.scope[name + mark]
        scope.update(_objects(self.frame.scope))

    def taken(self, scope: Scope) -> Scope:
        """The consumer's scope, with its variables as they are in the generator's."""
        found = dict(self.base)
        for name, other in self.lent.items():
            for mark in ("", "?"):
                if other + mark in scope:
                    found[name + mark] = scope[other + mark]
        return found | _objects(scope)

    def _leave(self, generator: Frame, stop: Binding) -> None:
        """The consumer's `break` or `return` is a return of the generator."""

        def leave() -> None:
            generator.scope[RESULT] = generator.constant(None)
            generator.scope.update(dict.fromkeys(_FLAGS, True))

        if isinstance(stop, Value):
            conditional(generator, stop, leave, lambda: None)
        elif stop:
            leave()


def _objects(scope: Scope) -> Scope:
    return {name: binding for name, binding in scope.items() if name.startswith(OBJECT)}


@expression(ast.Yield)
def _yield(frame: Frame, node: ast.Yield) -> Operand:
    consumer = frame.consumer
    if not isinstance(consumer, Consumer):
        raise frame.unsupported(
            "yield is not supported in the function that is compiled itself, whose result would be "
            "a suspended frame: append to a list and return it"
        )
    item = frame.constant(None) if node.value is None else frame.evaluate(node.value)
    consumer.receive(frame, item)
    return frame.constant(None)


@expression(ast.YieldFrom)
def _yield_from(frame: Frame, node: ast.YieldFrom) -> Operand:
    name = ast.Name(_ITEM, ast.Load())
    body = ast.Expr(ast.Yield(name))
    loop = ast.For(ast.Name(_ITEM, ast.Store()), node.value, [body], [])
    frame.run([ast.fix_missing_locations(ast.copy_location(loop, node))])
    return frame.constant(None)


def consume(frame: Frame, operand: Operand, each: Each, stored: Iterable[str]) -> Binding:
    """Compile `each`, which assigns the names `stored`, for every item of a lazy operand; the flag
    that it gives says whether a `break` or `return` ended it.
    """
    if isinstance(operand, ZipOf):
        return _consume_zip(frame, operand, each, stored)
    assert isinstance(operand, GeneratorOf)
    _refuse_handlers(frame, operand)
    _run(frame, operand, each, stored)
    broke = frame.scope[STOP]
    if frame.scope[DEAD] is False:
        frame.scope[SKIP] = frame.scope[STOP] = frame.scope[RETURNED]
    return broke


def enclose(frame: Frame, operand: GeneratorOf, each: Each, stored: Iterable[str]) -> None:
    """Compile `each` in place of the `yield` of a generator that makes a context manager."""
    loops = (n for n in ast.walk(operand.node) if isinstance(n, ast.For | ast.While))
    if any(isinstance(n, ast.Yield) for loop in loops for n in ast.walk(loop)):
        raise frame.unsupported(f"the context manager {operand.name!r} yields in a loop")
    _run(frame, operand, each, stored, resumes=True)


def _run(
    frame: Frame, operand: GeneratorOf, each: Each, stored: Iterable[str], resumes: bool = False
) -> None:
    """Compile the generator's body; the consumer's scope is then the one after it."""
    names = [*stored, *shared_names(frame.source.node), *frame.lent]
    is_local = isinstance(operand.source, Closure) and operand.source.frame is frame
    with generator_frame(frame, operand) as generator:
        own = local_names(generator.source.node)
        lent = {name: name if is_local and name not in own else name + _PRIME for name in names}
        lent |= {name: f"{_PRIME}{name[1:]}" for name in _FLAGS} | {RESULT: _RESULT}
        frame.scope.update(dict.fromkeys(_FLAGS, False))
        base = {n: b for n, b in frame.scope.items() if _PARTS.split(n)[0] not in lent}
        consumer = Consumer(frame, each, lent, base, resumes)
        consumer.give(generator.scope)
        generator.lent |= frozenset(lent.values())
        generator.consumer = consumer
        generator.run(generator.source.body)
        frame.scope = consumer.taken(generator.scope)
    if generator.scope[DEAD] is True:
        frame.scope.update(dict.fromkeys((DEAD, SKIP, STOP), True))


def _consume_zip(frame: Frame, operand: ZipOf, each: Each, stored: Iterable[str]) -> Binding:
    """`zip(x, generator(), y)`: the generator drives, the others are asked by index."""
    driver = next(i for i, part in enumerate(operand.parts) if is_lazy(part))
    others = {
        i: indexed(frame, iteration(frame, part))
        for i, part in enumerate(operand.parts)
        if i != driver
    }
    length = least(frame, [found.length for found in others.values()])
    name = f"{_PRIME}index{frame.unit.next_object()}"
    frame.scope[name] = frame.constant(0)

    def step(item: Operand) -> None:
        index = frame.scope[name]
        assert isinstance(index, Value)

        def within() -> None:
            frame.scope[name] = frame.op("aten::add", index, 1)
            made = {i: found.element(index) for i, found in others.items()} | {driver: item}
            each(Items(tuple(made[i] for i in range(len(made)))))

        def over() -> None:
            frame.scope[SKIP] = frame.scope[STOP] = True

        if length is None:
            within()
        else:
            conditional(frame, frame.op("aten::lt", index, length), within, over)

    broke = consume(frame, operand.parts[driver], step, [*stored, name])
    frame.scope.pop(name, None)
    return broke


def lazily(frame: Frame, node: ast.expr) -> GeneratorOf | None:
    """A generator expression as the generator that it is."""
    if not isinstance(node, ast.GeneratorExp):
        return None
    body: ast.stmt = ast.Expr(ast.Yield(node.elt))
    for generator in reversed(node.generators):
        for test in reversed(generator.ifs):
            body = ast.If(test, [body], [])
        body = ast.For(generator.target, generator.iter, [body], [])
    none = ast.arguments([], [], None, [], [], None, [])
    function = ast.FunctionDef("<genexpr>", none, [body], [], None)
    ast.fix_missing_locations(ast.copy_location(function, node))
    return GeneratorOf(Closure(function, frame, {}), function, Arguments([], {}))


def first_item(frame: Frame, operand: GeneratorOf, *default: Operand) -> Operand:
    """`next` of a generator that nobody keeps."""
    if default:
        frame.scope[_ITEM] = frame.require(default[0])

    def each(item: Operand) -> None:
        frame.scope[_ITEM] = frame.require(item)
        frame.scope.pop(f"{_ITEM}?", None)
        frame.scope.update({SKIP: True, STOP: True})

    consume(frame, operand, each, [_ITEM])
    is_bound = frame.scope.pop(f"{_ITEM}?", _ITEM in frame.scope)
    if isinstance(is_bound, Value):
        conditional(frame, is_bound, lambda: None, lambda: raise_exception(frame, StopIteration))
    elif not is_bound:
        raise_exception(frame, StopIteration)
        return frame.uninitialized(TENSOR)
    found = frame.scope.pop(_ITEM)
    assert isinstance(found, Value)
    return found


def _refuse_handlers(frame: Frame, operand: GeneratorOf) -> None:
    """Exceptions of the consumer's code must not meet the generator's handlers."""
    for node in ast.walk(operand.node):
        guarded = node.body if isinstance(node, ast.Try) and node.handlers else []
        inner = (n for statement in guarded for n in ast.walk(statement))
        if any(isinstance(n, ast.Yield | ast.YieldFrom) for n in inner):
            raise frame.unsupported(
                f"the generator {operand.name!r} yields inside a try with `except`: compute the "
                "item in the try and yield it behind"
            )
