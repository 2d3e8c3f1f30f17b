"""Refusing to compile: the reason travels as an exception to whoever keeps the table of reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ir import Node


class Refused(Exception):
    """A plan cannot be made; `reason` is a row of the reason table, `node` where it was met,
    `detail` what was met.
    """

    def __init__(self, reason: str, node: Node | None = None, detail: str = "") -> None:
        where = f" at {node.span}" if node is not None and node.span is not None else ""
        what = detail or (node.op.qualified if node is not None else "")
        super().__init__(f"{reason}{f': {what}' if what else ''}{where}")
        self.reason = reason
        self.node = node
