"""A function of nested arguments and results around one of tensors: generated Python source.

    def call(x, mask=_d0):                         the traced function's own parameters
        if type(x) is not _k0 or x.keys() != _k1: _refuse(x, mask)
        if mask is not _k2: _refuse(x, mask)       what is no tensor is a constant of the trace
        _r = _compiled(x['a'], x['b'])
        return {'y': _r[0], 'z': (_r[1], _r[2])}

So a call costs little more than that of the compiled function inside.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from torch.utils._pytree import SUPPORTED_NODES

from jit.trace.structure import CONSTANT, LEAF, Structure

_IDENTICAL = (type(None), bool, type)


class _Writer:
    """Source lines and the objects that they name."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {}
        self.lines: list[str] = []
        self.leaves: list[str] = []

    def bind(self, thing: Any, kind: str = "k") -> str:
        """A name for an object."""
        name = f"_{kind}{len(self.names)}"
        self.names[name] = thing
        return name

    # arguments ------------------------------------------------------------------------------------
    def take(self, expression: str, structure: Structure) -> None:
        """Test that an argument is nested as the example's was, and collect its leaves."""
        if structure.kind is LEAF:
            self.leaves.append(expression)
            return
        self.lines.append(f"if {self._differs(expression, structure)}: _refuse()")
        if structure.kind is CONSTANT:
            return
        for part, inner in zip(self._parts(expression, structure), structure.parts, strict=True):
            self.take(part, inner)

    def _differs(self, expression: str, structure: Structure) -> str:
        if structure.kind is CONSTANT:
            constant = structure.constant
            name = self.bind(constant)
            if isinstance(constant, _IDENTICAL):
                return f"{expression} is not {name}"
            return (
                f"{expression} is not {name} and "
                f"(type({expression}) is not type({name}) or {expression} != {name})"
            )
        cls = self.bind(structure.kind)
        test = f"type({expression}) is not {cls}"
        if _is_mapping(structure):
            keys = self.bind(dict.fromkeys(structure.keys).keys())
            return f"{test} or {expression}.keys() != {keys}"
        if structure.keys or not issubclass(structure.kind, list | tuple):
            return test
        return f"{test} or len({expression}) != {len(structure.parts)}"

    def _parts(self, expression: str, structure: Structure) -> list[str]:
        """Expressions for the parts of an argument."""
        if _is_mapping(structure):
            return [f"{expression}[{self.bind(key)}]" for key in structure.keys]
        if structure.keys:
            return [f"{expression}.{key}" for key in structure.keys]
        if not issubclass(structure.kind, list | tuple):
            expression = self._registered(expression, structure)
        return [f"{expression}[{k}]" for k in range(len(structure.parts))]

    def _registered(self, expression: str, structure: Structure) -> str:
        """Take an object apart as torch's pytrees do."""
        flatten = self.bind(SUPPORTED_NODES[structure.kind].flatten_fn)
        name, rest = f"_p{len(self.lines)}", f"_q{len(self.lines)}"
        differs = f"len({name}) != {len(structure.parts)} or {rest} != "
        self.lines.append(f"{name}, {rest} = {flatten}({expression})")
        self.lines.append(f"if {differs}{self.bind(structure.constant)}: _refuse()")
        return name

    # results --------------------------------------------------------------------------------------
    def give(self, structure: Structure, leaves: Iterator[str]) -> str:
        """An expression for a result with these leaves."""
        if structure.kind is LEAF:
            return next(leaves)
        if structure.kind is CONSTANT:
            return self.bind(structure.constant)
        parts = [self.give(part, leaves) for part in structure.parts]
        if structure.kind is tuple:
            return f"({''.join(part + ', ' for part in parts)})"
        if structure.kind is list:
            return f"[{', '.join(parts)}]"
        if structure.kind is dict:
            keys = map(self.bind, structure.keys)
            return f"{{{', '.join(f'{k}: {p}' for k, p in zip(keys, parts, strict=True))}}}"
        return f"{self.bind(structure.build)}([{', '.join(parts)}])"


def _is_mapping(structure: Structure) -> bool:
    return issubclass(structure.kind, dict) and not dataclasses.is_dataclass(structure.kind)


def around(
    compiled: Callable[..., Any],
    signature: inspect.Signature,
    arguments: Structure,
    result: Structure,
    refuse: Callable[..., Any],
) -> Callable[..., Any]:
    """The function with the traced function's `signature`. `arguments` is the structure of its
    (args, kwargs) in the example; `refuse` raises for arguments that are nested otherwise.
    """
    writer = _Writer()
    bound = _bound(signature, arguments)
    for name, structure in bound.items():
        writer.take(name, structure)
    writer.names["_compiled"] = compiled
    count = result.leaf_count
    leaves = iter(["_r"] if count == 1 else [f"_r[{k}]" for k in range(count)])
    writer.lines.append(f"_r = _compiled({', '.join(writer.leaves)})")
    writer.lines.append(f"return {writer.give(result, leaves)}")
    head = _head(writer, signature)
    given = ", ".join(f"{name!r}: {name}" for name in bound)
    text = "\n    ".join([f"def call({head}):", *writer.lines])
    text = text.replace("_refuse()", f"_refuse({{{given}}})")
    writer.names["_refuse"] = refuse
    exec(compile(text, f"<trace {getattr(compiled, '__name__', '')}>", "exec"), writer.names)
    made: Callable[..., Any] = writer.names["call"]
    return made


def _bound(signature: inspect.Signature, arguments: Structure) -> dict[str, Structure]:
    """The structure of each parameter's argument in the example."""
    args, kwargs = arguments.parts
    named = dict(zip(kwargs.keys, kwargs.parts, strict=True))
    found = signature.bind(*args.parts, **named).arguments
    made: dict[str, Structure] = {}
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            made[name] = Structure(tuple, found.get(name, ()))
        elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
            held = found.get(name, {})
            made[name] = Structure(dict, tuple(held.values()), tuple(held))
        else:
            made[name] = found[name]
    return made


def _head(writer: _Writer, signature: inspect.Signature) -> str:
    """The parameters, without annotations."""
    missing = inspect.Parameter.empty
    parameters = []
    for p in signature.parameters.values():
        default = missing if p.default is missing else _Named(writer.bind(p.default, "d"))
        parameters.append(p.replace(annotation=missing, default=default))
    text = str(signature.replace(parameters=parameters, return_annotation=missing))
    return text[1:-1]


class _Named:
    """A default value that prints as a name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name
