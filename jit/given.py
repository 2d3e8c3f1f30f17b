"""What a call gives to the graph that is specialized to it."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

from ir import record
from jit.roles import Role


@record
class Given:
    """The values of a call in its own order, with their names and roles, and the positions of
    objects that the graph was made for.
    """

    values: Sequence[Any]
    names: Sequence[str]
    roles: Sequence[Role]
    held: Set[int]
