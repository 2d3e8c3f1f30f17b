"""What a call gives to the graph that is specialized to it."""

from __future__ import annotations

import enum
from collections.abc import Sequence, Set
from typing import Any

from ir import record


class Role(enum.Enum):
    """What a value passed is for; a list as a whole by the type of its items."""

    NUMBER = None
    SIZE = "size"
    INTS = int
    FLOATS = float
    BOOLS = bool

    def takes(self, value: object) -> bool:
        """Whether a value is a list that this role takes as a whole."""
        return (
            isinstance(self.value, type)
            and type(value) is list
            and all(type(item) is self.value for item in value)
        )


@record
class Given:
    """The values of a call in its own order, with their names and roles (see `jit.roles`), and the
    positions of objects that the graph was made for.
    """

    values: Sequence[Any]
    names: Sequence[str]
    roles: Sequence[Role]
    held: Set[int]
