"""Loops in LLVM: open scopes, counted loops with carried lanes, vector loops with a masked rest.

Every open loop is a `Scope` whose block stays unterminated while inner loops are being emitted, so
code that does not depend on an inner loop can still be put in front of it.

Laws
  * A block is closed by whoever opened it; `Scope.block` is where the next instruction of that
    scope goes.
  * The builder only moves between scopes through `at`, which notes how far the scope that it leaves
    has come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import llvmlite.ir as ll

from codegen.index import Var
from codegen.lanes.lanes import Lane, Lanes
from ir import field, record

I64 = ll.IntType(64)
Key = tuple[object, ...]
Body = Callable[[Sequence[Lane]], Sequence[Lane]]


@record(frozen=False, eq=False)
class Scope:
    """An open loop or conditional body: where its next instruction goes, and the lanes and offsets
    computed in it.
    """

    block: ll.Block
    lanes: dict[Key, Lane] = field(default_factory=dict)
    offsets: dict[Key, ll.Value] = field(default_factory=dict)


class LoopEmitter:
    """Emits loops into one function. `position` and `depth` give each open loop variable's value
    and scope; `mask` holds the
    live lanes inside the rest of a vector loop."""

    def __init__(
        self, function: ll.Function, width: int, instructions: frozenset[str] = frozenset()
    ) -> None:
        self.function = function
        self.b = ll.IRBuilder(function.append_basic_block("entry"))
        self.s = Lanes(self.b, width, instructions)
        self.width = width
        self.scopes = [Scope(self.b.block)]
        self.current = 0
        self.position: dict[Var, ll.Value] = {}
        self.depth: dict[Var, int] = {}
        self.mask: Lane | None = None
        self._outside: list[
            tuple[ll.Value | None, int]
        ] = []  # what the variables of open scopes meant before

    # scopes ---------------------------------------------------------------------------------------
    def at(self, depth: int) -> Scope:
        """Go on emitting in the scope at a depth (-1: the innermost)."""
        self.scopes[self.current].block = self.b.block
        self.current = depth % len(self.scopes)
        scope = self.scopes[self.current]
        self.b.position_at_end(scope.block)
        return scope

    @contextmanager
    def emitting(self, depth: int) -> Iterator[None]:
        """Put instructions into the scope at a depth, then return to where we were."""
        back = self.current
        self.at(depth)
        yield
        self.at(back)

    def _enter(self, var: Var, value: ll.Value, block: ll.Block) -> None:
        self.scopes.append(Scope(block))
        self._outside.append((self.position.get(var), self.depth.get(var, 0)))
        self.position[var], self.depth[var] = value, len(self.scopes) - 1
        self.at(-1)

    def _leave(self, var: Var) -> tuple[ll.Block, Scope]:
        """Close the innermost scope: its last block, and the parent scope, where the builder now
        stands.
        """
        inner = self.at(-1)
        self._restore(var, *self._outside.pop())
        self.current -= 1
        self.scopes.pop()
        last = inner.block
        parent = self.scopes[-1]
        self.b.position_at_end(parent.block)
        return last, parent

    def _restore(self, var: Var, value: ll.Value | None, depth: int) -> None:
        if value is None:
            del self.position[var], self.depth[var]
        else:
            self.position[var], self.depth[var] = value, depth

    def _continue(self, block: ll.Block) -> None:
        """The innermost scope goes on in `block`."""
        self.b.position_at_end(block)
        self.scopes[self.current].block = block

    # loops ----------------------------------------------------------------------------------------
    def loop(
        self,
        var: Var,
        start: ll.Value,
        stop: ll.Value,
        step: int,
        carried: Sequence[Lane],
        body: Body,
        unroll: int = 1,
        last: int | None = None,
    ) -> list[Lane]:
        """for (var = start; var + step <= stop; var += step); `carried` lanes go round. `body`
        emits into the loop's scope. A known number of iterations up to `unroll` needs no loop.
        The body sees no position beyond `last`, if that is given.
        """
        trips = _static_trips(start, stop, step)
        if trips is not None and trips <= unroll:
            for trip in range(trips):
                at = start.constant + trip * step
                at = at if last is None else min(at, last)
                carried = self.once(var, I64(at), carried, body)
            return list(carried)
        header = self.function.append_basic_block(f"loop.{var}")
        at_header = ll.IRBuilder(header)
        counter = at_header.phi(I64)
        phis = [at_header.phi(lane.value.type) for lane in carried]
        self._enter(var, counter, header)
        if last is not None:
            is_inside = self.b.icmp_signed("<", counter, I64(last))
            self.position[var] = self.b.select(is_inside, counter, I64(last))
        after = body([Lane(self.s, p, lane.dtype) for p, lane in zip(phis, carried, strict=True)])
        following = self.b.add(counter, I64(step), flags=("nsw",))
        more = self.b.icmp_signed("<=", self.b.add(following, I64(step), flags=("nsw",)), stop)
        done = self.function.append_basic_block(f"done.{var}")
        self.b.cbranch(more, header, done)
        latch, _ = self._leave(var)
        before = self.b.block
        if trips is None:
            self.b.cbranch(
                self.b.icmp_signed("<=", self.b.add(start, I64(step)), stop), header, done
            )
        else:
            self.b.branch(header)
        counter.add_incoming(start, before)
        counter.add_incoming(following, latch)
        for phi, first, then in zip(phis, carried, after, strict=True):
            phi.add_incoming(first.value, before)
            phi.add_incoming(then.value, latch)
        self._continue(done)
        return list(after) if trips is not None else self._merge(carried, before, after, latch)

    def _merge(
        self,
        first: Sequence[Lane],
        first_block: ll.Block,
        second: Sequence[Lane],
        second_block: ll.Block,
    ) -> list[Lane]:
        merged = []
        for a, b in zip(first, second, strict=True):
            phi = self.b.phi(a.value.type)
            phi.add_incoming(a.value, first_block)
            phi.add_incoming(b.value, second_block)
            merged.append(Lane(self.s, phi, a.dtype))
        return merged

    def once(self, var: Var, value: ll.Value, carried: Sequence[Lane], body: Body) -> list[Lane]:
        """One iteration, without a loop."""
        block = self.function.append_basic_block(f"once.{var}")
        self._enter(var, value, block)
        after = list(body(carried))
        last, _ = self._leave(var)
        self.b.branch(block)
        self._continue(last)
        return after

    def vector_loop(
        self,
        var: Var,
        step: int,
        start: ll.Value,
        stop: ll.Value,
        carried: Sequence[Lane],
        body: Body,
        unroll: int = 1,
        head: ll.Value | None = None,
    ) -> list[Lane]:
        """Whole vectors of `step` elements, then what is left under a mask; so are the first
        `head` elements (fewer than `step`), if that is given.
        """
        if head is not None:
            after = self.b.add(start, head)
            exists = self.b.icmp_signed(">", head, I64(0))
            carried = self._masked(var, start, after, carried, body, exists)
            start = after
        lanes = self.loop(var, start, stop, step, carried, body, unroll)
        if step == 1:
            return lanes
        if isinstance(start, ll.Constant) and isinstance(stop, ll.Constant):
            count = stop.constant - start.constant
            if count % step == 0:
                return lanes
            return self._masked(
                var, I64(start.constant + count // step * step), stop, lanes, body, None
            )
        rest = self.b.add(start, self.b.and_(self.b.sub(stop, start), I64(-step)))
        return self._masked(var, rest, stop, lanes, body, self.b.icmp_signed("<", rest, stop))

    def _masked(
        self,
        var: Var,
        value: ll.Value,
        stop: ll.Value,
        carried: Sequence[Lane],
        body: Body,
        condition: ll.Value | None,
    ) -> list[Lane]:
        """The last, partial vector; `condition` None when it is known to exist."""
        block = self.function.append_basic_block(f"rest.{var}")
        self._enter(var, value, block)
        saved, self.mask = self.mask, self.s.tail_mask(self.b.sub(stop, value))
        after = list(body(carried))
        self.mask = saved
        last, _ = self._leave(var)
        if condition is None:
            self.b.branch(block)
            self._continue(last)
            return after
        before = self.b.block
        done = self.function.append_basic_block(f"whole.{var}")
        self.b.cbranch(condition, block, done)
        ll.IRBuilder(last).branch(done)
        self._continue(done)
        return self._merge(carried, before, after, last)


def _static_trips(start: ll.Value, stop: ll.Value, step: int) -> int | None:
    if isinstance(start, ll.Constant) and isinstance(stop, ll.Constant):
        return int(max(stop.constant - start.constant, 0) // step)
    return None
