"""The knobs: one table of name, default and meaning. Each can be set in the environment as
JIT_<NAME>, or for one function.

No other module reads the environment (but `codegen.cache`, whose directory is JIT_CACHE_DIR).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Config:
    """Knobs of one function. Immutable; `with_` gives a changed copy."""

    disable: bool = False
    """Switch the compiler off: decorators return what they were given."""
    warm: int = 1
    """Calls that are served as they are, and observed, before a plan is compiled."""
    plans: int = 16
    """Plans of one function; beyond, the fallback serves what no plan fits."""
    respecialize: int = 8
    """Times that one kind of arguments is compiled because sizes changed, or one signature because
    captured names did.
    """
    patience: int = 32
    """Calls in a row that are refused for good before all that miss go straight to the fallback;
    calls that come back from their plans before these are given up.
    """
    log: bool = False
    """One line on stderr for every compilation and refusal."""

    def with_(self, **changes: Any) -> Config:
        """A copy with other values; TypeError for a name that is no knob."""
        unknown = set(changes) - {field.name for field in fields(self)}
        if unknown:
            known = ", ".join(field.name for field in fields(self))
            raise TypeError(f"{', '.join(sorted(unknown))}: no such knob; there are {known}")
        return replace(self, **changes)

    @staticmethod
    def from_environment() -> Config:
        """Defaults, changed by JIT_<NAME>; PYTORCH_JIT=0 switches everything off as it does for
        TorchScript.
        """
        changes: dict[str, Any] = {}
        for knob in fields(Config):
            text = os.environ.get(f"JIT_{knob.name.upper()}")
            if text is not None:
                is_flag = isinstance(knob.default, bool)
                changes[knob.name] = text not in ("", "0") if is_flag else int(text)
        if os.environ.get("PYTORCH_JIT") == "0":
            changes["disable"] = True
        return Config(**changes)


DEFAULT = Config.from_environment()
