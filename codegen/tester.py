"""Guards as functions: those of captured tensors, of which a model has hundreds, but few kinds.

ptr tensor0(ptr object)       where the elements are; null when a guard fails
"""

from __future__ import annotations

from collections.abc import Callable

import llvmlite.ir as ll

from codegen.abi import NULL, PTR
from codegen.tensor_fields import Guards

_LIKELY = (1 << 20, 1)


class Tester:
    """Guards in a function of their own, which leave it with null."""

    def __init__(self, outer: Guards, name: str) -> None:
        module = outer.builder.module
        self.outer = outer
        kind = ll.FunctionType(PTR, [PTR])
        self.function = ll.Function(module, kind, module.get_unique_name(name))
        self.function.linkage = "internal"
        self.function.attributes.add("noinline")
        self.builder = ll.IRBuilder(self.function.append_basic_block("entry"))
        start = self.function.append_basic_block("guards")
        self.builder.branch(start)  # the entry block stays open for stack slots
        self._miss = self.function.append_basic_block("miss")
        ll.IRBuilder(self._miss).ret(NULL)
        self.builder.position_at_end(start)

    @property
    def chain(self) -> ll.Value:
        """That of the plan's entry: no tensor has one."""
        return self.outer.chain

    def require(self, condition: ll.Value) -> None:
        """Give null unless the condition holds."""
        following = self.builder.append_basic_block("ok")
        self.builder.cbranch(condition, following, self._miss).set_weights(_LIKELY)
        self.builder.position_at_end(following)

    def constant(self, value: object) -> ll.Value:
        """A Python object that the plan keeps."""
        return self.outer.constant(value)

    def returning(self, read: Callable[[ll.Value], ll.Value]) -> ll.Function:
        """The function, whose result `read` makes of its argument."""
        self.builder.ret(read(self.function.args[0]))
        return self.function
