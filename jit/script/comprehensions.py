"""Comprehensions: unrolled where what they go over is known while compiling, loops that append
otherwise.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Sequence

from ir import NONE, STR, TENSOR, DictType, ListType, Type, Value, is_subtype
from jit.script import operators
from jit.script.conditions import condition, refine
from jit.script.constants import constant_of, make_list
from jit.script.control import Loop, walk
from jit.script.dynamic import is_dynamic_value
from jit.script.frame import Frame, expression
from jit.script.generators import consume
from jit.script.iteration import Indexed, iteration, opened
from jit.script.names import loaded_names, local_names, stored_names
from jit.script.scope import conditional, local_to
from jit.script.targets import assign
from jit.script.values import Closure, Instance, Operand, PyObject, RangeOf, is_lazy, values_of

SHORT = 16  # elements of a range of constants up to which a comprehension is unrolled

Emit = Callable[[], None]


@expression(ast.ListComp, ast.GeneratorExp)
def _list(frame: Frame, node: ast.ListComp | ast.GeneratorExp) -> Operand:
    """A list; a generator is computed at once, which only its side effects could tell."""
    element = frame.hint.element if isinstance(frame.hint, ListType) else None
    source = opened(frame, frame.evaluate(node.generators[0].iter))
    unrolled = _unrolled(frame, node, source, element)
    if unrolled is not None:
        return unrolled
    result = make_list(frame, [], element or TENSOR)
    assert result is not None
    if element is None:
        frame.unit.untyped.add(result)

    def emit() -> None:
        item = frame.value(node.elt, element)
        frame.unit.untyped.admit(result, ListType(item.type), item)
        frame.op("aten::append", result, item)

    _generate(frame, node, node.generators, emit, source)
    return result


@expression(ast.SetComp)
def _set(frame: Frame, node: ast.SetComp) -> Operand:
    listed = ast.copy_location(ast.ListComp(node.elt, node.generators), node)
    return frame.call(PyObject(set, "set"), frame.evaluate(listed))


@expression(ast.DictComp)
def _dict(frame: Frame, node: ast.DictComp) -> Operand:
    declared = frame.hint if isinstance(frame.hint, DictType) else None
    result = frame.node("prim::DictConstruct", [], [declared or DictType(STR, TENSOR)]).output
    if declared is None:
        frame.unit.untyped.add(result)

    def emit() -> None:
        key, item = frame.value(node.key), frame.value(node.value)
        frame.unit.untyped.admit(result, DictType(key.type, item.type), item)
        frame.op_or_python("aten::_set_item", operator.setitem, NONE, result, key, item)

    _generate(frame, node, node.generators, emit)
    return result


def _unrolled(
    frame: Frame, node: ast.ListComp | ast.GeneratorExp, source: Operand, wanted: Type | None
) -> Operand | None:
    """One generator without test over a sequence of known length."""
    (generator, *more) = node.generators
    if more or generator.ifs or is_dynamic_value(source) or is_lazy(source):
        return None
    over = _constant_range(frame, source) or iteration(frame, source)
    if isinstance(over, Indexed) or not over:
        return None
    items: list[Operand] = []
    own = stored_names([generator.target])
    with local_to(frame, own):
        for element in over:
            assign(frame, generator.target, element)
            items.append(frame.evaluate(node.elt, wanted))
    _refuse_closures(frame, items, own)
    items = [frame.require(i) if isinstance(i, Instance) else i for i in items]
    values = values_of(items)
    if wanted is not None and not all(is_subtype(v.type, wanted) for v in values or ()):
        wanted = None
    made = make_list(frame, values, wanted) if values is not None else None
    return made if made is not None else operators.rebuild(frame, items)


def _refuse_closures(frame: Frame, items: Sequence[Operand], names: Sequence[str]) -> None:
    """A function that outlives the comprehension would see the last value of its variables."""
    for item in items:
        if isinstance(item, Closure):
            read = loaded_names(item.node, item.node.args) - local_names(item.node)
            for name in sorted(read & set(names)):
                with frame.at(item.node):
                    raise frame.unsupported(
                        f"a nested function reads {name!r}, which the comprehension changes; make "
                        f"it a parameter with a default: {name}={name}"
                    )


def _constant_range(frame: Frame, operand: Operand) -> list[Operand] | None:
    """The numbers of a short range of constants."""
    if not isinstance(operand, RangeOf):
        return None
    ends = [constant_of(v) for v in (operand.start, operand.stop, operand.step)]
    if not all(isinstance(e, int) for e in ends) or ends[2] == 0:
        return None
    numbers = range(*ends)
    return [frame.constant(n) for n in numbers] if len(numbers) <= SHORT else None


def _generate(
    frame: Frame,
    node: ast.expr,
    generators: Sequence[ast.comprehension],
    emit: Emit,
    source: Operand | None = None,
) -> None:
    """Run `emit` for every combination that the generators produce; their targets are local to
    them.
    """
    generator, rest = generators[0], generators[1:]
    def body(operand: Operand) -> None:
        assign(frame, generator.target, operand)
        _filtered(frame, generator.ifs, inner)

    def inner() -> None:
        if rest:
            _generate(frame, node, rest, emit)
        else:
            emit()

    source = opened(frame, frame.evaluate(generator.iter)) if source is None else source
    is_walked = is_dynamic_value(source) and _is_seen_inside(node, generator)
    over = () if is_lazy(source) or is_walked else iteration(frame, source)
    with local_to(frame, stored_names([generator.target])):
        if is_lazy(source):
            consume(frame, source, body, stored_names([node]))
        elif is_walked:
            walk(frame, node, [node], frame.require(source), body)
        elif isinstance(over, Indexed):
            trip = over.length if over.length is not None else frame.constant((1 << 63) - 1)
            Loop(
                frame, node, [node], trip, frame.constant(True), lambda i: body(over.element(i))
            ).emit()
        else:
            for operand in over:
                body(operand)


def _is_seen_inside(node: ast.expr, generator: ast.comprehension) -> bool:
    """Whether a comprehension names what it goes over, which may be an iterator."""
    source = generator.iter
    return isinstance(source, ast.Name) and any(
        isinstance(n, ast.Name) and n.id == source.id and n is not source for n in ast.walk(node)
    )


def _filtered(frame: Frame, tests: Sequence[ast.expr], emit: Emit) -> None:
    if not tests:
        emit()
        return
    test = condition(frame, tests[0])

    def holds() -> None:
        refine(frame, test.when_true)
        _filtered(frame, tests[1:], emit)

    if isinstance(test.value, Value):
        conditional(frame, test.value, holds, lambda: None)
    elif test.value:
        holds()
