"""Branches and merges: how the scope becomes SSA.

    conditional      two scopes start as copies of the one before; where they differ in the end,
                     `prim::If` gets an output of the joined type. A branch that raised or returned
                     contributes no variables.
    select           the same for an expression.

A name bound on one path only stays readable: its flag `name?` says at run time whether it is
bound, and a read of it first tests the flag and raises UnboundLocalError as Python would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from ir import BOOL, Block, Node, Type, Value, field, record
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
)
from jit.script.merging import merge_types
from jit.script.values import ITERABLES, ChoiceOf, Instance, Operand, Static, Unbound

FLAGS = (SKIP, STOP, RETURNED)
_LASTING = frozenset((*FLAGS, RESULT))


@contextmanager
def local_to(frame: Frame, names: Iterable[str]) -> Iterator[None]:
    """Names that mean something else for a while: the variables of a comprehension."""
    hidden = {name: frame.scope.get(name) for name in names}
    yield
    for name, binding in hidden.items():
        frame.scope.pop(name, None)
        if binding is not None:
            frame.scope[name] = binding


@record(frozen=False)
class Branch:
    """One block of an If under construction and the scope at its end."""

    block: Block
    scope: Scope

    @property
    def is_dead(self) -> bool:
        """It raises on every path."""
        return self.scope[DEAD] is True

    @property
    def is_spent(self) -> bool:
        """Its variables are of no use afterwards."""
        return self.is_dead or self.scope[RETURNED] is True

    @property
    def exits(self) -> bool:
        """Control leaves the statement list on every path, other than by raising."""
        return self.scope[SKIP] is True and not self.is_dead


def _outlives(frame: Frame, name: str) -> bool:
    """Whether a variable matters after a return: flags, the result, fields of objects, variables
    of an enclosing function.
    """
    return name in _LASTING or name.startswith(OBJECT) or name.removesuffix("?") in frame.lent


def run_branch(frame: Frame, node: Node, before: Scope, body: Callable[[], None]) -> Branch:
    """Compile `body` into a new block of `node`, starting from a copy of the scope `before`."""
    branch = Branch(node.add_block(), dict(before))
    extend_branch(frame, branch, body)
    return branch


def extend_branch(frame: Frame, branch: Branch, body: Callable[[], None]) -> None:
    """Compile `body` at the end of a branch."""
    outer, frame.scope = frame.scope, branch.scope
    try:
        with frame.inside(branch.block):
            body()
    finally:
        branch.scope, frame.scope = frame.scope, outer


def conditional(
    frame: Frame, condition: Value, then: Callable[[], None], orelse: Callable[[], None]
) -> None:
    """Compile both bodies under a run-time condition and merge their scopes."""
    node = frame.node("prim::If", [condition])
    branches = [run_branch(frame, node, frame.scope, body) for body in (then, orelse)]
    merge(frame, node, branches[0], branches[1])


def select(
    frame: Frame,
    condition: Value,
    then: Callable[[], Operand],
    orelse: Callable[[], Operand],
) -> Operand:
    """The operand of one of two expressions, by a run-time condition."""
    name = f"$select{len(frame.scope)}"

    def store(read: Callable[[], Operand]) -> Callable[[], None]:
        def body() -> None:
            frame.scope[name] = read()

        return body

    conditional(frame, condition, store(then), store(orelse))
    result = frame.scope.pop(name)
    assert not isinstance(result, bool)
    if isinstance(result, Unbound):
        raise frame.mismatch(f"the two sides do not have one type: {result.reason}")
    return result


def merge(frame: Frame, node: Node, a: Branch, b: Branch) -> None:
    """Set the frame's scope to what holds after an If whose branches have ended."""
    before = frame.scope
    if a.is_dead and b.is_dead:
        frame.scope = {**before, **dict.fromkeys((DEAD, SKIP, STOP), True)}
        return
    after: Scope = {DEAD: False}
    merger = _Merger(frame, node, before, a, b)
    spent = a.is_spent and b.is_spent
    for name in dict.fromkeys((*a.scope, *b.scope)):
        if spent and not _outlives(frame, name):
            if name in before:
                after[name] = before[name]
        elif (left := a.scope.get(name)) is b.scope.get(name) and left is not None:
            after[name] = left
        elif name != DEAD:
            merger.merge_name(name, after)
            name_value(after.get(name), name)
    if frame.unit.objects:
        for name in (*a.scope, *b.scope):
            if name.endswith(LIVE) and name not in after:  # became an object while merging
                after[name] = Unbound("it left compiled code on one path only")
    frame.scope = after


@record(frozen=False)
class _Merger:
    frame: Frame
    node: Node
    before: Scope
    a: Branch
    b: Branch
    made: dict[tuple[Binding, Binding | None, bool], Value] = field(default_factory=dict)

    def merge_name(self, name: str, after: Scope) -> None:
        """Decide what `name`, which means two things, means after the If."""
        left, right = self.a.scope.get(name), self.b.scope.get(name)
        for branch, other in ((self.a, self.b), (self.b, self.a)):
            gone = branch.is_dead if _outlives(self.frame, name) else branch.is_spent
            if gone:
                if name in other.scope:
                    after[name] = self._from_one(name, other, branch)
                return
        if left is None or right is None:
            self._half_bound(name, after)
        else:
            after[name] = self._both(name, left, right)

    def _from_one(self, name: str, branch: Branch, other: Branch) -> Binding:
        """Only `branch` reaches the end: its binding holds, made an output when the branch made
        it.
        """
        binding = branch.scope[name]
        before = self.before.get(name)
        if not isinstance(binding, Value) or binding is before:
            return binding
        if isinstance(before, Value) and self._root(binding) is self._root(before):
            return self.frame.cast(before, binding.type)  # a refinement, repeated outside
        return self._export(binding.type, binding, branch, None, other)

    def _both(self, name: str, left: Binding, right: Binding) -> Binding:
        if not isinstance(left, Value) and left == right:
            return left
        before = self.before.get(name)
        if isinstance(left, Value) and isinstance(right, Value) and isinstance(before, Value):
            root = self._root(before)
            if self._root(left) is root and self._root(right) is root:
                return before
        if any(isinstance(side, Instance | ITERABLES) for side in (left, right)):
            left, right = self._as_object(left, self.a), self._as_object(right, self.b)
        if isinstance(left, bool | Value) and isinstance(right, bool | Value):
            return self._join(name, left, right)
        if (
            isinstance(left, Static)
            and isinstance(right, Static)
            and Unbound not in (type(left), type(right))
        ):
            return ChoiceOf(self.node.inputs[0], left, right)
        described = [
            o.describe() if not isinstance(o, bool | Value) else "a value" for o in (left, right)
        ]
        return Unbound(f"it is {described[0]} on one path and {described[1]} on another")

    def _as_object(self, binding: Binding, branch: Branch) -> Binding:
        """An object made of variables, or what is gone over, as the Python object, where another
        one may be meant.
        """
        if not isinstance(binding, Instance | ITERABLES):
            return binding
        made: list[Value] = []
        extend_branch(self.frame, branch, lambda: made.append(self.frame.require(binding)))
        return made[0]

    def _join(self, name: str, left: bool | Value, right: bool | Value) -> Binding:
        self._settle_open(left, right)
        types = [BOOL if isinstance(x, bool) else x.type for x in (left, right)]
        joined = merge_types(types[0], types[1])
        if isinstance(left, bool) and isinstance(right, bool):
            return self._flag(left)
        return self._export(joined, left, self.a, right, self.b)

    def _settle_open(self, left: bool | Value, right: bool | Value) -> None:
        """An empty list or dict of open type takes that of the other path."""
        untyped = self.frame.unit.untyped
        for value, other in ((left, right), (right, left)):
            if not isinstance(value, Value) or not isinstance(other, Value):
                continue
            is_open = value in untyped and other not in untyped
            if is_open and type(value.type) is type(other.type):
                untyped.settle(value, other.type)

    def _flag(self, holds: bool) -> Value:
        """A flag that is `holds` on the first path and the opposite on the second: the condition
        itself.
        """
        condition = self.node.inputs[0]
        if holds:
            return condition
        key = (False, True, True)
        if key not in self.made:
            self.made[key] = self.frame.op("aten::__not__", condition)
        return self.made[key]

    def _half_bound(self, name: str, after: Scope) -> None:
        """Bound on one path: the flag `name?` tells which."""
        branch, other = (self.a, self.b) if name in self.a.scope else (self.b, self.a)
        binding = branch.scope[name]
        if name.endswith("?"):  # the other path knows for sure whether the name is bound
            after[name] = self._export(BOOL, binding, branch, name[:-1] in other.scope, other)
        elif name == RESULT:
            after[name] = (
                self._export(binding.type, binding, branch, None, other)
                if isinstance(binding, Value)
                else binding
            )
        elif isinstance(binding, Value) and name.isidentifier():
            after[name] = self._export(binding.type, binding, branch, None, other)
            if f"{name}?" not in branch.scope:
                after[f"{name}?"] = self._export(BOOL, True, branch, False, other)
        elif name.isidentifier() or name.endswith(LIVE):
            after[name] = Unbound("it is bound, or left compiled code, on one path only")

    def _export(
        self, type_: Type, left: Binding, a: Branch, right: Binding | None, b: Branch
    ) -> Value:
        """An output of the If: `left` from branch `a`, `right` (None: never read) from branch `b`.

        One output serves all names with the same pair, so that flags that are equal stay one value.
        """
        key = (left, right, a is self.a)
        if key not in self.made:
            for binding, branch in ((left, a), (right, b)):
                branch.block.add_return(self._materialize(binding, type_, branch.block))
            self.made[key] = self.node.add_output(type_)
        return self.made[key]

    def _materialize(self, binding: Binding | None, type_: Type, block: Block) -> Value:
        if isinstance(binding, Value):
            return binding
        with self.frame.inside(block):
            if binding is None:
                return self.frame.uninitialized(type_)
            assert isinstance(binding, bool)
            return self.frame.constant(binding)

    def _root(self, value: Value) -> Value:
        while value in self.frame.unit.refined:
            value = self.frame.unit.refined[value]
        return value


def check_bound(frame: Frame, name: str) -> None:
    """Test the flag of a variable that some paths do not bind."""
    flag = frame.scope[f"{name}?"]
    if not isinstance(flag, Value):
        return
    message = f"cannot access local variable '{name}' where it is not associated with a value"

    def fail() -> None:
        raise_exception(frame, UnboundLocalError, message)

    conditional(frame, flag, lambda: None, fail)
    frame.scope.pop(f"{name}?", None)


def raise_exception(
    frame: Frame, cls: type[BaseException], *arguments: str | Value | None
) -> None:
    """Raise on this path; nothing after it is reached."""
    given = [frame.constant(a) if isinstance(a, str) else a for a in arguments]
    frame.node("prim::RaiseException", [a for a in given if a is not None], exception=cls)
    for flag in (DEAD, SKIP, STOP):
        frame.scope[flag] = True
