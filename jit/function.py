"""`ScriptFunction`: a Python function (or graph) behind a native entry.

A call goes to the newest plan by a C function pointer in the object; what no plan serves, and all
calls before the first plan, arrive in `_call_slow`, which binds arguments, finds the graph for
their types, and leaves the rest to the executor.
"""

from __future__ import annotations

import copy
import enum
import functools
import importlib
import inspect
import pickle
import threading
import types
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import codegen
import ir
from codegen import NativeCallable, set_entry
from ir import CompileError, LateModule
from jit.archive.form import FunctionForm
from jit.archive.saveable import Saveable
from jit.call import (
    Binding,
    Call,
    Shape,
    bind,
    bind_wrapped,
    is_open,
    is_wrapper,
    own_signature,
)
from jit.collector import paused
from jit.config import DEFAULT, Config
from jit.executor import Executor, Refusal, Site
from jit.members import Members
from jit.numpy_bridge import as_given, as_torch, has_numpy, makes_tensors, names_numpy
from jit.plainness import bailout_reason
from jit.reasons import JitWarning
from jit.script import compile_function
from jit.script.compiled import CompiledSource
from jit.trace.active import is_tracing

if TYPE_CHECKING:
    from ir import Graph
    from jit import captures, misfit, roles, state
    from jit.script import annotate, overloads
    from jit.state import Place
    from jit.trace import tracer
else:
    captures = LateModule("jit.captures")
    misfit = LateModule("jit.misfit")
    roles = LateModule("jit.roles")
    state = LateModule("jit.state")
    annotate = LateModule("jit.script.annotate")
    overloads = LateModule("jit.script.overloads")
    tracer = LateModule("jit.trace.tracer")

# Types of arguments, of an open function with the shape of the call; None: those of a graph of
# fixed types.
Key = tuple[object, ...] | None
_SIGNATURES = 64  # combinations of argument types that one function is scripted for


class ScriptFunction(NativeCallable, Members, Saveable):
    """A compiled function. Calls are thread-safe; it pickles and copies as the function that it was
    made from.
    """

    def __init__(
        self,
        function: Callable[..., Any] | None,
        graph: Graph | None = None,
        *,
        config: Config = DEFAULT,
        signature: inspect.Signature | None = None,
        is_strict: bool = False,
        reads_state: bool = False,
        is_frozen: bool = False,
        is_part: bool = False,
    ) -> None:
        """`function` is what eager runs (None when there is only a graph); `graph` fixes the types
        and answers when no plan does, else each combination of argument types is scripted at its
        first call. With `is_strict` a construct outside the language is an error; with
        `reads_state` attributes of modules are read as TorchScript reads them (see `script.state`).
        `signature` has the defaults of a graph's parameters. The tensor constants of a graph that
        `is_frozen` are its own: plans hold them. A graph that `is_part` of another function gets
        None for variables that are not set yet.
        """
        if function is not None:
            self.__name__ = self.__qualname__ = type(function).__qualname__  # of nameless callables
            is_plain = isinstance(function, types.FunctionType)
            functools.update_wrapper(self, function, updated=("__dict__",) if is_plain else ())
        else:
            assert graph is not None
            self.__name__ = self.__qualname__ = graph.name
        self.__defaults__ = getattr(function, "__defaults__", None)
        self.__kwdefaults__ = getattr(function, "__kwdefaults__", None)
        self._function = function
        self._graph = graph
        self._is_strict = is_strict
        self._reads_state = reads_state
        self._is_frozen = is_frozen
        self._is_part = is_part
        self._signature = signature or (
            own_signature(function) if function is not None else _signature_of(graph)
        )
        self._bindings: dict[Shape, Binding] = {}
        self._is_open = graph is None and is_open(function)
        self._sites: dict[Key, list[Site]] = {}
        self._refused: dict[Key, Refusal] = {}
        self._varying: set[Place] = set()
        self._lock = threading.RLock()
        self._interpreter = ir.Interpreter(graph) if graph is not None else None
        self._names_numpy = names_numpy(function)
        target = function if graph is None else self._serve
        assert target is not None
        self._target: Callable[..., Any] = target
        self.executor = Executor(
            self.__name__,
            self._fall_back,
            config,
            self._install,
            lambda part: ScriptFunction(None, part, config=config, is_part=True),
        )

    # --- calls ---

    def _call_slow(self, *args: Any, **kwargs: Any) -> Any:
        """Serve a call that no plan took."""
        passed = (*args, *kwargs.values()) if kwargs else args
        reason = bailout_reason(passed)
        if reason is not None:
            self.executor.count(reason)
            return self._target(*args, **kwargs)
        if has_numpy(passed):
            return self._call_numpy(args, kwargs)
        binding = self._bind((len(args), tuple(kwargs)), args, kwargs)
        call = Call(self, args, kwargs, passed, binding)
        call.fits = self._fits(call)
        if self._is_part and not call.fits:
            return self.executor.bail("unset variable", call)
        site = self._site(call)
        if isinstance(site, str):
            return self.executor.bail(site, call)
        return self.executor.run(site, call)

    __call__ = _call_slow  # where there is no entry yet, one Python call less

    def _call_numpy(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Serve a call with NumPy's arrays or numbers: as tensors, or by the function itself when
        there is no graph for them.
        """
        made, named = as_torch(args, kwargs)
        binding = self._bind((len(args), tuple(kwargs)), args, kwargs)
        site = self._site(Call(self, made, named, (*made, *named.values()), binding))
        if isinstance(site, str) and self._function is not None:
            self.executor.count(site)
            return self._function(*args, **kwargs)
        result = self(*made, **named)
        if makes_tensors(self._function):
            return result
        return as_given(result, (*args, *kwargs.values()))

    def _bind(self, shape: Shape, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Binding:
        """The binding of a call's shape; the TypeError of Python itself when it does not fit."""
        found = self._bindings.get(shape)
        if found is None:
            try:
                found = bind(self._signature, shape)
            except TypeError as error:
                self.executor.counters.count("call refused")
                if self._function is not None:
                    self._function(*args, **kwargs)  # raises, and says it in Python's own words
                raise TypeError(f"{self.__name__}() {error}") from None
            found = self._bindings[shape] = found.flat() if self._is_open else found
        return found

    def _fall_back(self, call: Call) -> Any:
        """Eager's behavior: the Python function; the interpreter for a graph of fixed types."""
        if self._interpreter is not None and (call.fits or self._is_part):
            return self._interpreter.run(*call.bound)
        if self._names_numpy and isinstance(site := self._site(call), Site):
            return ir.Interpreter(site.graph).run(*call.bound)
        assert self._function is not None
        function = self._target if self._graph is None else self._function
        return function(*call.args, **call.kwargs)

    def _serve(self, *args: Any, **kwargs: Any) -> Any:
        """The fallback for arguments as they come."""
        binding = self._bind((len(args), tuple(kwargs)), args, kwargs)
        call = Call(self, args, kwargs, (*args, *kwargs.values()), binding)
        if is_tracing() and self._graph is not None:  # sizes are no plain ints there
            return tracer.call_graph(self._graph, call.bound)
        call.fits = self._fits(call)
        return self._fall_back(call)

    def _fits(self, call: Call) -> bool:
        """Whether a graph of fixed types takes the call: else a parameter that declares no type has
        got something else than a tensor, and the function is scripted for it. TypeError for one
        that declares its type.
        """
        if self._graph is None:
            return True
        fits = True
        parameters = self._signature.parameters.values()
        for parameter, formal, value in zip(
            parameters, self._graph.params, call.bound, strict=True
        ):
            text = misfit.misfit(formal.type, value, parameter.name)
            if text is None:
                continue
            is_open = parameter.annotation in (parameter.empty, None)  # None: a broadcasting list
            is_unset = self._is_part and value is None
            if not is_unset and (self._function is None or not is_open):
                raise TypeError(f"{self.__name__}() expected {text}")
            fits = False
        return fits

    # --- graphs ---

    def _site(self, call: Call) -> Site | str:
        """The tier state for these argument types and the present values of captured names; a
        reason when there is none.
        """
        bound = call.bound
        is_fixed = self._graph is not None and call.fits
        key: Key = None if is_fixed else tuple(map(_type_key, bound))
        binding = call.binding if self._is_open else None
        if binding is not None:
            key = (*map(_flag_or_type_key, bound), binding.shape)
        if key is not None and any(type(v) is list and not v for v in bound):
            found = self._with_elements(key, bound, binding)
            if found is None:
                return "empty list"
            key = found
        for site in self._sites.get(key, ()):
            if site.is_current():
                return site
        if key in self._refused:
            return self._refused[key].reason
        with self._lock, paused():
            return self._make_site(key, bound, binding)

    def _with_elements(
        self, key: tuple[object, ...], bound: Sequence[Any], binding: Binding | None
    ) -> Key:
        """The key where annotations tell the elements of empty lists; None where nothing does."""
        assert self._function is not None  # a graph alone has fixed types
        declared = annotate.annotated_types(self._function)
        names = self._signature.parameters if binding is None else binding.names
        found = list(key)
        for k, (name, value) in enumerate(zip(names, bound, strict=True)):
            if type(value) is list and not value:
                if not isinstance(declared.get(name), ir.ListType):
                    return None
                found[k] = declared[name]
        return tuple(found)

    def _make_site(self, key: Key, bound: Sequence[Any], binding: Binding | None) -> Site | str:
        if key not in self._sites and len(self._sites) >= _SIGNATURES:
            return "plan limit"
        sites = self._sites.setdefault(key, [])
        for site in sites:
            if site.is_current():
                return site
        if len(sites) >= self.executor.config.respecialize and not self._loosen(sites):
            return "capture limit"
        try:
            source = self._compile(key, bound, binding)
        except CompileError as error:
            if self._is_strict:
                raise
            return self._refuse(key, "not scriptable", error)
        except Exception as error:  # noqa: BLE001  a bug of ours is reported, and eager answers
            return self._refuse(key, "compiler error", error)
        sites.insert(0, self._new_site(source, key, len(bound)))
        return sites[0]

    def _loosen(self, sites: list[Site]) -> bool:
        """Let attributes that keep changing be read when the code runs, from now on; False when
        something else changes.
        """
        places = {(id(c.holder), c.key) for site in sites for c in site.state if not c.holds()}
        if not places - self._varying:
            return False
        self._varying |= places
        self.executor.retire(sites)
        sites.clear()
        return True

    def _new_site(self, source: CompiledSource, key: Key, arity: int) -> Site:
        graph = source.graph.copy()
        ir.PASSES["inline"].run(graph)  # called graphs hold tensors, too
        bound = state.bind_state(graph, self._varying)
        extras, kept = captures.split(graph, source.captures, bound.extras, self._is_frozen)
        is_held = [isinstance(k, _Identity) for k in key[:arity]] if key else [False] * arity
        kept += bound.captures
        return Site(graph, kept, extras, roles.roles(graph), is_held, bound.captures)

    def _compile(
        self, key: Key, bound: Sequence[Any], binding: Binding | None
    ) -> CompiledSource:
        """Script the function for argument types; objects are known while compiling."""
        if key is None:
            assert self._graph is not None
            return CompiledSource(self._graph, ())
        types_ = [k for k in key if isinstance(k, ir.Type)]
        names = self._signature.parameters if binding is None else binding.names
        known = {
            n: v
            for n, k, v in zip(names, key[: len(bound)], bound, strict=True)
            if isinstance(k, _Identity)
        }
        return compile_function(
            self._function, types_, bound=known, reads_state=self._reads_state, binding=binding
        )

    def _refuse(self, key: Key, reason: str, error: Exception) -> str:
        """Remember that these argument types have no graph; without any graph all calls go straight
        to the fallback.
        """
        self._refused[key] = Refusal(reason, str(error))
        code = getattr(self._function, "__code__", None)
        where = (code.co_filename, code.co_firstlineno) if code else ("<graph>", 1)
        warnings.warn_explicit(f"{self.__name__} runs in eager mode: {error}", JitWarning, *where)
        if not any(self._sites.values()):
            self.executor.is_off = True
            set_entry(self, codegen.forward_entry())
        return reason

    def _install(self, address: int, plan: object) -> None:
        set_entry(self, address, keep=plan)

    @property
    def graph(self) -> Graph:
        """The graph of the newest signature (scripted now when annotations tell the types)."""
        if self._graph is not None:
            return self._graph
        for sites in reversed(self._sites.values()):
            if sites:
                return sites[0].graph
        return compile_function(self._function, reads_state=self._reads_state).graph

    def archive_form(self) -> FunctionForm:
        """What an archive is made from: the graph for the annotated types."""
        function = self._function
        if function is not None and is_wrapper(function):
            signature, graph = self._wrapped_graph(function)
        else:
            signature, graph = self._signature, self._general_graph()
        parameters = signature.parameters.values()
        defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        return FunctionForm(graph, defaults, self._undeclared(graph))

    def _undeclared(self, graph: Graph) -> frozenset[str]:
        """The parameters that are tensors as nothing says what they are."""
        if self._function is None:
            return frozenset()
        declared = annotate.annotated_types(inspect.unwrap(self._function))
        names = {p.name for p in graph.params if p.name and p.type == ir.TENSOR}
        return frozenset(names - declared.keys())

    def _wrapped_graph(self, function: Callable[..., Any]) -> tuple[inspect.Signature, Graph]:
        """The graph of a wrapper for the declared parameters of what it wraps."""
        signature, binding = bind_wrapped(function)
        declared = annotate.annotated_types(inspect.unwrap(function))
        types_ = [declared.get(name, ir.TENSOR) for name in binding.names]
        compiled = compile_function(
            function, types_, binding=binding, reads_state=self._reads_state
        )
        return signature, compiled.graph

    def _general_graph(self) -> Graph:
        """A graph for all calls, those that leave out undeclared parameters included."""
        graph = self.graph
        if self._function is None:
            return graph
        types_ = overloads.undeclared_types(self._function)
        if not any(p.name in types_ and p.type == ir.TENSOR for p in graph.params):
            return graph
        return compile_function(
            self._function, untyped=types_, reads_state=self._reads_state
        ).graph

    @property
    def recorded_graph(self) -> Graph | None:
        """The graph of a trace; None for a function that has source."""
        return self._graph if self._function is None else None

    # --- explaining ---

    @property
    def sites(self) -> list[Site]:
        """The tier state of every combination of argument types."""
        return [site for sites in self._sites.values() for site in sites]

    @property
    def refusals(self) -> list[Refusal]:
        """Why argument types have no graph, or kinds of arguments no plan."""
        return [*self._refused.values(), *(r for site in self.sites for r in site.refused.values())]

    # --- being a function ---

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<compiled {self.__qualname__}>"

    def __reduce__(self) -> tuple[Any, ...]:
        if isinstance(self._function, types.MethodType):
            owner, name = self._function.__self__, self._function.__name__
            return _bind_again, (type(self), owner, name, *self._options())
        module, name = self.__module__, self.__qualname__
        if self._function is None:
            raise pickle.PicklingError(
                f"{name} is a graph without a Python function: save it with jit.save"
            )
        try:
            found = _find(module, name)
        except (ImportError, AttributeError) as error:
            raise pickle.PicklingError(
                f"cannot pickle {name}: it is not found as {module}.{name}"
            ) from error
        if found is not self and found is not self._function:
            raise pickle.PicklingError(f"cannot pickle {name}: {module}.{name} is another object")
        return (_restore, (module, name, *self._options()))

    def _options(self) -> tuple[Config, bool, bool]:
        return self.executor.config, self._is_strict, self._reads_state

    def __copy__(self) -> ScriptFunction:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> ScriptFunction:
        """A method is the copy's own method."""
        if not isinstance(self._function, types.MethodType):
            return self
        owner = copy.deepcopy(self._function.__self__, memo)
        method = types.MethodType(self._function.__func__, owner)
        config, is_strict, reads_state = self._options()
        return type(self)(method, config=config, is_strict=is_strict, reads_state=reads_state)


class _Identity:
    """An argument that is known while compiling, as a key: the object itself."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def _type_key(value: object) -> object:
    """The type of an argument; an object with a state of its own (a module, an instance) stands for
    itself.
    """
    type_ = ir.erased_type_of(value)
    return (
        _Identity(value)
        if isinstance(type_, ir.ObjectType) and not isinstance(value, enum.Enum)
        else type_
    )


def _flag_or_type_key(value: object) -> object:
    """The same for an open function, whose flags decide what it does with other arguments."""
    return _Identity(value) if isinstance(value, bool) else _type_key(value)


def _signature_of(graph: Graph | None) -> inspect.Signature:
    assert graph is not None
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    names = [
        v.name if v.name and v.name.isidentifier() else f"arg{k}"
        for k, v in enumerate(graph.params)
    ]
    return inspect.Signature([inspect.Parameter(name, kind) for name in names])


def _find(module: str, name: str) -> Any:
    """The object of a module and qualified name."""
    return functools.reduce(getattr, name.split("."), importlib.import_module(module))


def _bind_again(
    cls: type[ScriptFunction],
    owner: Any,
    name: str,
    config: Config,
    is_strict: bool,
    reads_state: bool,
) -> ScriptFunction:
    """The compiled method of an object that is being restored."""
    method = types.MethodType(getattr(type(owner), name), owner)
    return cls(method, config=config, is_strict=is_strict, reads_state=reads_state)


def _restore(module: str, name: str, config: Config, is_strict: bool, reads_state: bool) -> Any:
    """The compiled function of a reference: the module's own object when it is one, else its
    function compiled again.
    """
    found = _find(module, name)
    if isinstance(found, ScriptFunction):
        return found
    return ScriptFunction(found, config=config, is_strict=is_strict, reads_state=reads_state)
