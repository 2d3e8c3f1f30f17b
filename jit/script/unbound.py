"""Names that hold nothing where the code reads them: as in Python, an error of the run that gets
there, and of no other.
"""

from __future__ import annotations

import builtins
import warnings
from typing import Any

from ir import ANY, CompileError, Value
from jit.reasons import JitWarning
from jit.script.frame import Frame
from jit.script.scope import raise_exception


def undefined_global(frame: Frame, name: str) -> Value:
    """A global name that nothing defines yet, with a warning at its place: looked up by the code
    that reaches it, where it may raise NameError.
    """
    where = (frame.span.file, frame.span.line)
    if (*where, name) not in frame.unit.undefined:
        frame.unit.undefined.add((*where, name))
        text = f"name {name!r} is not defined: code that gets here looks it up then"
        warnings.warn_explicit(str(CompileError(text, frame.span)), JitWarning, *where)
    space = frame.resolver.globals

    def look_up() -> Any:
        try:
            return space[name] if name in space else vars(builtins)[name]
        except KeyError:
            raise NameError(f"name {name!r} is not defined", name=name) from None

    return frame.python(look_up, [], ANY, name)


def unbound_local(frame: Frame, name: str) -> Value:
    """A local variable that no path has assigned: reading it raises."""
    frame.unbound.add(name)
    text = f"cannot access local variable {name!r} where it is not associated with a value"
    raise_exception(frame, UnboundLocalError, text)
    return frame.uninitialized(ANY)
