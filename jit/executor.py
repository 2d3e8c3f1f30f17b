"""The tier state machine of one function: which tier serves a call that no native plan took.

    not plain (gradient, mode, subclass ...) ───► fallback, reason counted
    cold: fewer calls than `warm` ──────────────► fallback, observed
    new kind, or sizes that no plan covers ─────► specialize, compile, install; the plan answers
    limits reached, or refused before ──────────► fallback, reason counted
    `patience` of those in a row ───────────────► switched off: what misses every plan is forwarded
    plans of its kind in vain as often ─────────► retired, the kind is refused

The fallback is eager's behavior: the decorated Python function itself, or the interpreter for a
graph without one.

Laws
  * A call is never lost: whatever goes wrong before a plan runs, the fallback answers.
  * Nobody waits for a compilation: it holds the function's lock, and other threads that need it go
    to the fallback.
  * An installed plan is never freed, since a thread may be inside: plans that another one replaces
    are retired.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import codegen
from codegen import Refused
from ir import LateModule, TypeRuleError, field, record
from jit.collector import paused
from jit.fusion import StrictFusionError, budget, demand, is_optimizing, is_strict, note_compiled
from jit.given import Given, Role
from jit.job import Job
from jit.plainness import bailout_reason
from jit.reasons import REASONS, Counters, JitWarning

if TYPE_CHECKING:
    from ir import Graph, Span
    from jit import captures, profile, remembered
    from jit.call import Binding, Call, Source
    from jit.captures import Extra
    from jit.config import Config
    from jit.profile import History, Kind, Measured
    from jit.script.resolve import Capture
else:
    captures = LateModule("jit.captures")
    profile = LateModule("jit.profile")
    remembered = LateModule("jit.remembered")

_KINDS = 256  # kinds that a site remembers
_FINAL = (
    "plan limit",
    "size limit",
    "capture limit",
)  # bailouts that, like refusals, will not end by themselves


@record(frozen=False, eq=False)
class Compiled:
    """A plan with what it was made from and what that took."""

    site: Site
    kind: Kind
    job: Job
    guards: Sequence[str]
    """What a call must bring, as readable text."""
    plan: codegen.Plan
    seconds: float
    faults: int = 0
    """Faults of the plan that were counted."""


@record
class Refusal:
    """Why a kind of arguments has no plan: a row of the reason table, and what exactly was met."""

    reason: str
    message: str


@record(frozen=False, eq=False)
class Site:
    """The tier state of one graph (one combination of argument types): histories by kind, plans,
    refusals.
    """

    graph: Graph
    captures: Sequence[Capture]
    extras: Sequence[Extra]
    roles: Sequence[Role]
    is_held: Sequence[bool]
    """For each parameter of the function, whether it is an object that was known while scripting:
    no parameter of the graph.
    """
    state: Sequence[Capture] = ()
    """Those of the captures that are attributes, which can be read when the code runs as well."""
    histories: dict[Kind, History] = field(default_factory=dict)
    plans: dict[Kind, list[Compiled]] = field(default_factory=dict)
    refused: dict[Kind, Refusal] = field(default_factory=dict)
    calls: int = 0

    def is_current(self) -> bool:
        """Whether the captured names still mean what the graph was made from."""
        return captures.are_current(self.captures)

    def sources(self, binding: Binding) -> list[Source]:
        """Where a call has the values of the graph's parameters."""
        return [s for s, is_held in zip(binding.sources, self.is_held, strict=True) if not is_held]

    def held(self, binding: Binding) -> set[int]:
        """Where a call has the objects that were known while scripting."""
        pairs = zip(binding.sources, self.is_held, strict=True)
        return {s for s, is_held in pairs if is_held and isinstance(s, int)}

    def passed_roles(self, binding: Binding) -> list[Role]:
        """The role of each value passed."""
        found = [Role.NUMBER] * len(binding.names)
        for source, role in zip(self.sources(binding), self.roles, strict=True):
            for position in (
                (source,)
                if isinstance(source, int)
                else source
                if isinstance(source, tuple)
                else ()
            ):
                found[position] = role
        return found

    def extra_values(self) -> list[Any]:
        """The tensors that the graph reads itself, as they are now."""
        return [extra.read() for extra in self.extras]


class Executor:
    """Serves the calls that miss every plan of a function; `install` makes an address the
    function's entry, `compile_later` a compiled function of a part that plans call back.
    """

    def __init__(
        self,
        name: str,
        fallback: Callable[[Call], Any],
        config: Config,
        install: Callable[[int, object], None],
        compile_later: Callable[[Graph], Callable[..., Any]],
    ) -> None:
        self.name = name
        self.fallback = fallback
        self.config = config
        self.install = install
        self.compile_later = compile_later
        self.counters = Counters()
        self.compiled: list[Compiled] = []
        """Everything ever compiled, in order."""
        self.chain: list[Compiled] = []
        """The plans that calls try, in order."""
        self.refused = 0
        """Calls in a row that were refused for good."""
        self.is_off = False
        self.lock = threading.RLock()
        _ALL.add(self)

    def run(self, site: Site, call: Call) -> Any:
        """Serve one call."""
        try:
            extras = site.extra_values()
        except LookupError:
            return self.bail("guard missed", call)
        values = (*call.passed, *extras)
        reason = bailout_reason(values) or self._advance(site, call, values)
        return call.again() if reason is None else self.bail(reason, call)

    def bail(self, reason: str, call: Call) -> Any:
        """Let the fallback answer; the reason is counted."""
        self.count(reason)
        return self.fallback(call)

    def count(self, reason: str) -> None:
        """Note why a call goes to the fallback."""
        self.counters.count(reason)
        is_final = reason in _FINAL or REASONS[reason].kind == "refuse"
        self.refused = self.refused + 1 if is_final else 0
        if self.refused == self.config.patience:
            self.switch_off()

    def switch_off(self) -> None:
        """From now on forward what misses every plan."""
        self.is_off = True
        self.counters.count("switched off")
        self.log(REASONS["switched off"].message)
        self._link()

    def retire(self, sites: Sequence[Site]) -> None:
        """Let no call try the plans of these sites any more."""
        with self.lock:
            self.chain = [c for c in self.chain if c.site not in sites]
            self._link()

    def _advance(self, site: Site, call: Call, values: Sequence[Any]) -> str | None:
        """Observe a plain call and compile when its time has come; None when a plan for it is in
        place, else why not.
        """
        if not self.lock.acquire(blocking=False):
            return "being compiled"
        try:
            kind, measures = self._observe(site, call, values)
            refusal = site.refused.get(kind)
            return (
                refusal.reason
                if refusal is not None
                else self._decide(site, call, values, kind, measures)
            )
        finally:
            self.lock.release()

    def _observe(self, site: Site, call: Call, values: Sequence[Any]) -> tuple[Kind, Measured]:
        roles = site.passed_roles(call.binding) + [Role.NUMBER] * len(site.extras)
        kind, measures = profile.observe(values, roles)
        site.calls += 1
        return (call.binding.shape, *kind), measures

    def _decide(
        self, site: Site, call: Call, values: Sequence[Any], kind: Kind, measures: Measured
    ) -> str | None:
        history = site.histories.get(kind)
        if history is None:
            if len(site.histories) >= _KINDS:
                return "plan limit"
            history = site.histories[kind] = profile.History(measures)
        is_refined = history.add(measures)
        if site.calls <= self.config.warm:
            return "observing"
        if not is_optimizing():
            return "not optimizing"
        plans = site.plans.get(kind, [])
        if measures in history.covered and not is_refined:
            return self._missed(site, kind, plans)
        return self._limit(history, plans) or self._compile(
            site, call, values, kind, measures, is_refined
        )

    def _missed(self, site: Site, kind: Kind, plans: Sequence[Compiled]) -> str:
        """Why a call came back from plans that were made for its kind and sizes. Plans that come
        back more often than they serve are given up.
        """
        faults = sum(c.plan.faults for c in plans)
        reason = "fault" if faults > sum(c.faults for c in plans) else "guard missed"
        for compiled in plans:
            compiled.faults = compiled.plan.faults
        history = site.histories[kind]
        history.missed += 1
        served = sum(c.plan.hits for c in plans)
        if history.missed < self.config.patience or history.missed <= served:
            return reason
        self.chain = [c for c in self.chain if c not in plans]
        self._link()
        text = f"{served} calls served, {history.missed} came back, the last one with a {reason}"
        return self._refuse(site, kind, "in vain", text)

    def _limit(self, history: History, plans: Sequence[Compiled]) -> str | None:
        if history.compilations >= budget(self.config.respecialize):
            return "size limit"
        return None if plans or len(self.chain) < self.config.plans else "plan limit"

    def _compile(
        self,
        site: Site,
        call: Call,
        values: Sequence[Any],
        kind: Kind,
        measures: Measured,
        is_refined: bool,
    ) -> str | None:
        """Make a plan for calls like this one."""
        history = site.histories[kind]
        start = time.perf_counter()
        try:
            with paused():
                job = self._job(site, call, values, kind, measures)
                found = None if is_strict(site.graph) else remembered.find(job)
                plan, lines = found or remembered.make(job)
                job.settle()
        except TypeRuleError as error:
            self.log(f"not compiled: {error}")
            return "eager refuses"
        except Refused as refusal:
            if is_strict(site.graph):
                text = f"{self.name} does not compile natively: {refusal}"
                span = refusal.node.span if refusal.node is not None else None
                raise StrictFusionError(text, span) from None
            return self._refuse(site, kind, refusal.reason, str(refusal))
        except Exception as error:  # noqa: BLE001  the law of lost calls: a bug of ours is reported, and eager answers
            text = f"{type(error).__name__}: {error}"
            warnings.warn(
                f"the compiler failed on {self.name}, which goes on in eager mode: {text}",
                JitWarning,
                stacklevel=2,
            )
            return self._refuse(site, kind, "compiler error", text)
        if is_strict(site.graph):
            demand(self.name, _callbacks(plan))
        note_compiled(lambda: job.specialized().graph)
        history.cover(measures, is_refined)
        seconds = time.perf_counter() - start
        self.log(f"compiled in {seconds * 1e3:.0f} ms: {plan.kernel_count} kernels")
        self._install(Compiled(site, kind, job, lines, plan, seconds), is_refined)
        return None

    def _job(
        self, site: Site, call: Call, values: Sequence[Any], kind: Kind, measures: Measured
    ) -> Job:
        binding, count = call.binding, len(call.passed)
        return Job(
            site.graph,
            site.sources(binding),
            Given(call.passed, binding.names, site.passed_roles(binding), site.held(binding)),
            list(zip(site.extras, values[count:], strict=True)),
            kind,
            site.histories[kind],
            measures,
            captures.guards(site.captures),
            binding.shape[1],
            self.compile_later,
        )

    def _refuse(self, site: Site, kind: Kind, reason: str, message: str) -> str:
        self.log(f"refused: {message}")
        site.refused[kind] = Refusal(reason, message)
        return reason

    def _install(self, made: Compiled, is_refined: bool) -> None:
        """Put a plan in front of the chain; it replaces those of its kind that it generalizes."""
        plans = made.site.plans.setdefault(made.kind, [])
        if is_refined:
            self.chain = [c for c in self.chain if c not in plans]
            plans.clear()
        plans.insert(0, made)
        self.compiled.append(made)
        self.chain.insert(0, made)
        self.refused, self.is_off = 0, False
        self._link()

    def _link(self) -> None:
        """Let each plan miss to the next one, and make the first one the entry."""
        following = codegen.forward_entry() if self.is_off else codegen.slow_entry()
        for made in reversed(self.chain):
            following = made.plan.install(following)
        self.install(following, self.chain[0].plan if self.chain else None)

    def log(self, text: str) -> None:
        """One line on stderr, when the knob `log` is on."""
        if self.config.log:
            print(f"[jit] {self.name}: {text}", file=sys.stderr)

    def renew_locks(self) -> None:
        """After a fork: threads that held them are gone."""
        self.lock = threading.RLock()
        self.counters.renew_lock()


def _callbacks(plan: codegen.Plan) -> Iterator[tuple[str, Span | None]]:
    """What a plan calls back instead of computing it, and where it stands."""
    for place in codegen.places(plan):
        if place.tier == "callback":
            yield f"{place.node.name} is called back: {place.reason}", place.node.span


_ALL: weakref.WeakSet[Executor] = weakref.WeakSet()


def _renew_locks() -> None:
    for executor in _ALL:
        executor.renew_locks()


os.register_at_fork(after_in_child=_renew_locks)
