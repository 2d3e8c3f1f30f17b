"""Statements that branch and loop: if, for, while, break, continue, and statement lists that end
early.

    if c:                          %out = prim::If(%c)
        return a        ==>            block0(): -> (%a)
    rest; return b                     block1(): rest -> (%b)      where control falls through

Where only a run-time flag tells whether the rest is reached (a `break` in one of two branches),
the rest becomes the else block of an If on `$skip`. A loop carries the variables that its body
assigns; their types, and which flags become run-time values, are found by compiling the body
again until nothing changes any more.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from functools import partial

from ir import ANY, BOOL, INT, Block, DictType, Node, Type, Value, field, record
from jit.script import library
from jit.script.conditions import condition, refine
from jit.script.dynamic import is_dynamic_value
from jit.script.frame import (
    DEAD,
    LIVE,
    OBJECT,
    RESULT,
    RETURNED,
    SKIP,
    STOP,
    Binding,
    Frame,
    Scope,
    name_value,
    statement,
)
from jit.script.generators import consume
from jit.script.growth import may_resize
from jit.script.iteration import Indexed, iteration, opened
from jit.script.merging import merge_types
from jit.script.names import loaded_names, shared_names, stored_names
from jit.script.scope import conditional, extend_branch, merge, raise_exception, run_branch
from jit.script.targets import assign
from jit.script.values import Instance, Operand, Unbound, is_lazy

BROKE = "$broke"
_ENDLESS = (1 << 63) - 1


def run(frame: Frame, statements: Sequence[ast.stmt]) -> None:
    """Compile a statement list as far as control reaches it."""
    for i, node in enumerate(statements):
        rest = statements[i + 1 :]
        if isinstance(node, ast.If):
            with frame.at(node):
                if _run_if(frame, node, rest):
                    return
        else:
            frame.execute(node)
        skip = frame.scope[SKIP]
        if skip is True:
            return
        if isinstance(skip, Value) and rest:
            _unless(frame, skip, rest)
            return


def _unless(frame: Frame, flag: Value, statements: Sequence[ast.stmt]) -> None:
    """Compile statements for the path on which `flag` does not hold."""

    def skipped() -> None:
        for name in (SKIP, STOP, RETURNED):
            if frame.scope[name] is flag:
                frame.scope[name] = True

    conditional(frame, flag, skipped, lambda: _resume(frame, statements))


def _resume(frame: Frame, statements: Sequence[ast.stmt]) -> None:
    """On the path where nothing was skipped."""
    frame.scope.update({SKIP: False, STOP: False, RETURNED: False})
    run(frame, statements)


def _run_if(frame: Frame, node: ast.If, rest: Sequence[ast.stmt]) -> bool:
    """Compile an `if`; True when the statements after it were compiled too, inside the branch that
    falls through.
    """
    test = condition(frame, node.test)
    if isinstance(test.value, bool):
        _refuse_functions(frame, node.test, node.orelse if test.value else node.body)
        refine(frame, test.when_true if test.value else test.when_false)
        run(frame, node.body if test.value else node.orelse)
        return False

    def then() -> None:
        refine(frame, test.when_true)
        run(frame, node.body)

    def orelse() -> None:
        refine(frame, test.when_false)
        run(frame, node.orelse)

    made = frame.node("prim::If", [test.value])
    a, b = (run_branch(frame, made, frame.scope, body) for body in (then, orelse))
    moved = a.exits != b.exits and not a.is_dead and not b.is_dead
    if moved:
        open_branch = b if a.exits else a
        skip = open_branch.scope[SKIP]
        if isinstance(skip, Value):
            extend_branch(frame, open_branch, lambda: _unless(frame, skip, rest))
        else:
            extend_branch(frame, open_branch, lambda: run(frame, rest))
    merge(frame, made, a, b)
    return moved


def _refuse_functions(frame: Frame, test: ast.expr, left_out: Sequence[ast.stmt]) -> None:
    """Code for eager mode only must not give its callers what compiled code never gives."""
    if "is_scripting" not in ast.unparse(test):
        return
    for node in (inner for outer in left_out for inner in ast.walk(outer)):
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Lambda):
            with frame.at(node.value):
                raise frame.unsupported(
                    "callers get a function here in eager mode, and something else from compiled "
                    "code, where is_scripting() is True; return the same kind of value from both"
                )


@statement(ast.Break)
def _break(frame: Frame, node: ast.Break) -> None:
    frame.scope[SKIP] = frame.scope[STOP] = True


@statement(ast.Continue)
def _continue(frame: Frame, node: ast.Continue) -> None:
    frame.scope[SKIP] = True


@statement(ast.While)
def _while(frame: Frame, node: ast.While) -> None:
    test = condition(frame, node.test)
    if test.value is False:
        run(frame, node.orelse)
        return

    def body(_: Value) -> None:
        refine(frame, test.when_true)
        run(frame, node.body)

    loop = Loop(
        frame, node, [*node.body, node.test], frame.constant(_ENDLESS), test.as_value(frame), body
    )
    loop.again = lambda: condition(frame, node.test).value
    loop.emit()
    if not _has_break(node.body) and frame.scope[DEAD] is False:
        refine(frame, test.when_false)
    _finish(frame, node.orelse, loop.broke)


@statement(ast.For)
def _for(frame: Frame, node: ast.For) -> None:
    source = opened(frame, frame.evaluate(node.iter))
    if is_lazy(source):
        _for_lazy(frame, node, source)
        return
    if is_dynamic_value(source) and _may_leave_some(node):
        _for_python(frame, node, frame.require(source))
        return
    over = iteration(frame, source)
    if not isinstance(over, Indexed):
        _unroll(frame, node, over)
        return
    target = ast.Assign([node.target], node.iter)
    position: list[Value] = []

    def body(index: Value) -> None:
        position[:] = [index]
        with frame.at(node.target):
            assign(frame, node.target, over.element(index))
        run(frame, node.body)

    def is_within(index: Value) -> Value:
        length = over.length_now()
        assert length is not None, "only lists are resized"
        return frame.op("aten::lt", index, length)

    def revise(made: Node) -> bool:
        if loop.again is not None:
            return False
        if may_resize(made, over.lists):
            loop.trip, loop.first = frame.constant(_ENDLESS), is_within(frame.constant(0))
            loop.again = lambda: is_within(frame.op("aten::add", position[0], 1))
        elif may_resize(made, over.watched):
            sizes = [(v, _size(frame, v)) for v in over.watched]
            loop.again = lambda: _check_sizes(frame, sizes)
        else:
            return False
        return True

    trip = frame.constant(_ENDLESS) if over.length is None else over.length
    loop = Loop(frame, node, [target, *node.body], trip, frame.constant(True), body, revise=revise)
    loop.emit()
    _finish(frame, node.orelse, loop.broke)


def _size(frame: Frame, container: Value) -> Value:
    return frame.op_or_python("aten::len", len, INT, container)


def _check_sizes(frame: Frame, sizes: Sequence[tuple[Value, Value]]) -> bool:
    """Raise where a dict or set has not the size that it had when the loop began."""
    for container, size in sizes:
        name = "dictionary" if isinstance(container.type, DictType) else "Set"
        is_same = frame.op("aten::eq", _size(frame, container), size)
        text = f"{name} changed size during iteration"
        fail = partial(raise_exception, frame, RuntimeError, text)
        conditional(frame, is_same, lambda: None, fail)
    return True


def _may_leave_some(node: ast.For) -> bool:
    """Whether a loop may end before what it goes over, or somebody else go over that meanwhile."""
    inner = [n for statement in node.body for n in ast.walk(statement)]
    source = node.iter.id if isinstance(node.iter, ast.Name) else None
    return any(
        isinstance(n, ast.Break | ast.Return) or (isinstance(n, ast.Name) and n.id == source)
        for n in inner
    )


def _for_python(frame: Frame, node: ast.For, source: Value) -> None:
    """A loop over what may be an iterator that others see."""

    def body(item: Operand) -> None:
        with frame.at(node.target):
            assign(frame, node.target, item)
        run(frame, node.body)

    statements = [ast.Assign([node.target], node.iter), *node.body]
    _finish(frame, node.orelse, walk(frame, node, statements, source, body))


def walk(
    frame: Frame,
    node: ast.AST,
    statements: Sequence[ast.AST],
    source: Value,
    each: Callable[[Operand], None],
) -> Binding:
    """Go over what only the run knows item by item, as Python does; whether a `break` ended it."""
    state = frame.python(library.walk, [source], ANY)

    def goes_on() -> Value:
        return frame.python(library.advance, [state], BOOL)

    def body(_: Value) -> None:
        each(frame.python(library.current, [state], ANY))

    endless = frame.constant(_ENDLESS)
    loop = Loop(frame, node, statements, endless, goes_on(), body, again=goes_on)
    loop.emit()
    return loop.broke


def _for_lazy(frame: Frame, node: ast.For, source: Operand) -> None:
    """A loop over a generator: its body stands where the generator yields."""

    def body(item: Operand) -> None:
        with frame.at(node.target):
            assign(frame, node.target, item)
        run(frame, node.body)

    broke = consume(frame, source, body, stored_names([node.target, *node.body]))
    _finish(frame, node.orelse, broke)


def _finish(frame: Frame, orelse: Sequence[ast.stmt], broke: Binding) -> None:
    """The `else` of a loop runs when no break ended it."""
    if not orelse or broke is True or frame.scope[SKIP] is True:
        return
    if isinstance(broke, Value):
        _unless(frame, broke, orelse)
    else:
        run(frame, orelse)


def _unroll(frame: Frame, node: ast.For, items: Sequence[Operand]) -> None:
    """A loop over elements known while compiling: one copy of the body for each."""

    def step(position: int) -> None:
        if position == len(items):
            run(frame, node.orelse)
            return
        with frame.at(node.target):
            assign(frame, node.target, items[position])
        run(frame, node.body)
        stop = frame.scope[STOP]
        if isinstance(stop, Value):
            conditional(frame, stop, lambda: None, lambda: proceed(position + 1))
        elif not stop:
            proceed(position + 1)

    def proceed(position: int) -> None:
        frame.scope.update({SKIP: False, STOP: False, RETURNED: False})
        step(position)

    step(0)
    _leave_loop(frame)


def _leave_loop(frame: Frame) -> None:
    """After a loop only a return (or an exception) still skips what follows."""
    if frame.scope[DEAD] is False:
        frame.scope[SKIP] = frame.scope[STOP] = frame.scope[RETURNED]


def _has_break(body: Sequence[ast.stmt]) -> bool:
    """Whether a loop's body may break out of this loop; a nested loop's breaks count too, which is
    only pessimistic.
    """
    return any(isinstance(n, ast.Break) for s in body for n in ast.walk(s))


@record(frozen=False)
class Loop:
    """A `prim::Loop` under construction.

    `carried` maps each carried name to its type; it grows, and types widen, from attempt to
    attempt. `conflicts` are names whose type changes in the body: unreadable across iterations and
    afterwards, harmless where the body assigns them first.
    """

    frame: Frame
    node: ast.AST
    statements: Sequence[ast.AST]
    trip: Value
    first: Value
    body: Callable[[Value], None]
    again: Callable[[], bool | Value] | None = None
    revise: Callable[[Node], bool] | None = None
    """Looks at the loop as compiled: whether it has to be compiled otherwise."""
    broke: Binding = False
    carried: dict[str, Type] = field(default_factory=dict)
    conflicts: dict[str, str] = field(default_factory=dict)
    before: Scope = field(default_factory=dict)
    stored: list[str] = field(default_factory=list)
    opened: set[Value] = field(default_factory=set)  # empty lists whose type was open before

    def emit(self) -> None:
        """Compile the loop; the frame's scope is then the one after it."""
        self.before = self.frame.scope
        shared = (*shared_names(self.frame.source.node), *self.frame.lent)
        self.stored = list(dict.fromkeys((*stored_names(self.statements), *sorted(shared))))
        for name in self.stored:
            for key in (name, f"{name}?"):
                binding = self.before.get(key)
                if isinstance(binding, Value):
                    self.carried[key] = binding.type
                    if binding in self.frame.unit.untyped:
                        self.opened.add(binding)
        while True:
            made, start = self._attempt()
            if not self._settle(self.frame.scope, start) and not self._revised(made):
                self._close(made)
                return
            made.erase()

    def _revised(self, made: Node) -> bool:
        """Whether the loop was found to need another form; `made` stays behind the loop's inputs,
        so that these are made where it is.
        """
        if self.revise is None:
            return False
        end, self.frame.scope = self.frame.scope, self.before
        if self.revise(made):
            return True
        self.frame.scope = end
        return False

    def _attempt(self) -> tuple[Node, Scope]:
        """Compile the body once, with what is carried so far."""
        frame = self.frame
        frame.scope = self.before
        starts = [self._start(name, type_) for name, type_ in self.carried.items()]
        made = frame.node("prim::Loop", [self.trip, self.first, *starts])
        block = made.add_block()
        index = block.add_param(INT)
        scope: Scope = {**self.before, SKIP: False, STOP: False}
        scope.update({name: Unbound(reason) for name, reason in self.conflicts.items()})
        for (name, type_), value in zip(self.carried.items(), starts, strict=True):
            scope[name] = param = block.add_param(type_)
            name_value(param, name)
            frame.unit.untyped.follow(param, value)
        scope[RETURNED] = False  # or there would be no such iteration
        frame.scope = dict(scope)
        with frame.inside(block):
            self.body(index)
            if frame.scope[DEAD] is False:
                self._materialize_objects(scope)
            self._add_condition(block)
        return made, scope

    def _start(self, name: str, type_: Type) -> Value:
        binding = (
            None if name == RESULT else self.before.get(name)
        )  # nothing was returned before the loop
        if isinstance(binding, Value):
            return binding
        if isinstance(binding, bool):
            return self.frame.constant(binding)
        if name.endswith("?") or name == BROKE:
            return self.frame.constant(False if name == BROKE else name[:-1] in self.before)
        return self.frame.uninitialized(type_)

    def _add_condition(self, block: Block) -> None:
        """The block's first return: whether to go on."""
        frame, stop = self.frame, self.frame.scope[STOP]
        frame.scope[BROKE] = stop
        go_on: bool | Value = not stop
        if isinstance(stop, Value):
            name = "$again"

            def ended() -> None:
                frame.scope[name] = False

            def test() -> None:
                frame.scope[name] = self.again() if self.again else True

            conditional(frame, stop, ended, test)
            found = frame.scope.pop(name)
            assert isinstance(found, bool | Value)
            go_on = found
        elif not stop and self.again:
            go_on = self.again()
        block.add_return(frame.constant(go_on) if isinstance(go_on, bool) else go_on)

    def _settle(self, end: Scope, start: Scope) -> bool:
        """Compare the scope at the body's end with the one at its start; True when another attempt
        is needed.
        """
        if end[DEAD] is True:
            return False
        names = [RETURNED, RESULT, *(n for n in self.before if n.startswith(OBJECT))]
        left = [n for n in end if n.endswith(LIVE) and n not in start and self._existed(n)]
        if left:
            self._leave(left)
            return True
        lasting = [n for n in self.stored if end[RETURNED] is not True or n in self.frame.lent]
        names += [key for name in lasting for key in (name, f"{name}?")]
        changes = [self._settle_name(name, end.get(name), start) for name in names]
        if (
            getattr(self.node, "orelse", None)
            and end.get(BROKE) is not False
            and BROKE not in self.carried
        ):
            self.carried[BROKE] = BOOL
            return True
        return any(changes)

    def _existed(self, live: str) -> bool:
        """Whether the object whose Python object this is was made before the loop."""
        return any(n.startswith(live.removesuffix(LIVE)) for n in self.before)

    def _leave(self, lives: Sequence[str]) -> None:
        """Objects that leave compiled code in the loop leave it in front of the loop."""
        for live in lives:
            self._in_front(self.frame.unit.instances[live])
            for name in [n for n in self.carried if n.startswith(live.removesuffix(LIVE))]:
                del self.carried[name]

    def _in_front(self, instance: Instance) -> Value:
        """The Python object of an instance, made in front of the loop."""
        end, self.frame.scope = self.frame.scope, self.before
        made = self.frame.require(instance)
        self.frame.scope = end
        return made

    def _materialize_objects(self, starts: Scope) -> None:
        """Objects that the body puts into carried variables are Python objects from then on."""
        for name in (*self.stored, RESULT):
            binding = self.frame.scope.get(name)
            is_carried = name == RESULT or name in self.before
            is_other = isinstance(binding, Instance) and starts.get(name) is not binding
            if is_carried and is_other and isinstance(binding, Instance):
                self.frame.scope[name] = self.frame.require(binding)

    def _settle_name(self, name: str, end: Binding | None, start: Scope) -> bool:
        begin = start.get(name)
        if end is begin or name in self.conflicts or (not isinstance(end, Value) and end == begin):
            return False
        if name == RETURNED:
            return name not in self.carried and self._carry(name, BOOL)
        if name.endswith("?"):
            return (
                self._carry(name, BOOL)
                if isinstance(end, Value) and name not in self.carried
                else False
            )
        if isinstance(end, bool | Value):
            type_ = BOOL if isinstance(end, bool) else end.type
            if name in self.carried:
                return self._widen(name, type_)
            if begin is None or isinstance(begin, bool) or name == RESULT:
                return self._adopt(name, type_)
            if name.startswith(OBJECT) and isinstance(begin, Value):
                self.carried[name] = begin.type
                return self._widen(name, type_) or True
        if isinstance(begin, Instance) and isinstance(end, Value):
            self.before[name] = made = self._in_front(begin)
            self.carried[name] = made.type
            return self._widen(name, end.type) or True
        return self._conflict(name, "what it holds changes in the loop")

    def _adopt(self, name: str, type_: Type) -> bool:
        """A name that the body binds and nothing bound before: carried when something outside may
        read it.
        """
        if name in (RETURNED, RESULT):
            return self._carry(name, type_)
        is_loaded = name in loaded_names(self.frame.source.node, outside=self.node)
        if not is_loaded and name not in self.frame.unbound | self.frame.lent:
            return False
        self._carry(f"{name}?", BOOL)
        return self._carry(name, type_)

    def _carry(self, name: str, type_: Type) -> bool:
        self.carried[name] = type_
        return True

    def _widen(self, name: str, type_: Type) -> bool:
        begin = self.before.get(name)
        if isinstance(begin, Value) and begin in self.opened and begin.type != self.carried[name]:
            self.opened.discard(begin)
            return self._carry(name, begin.type)  # an empty list that has found its type
        joined = merge_types(self.carried[name], type_)
        if joined == self.carried[name]:
            return False
        return self._carry(name, joined)

    def _conflict(self, name: str, reason: str) -> bool:
        self.carried.pop(name, None)
        self.carried.pop(f"{name}?", None)
        self.conflicts[name] = reason
        return True

    def _close(self, made: Node) -> None:
        """Add the carried values as returns and outputs, and set the scope after the loop."""
        frame, end = self.frame, self.frame.scope
        (block,) = made.blocks
        after = dict(self.before)
        after.update({name: Unbound(reason) for name, reason in self.conflicts.items()})
        with frame.inside(block):
            for name, type_ in self.carried.items():
                block.add_return(self._end_value(end, name, type_))
        for name, type_ in self.carried.items():
            after[name] = output = made.add_output(type_)
            name_value(output, name)
        for output, param in zip(made.outputs, block.params[1:], strict=True):
            output.type = param.type  # an empty list may have found its type in the body
            frame.unit.untyped.follow(output, param)
        frame.scope = after
        self.broke = after.pop(BROKE, False)
        _leave_loop(frame)

    def _end_value(self, end: Scope, name: str, type_: Type) -> Value:
        binding = end.get(name)
        if name.endswith("?") and binding is None:
            binding = name[:-1] in end
        if isinstance(binding, bool):
            return self.frame.constant(binding)
        return binding if isinstance(binding, Value) else self.frame.uninitialized(type_)
