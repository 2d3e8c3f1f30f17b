"""Methods that have no source of their own, written out: what `dataclass` generates, and `!=` where
a class has only `==`.
"""

from __future__ import annotations

import dataclasses
import linecache
from collections.abc import Mapping
from functools import cache
from types import FunctionType
from typing import Any

from jit.script.classes import has_source

_ORDER = {"__lt__": "<", "__le__": "<=", "__gt__": ">", "__ge__": ">="}


@cache
def find_method(cls: type, name: str) -> FunctionType | None:
    """A method of a class, or the getter of a property, as a function with source; None without
    one.
    """
    found = getattr(cls, name, None)
    found = found.fget if isinstance(found, property) else found
    if isinstance(found, FunctionType) and has_source(found):
        return found
    text = _source(cls, name)
    return None if text is None else compiled(f"<{name} of {cls.__qualname__}>", text, name)


def _source(cls: Any, name: str) -> str | None:
    owner = cls.__qualname__
    if name == "__ne__" and find_method(cls, "__eq__") is not None:
        return "def __ne__(self, other):\n    return not self == other\n"
    if not dataclasses.is_dataclass(cls) or not isinstance(getattr(cls, name, None), FunctionType):
        return None
    compared = [f.name for f in dataclasses.fields(cls) if f.compare]
    if name == "__eq__":
        test = " and ".join(f"self.{n} == other.{n}" for n in compared) or "True"
        return f"def __eq__(self, other):\n    return {test}\n"
    if name in _ORDER:
        return _ordering(name, _ORDER[name], compared)
    if name == "__hash__":
        hashed = [f.name for f in dataclasses.fields(cls) if _is_hashed(f)]
        return f"def __hash__(self):\n    return hash(({_listed('self', hashed)}))\n"
    if name == "__repr__":
        shown = ", ".join(
            f"{f.name}={{self.{f.name}!r}}" for f in dataclasses.fields(cls) if f.repr
        )
        return f'def __repr__(self):\n    return f"{owner}({shown})"\n'
    return None


def _ordering(name: str, symbol: str, fields: list[str]) -> str:
    """Fields are compared in turn, as tuples of them are."""
    tests = [
        f"    if self.{n} != other.{n}:\n        return self.{n} {symbol} other.{n}\n"
        for n in fields
    ]
    return f"def {name}(self, other):\n{''.join(tests)}    return {'=' in symbol}\n"


def _is_hashed(field: dataclasses.Field[Any]) -> bool:
    return field.compare if field.hash is None else field.hash


def _listed(owner: str, names: list[str]) -> str:
    return "".join(f"{owner}.{name}, " for name in names)


def compiled(
    file: str, text: str, name: str, names: Mapping[str, Any] | None = None
) -> FunctionType:
    """A function of a source that readers of source find, too; `names` are its globals."""
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    space = dict(names or {})
    exec(compile(text, file, "exec"), space)
    made = space[name]
    assert isinstance(made, FunctionType)
    return made
