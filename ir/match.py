"""Rewrite rules as text, and the driver that applies them.

    mul(x, 1)          -> x                     a letter matches any value, twice the same: the same
    neg(neg(x))        -> x                     a number matches a constant of that value
    pow(x, 2)          -> mul(x, x)             `aten::` and every overload of a name are understood
    div(x, c)          -> mul(x, 1 / c)  if is_power_of_two(c)

`c` and `d` match constant numbers only, and stand for them in arithmetic and conditions; parameters
that a pattern leaves out have their default. Both sides are written in Python's expression syntax.

Laws of the driver
  * The result has the dtype and sizes of what it replaces, both completely known: no rule changes
    a type, and promotion never surprises.
  * A rule whose right side is a value that exists already turns fresh memory into an alias: it
    applies only to the same strides, where nobody can tell by writing (`Aliases.may_merge`).
  * Nobody may write to what a pattern spans, between its nodes or later.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ir.abstract import Known
from ir.alias import Aliases
from ir.builder import Builder
from ir.graph import Graph, Node, Value
from ir.op import Effect
from ir.records import record
from ir.types import TensorType, Type, same_each

CONSTANTS = ("c", "d")
Env = dict[str, Any]
Predicates = Mapping[str, Callable[..., bool]]


@record
class Rule:
    """One line of a table; `name` is the op at the root of the pattern."""

    text: str
    name: str
    pattern: ast.Call
    result: ast.expr
    condition: ast.expr | None


def parse_rules(table: str) -> tuple[Rule, ...]:
    """The rules of a table: one per line, `#` starts a comment."""
    lines = (line.partition("#")[0].strip() for line in table.splitlines())
    return tuple(map(_parse_rule, filter(None, lines)))


def _parse_rule(text: str) -> Rule:
    left, _, right = text.partition("->")
    result, _, condition = right.partition(" if ")
    pattern = _expression(left)
    if not isinstance(pattern, ast.Call):
        raise ValueError(f"the left side of a rule is a call: {text}")
    return Rule(text, _op_name(pattern), pattern, _expression(result),
                _expression(condition) if condition else None)


def _expression(text: str) -> ast.expr:
    return ast.parse(text.strip(), mode="eval").body


def _op_name(call: ast.Call) -> str:
    assert isinstance(call.func, ast.Name)
    return f"aten::{call.func.id}"


class Rewriter:
    """A table of rules; `predicates` are the functions that conditions may call."""

    def __init__(self, rules: Sequence[Rule], predicates: Predicates) -> None:
        self.predicates = predicates
        self.by_name: dict[str, list[Rule]] = {}
        for rule in rules:
            self.by_name.setdefault(rule.name, []).append(rule)

    def run(self, graph: Graph) -> bool:
        """Apply rules until none applies; whether any did."""
        changed = False
        while self._sweep(graph):
            changed = True
        return changed

    def _sweep(self, graph: Graph) -> bool:
        aliases, known = Aliases(graph), Known()
        changed = False
        for node in graph.walk():
            if node.block is not None and len(node.outputs) == 1 and node.output.uses:
                rules = self.by_name.get(node.name, ())
                changed |= any(_Attempt(rule, node, aliases, known, self.predicates).apply()
                               for rule in rules)
        return changed


@record(frozen=False)
class _Attempt:
    """One rule at one node."""

    rule: Rule
    node: Node
    aliases: Aliases
    known: Known
    predicates: Predicates

    def apply(self) -> bool:
        """Replace the node's output if the rule fits."""
        env: Env = {}
        if not self._match(self.rule.pattern, self.node.output, env) or not self._holds(env):
            return False
        builder = Builder.before(self.node)
        assert self.node.block is not None
        before = set(self.node.block.nodes)
        result = self._build(self.rule.result, builder, env)
        if self._may_stand_for(result):
            self.node.output.replace_all_uses_with(result)
            return True
        for made in [n for n in self.node.block.nodes if n not in before][::-1]:
            made.erase()
        return False

    # matching ---------------------------------------------------------------------------------

    def _match(self, pattern: ast.expr, value: Value, env: Env) -> bool:
        match pattern:
            case ast.Name(id=name) if name in CONSTANTS:
                number = self.known.get(value)
                env.setdefault(name, number)
                return _is_number(number) and env[name] == number
            case ast.Name(id=name):
                return env.setdefault(name, value) is value
            case ast.Call():
                return self._match_call(pattern, value, env)
        return _equals(self.known.get(value), ast.literal_eval(pattern))

    def _match_call(self, pattern: ast.Call, value: Value, env: Env) -> bool:
        node = value.node
        if node is None or node.name != _op_name(pattern) or not node.op.is_pure:
            return False
        if any(map(self.aliases.is_written, node.inputs)) or self.aliases.is_written(value):
            return False
        given, left = node.inputs[: len(pattern.args)], node.inputs[len(pattern.args) :]
        if len(given) != len(pattern.args) or len(node.inputs) != len(node.op.schema.arguments):
            return False
        formals = node.op.schema.arguments[len(given) :]
        return all(
            v in self.known and a.has_default and _equals(self.known[v], a.default)
            for v, a in zip(left, formals, strict=True)
        ) and all(self._match(p, v, env) for p, v in zip(pattern.args, given, strict=True))

    def _holds(self, env: Env) -> bool:
        condition = self.rule.condition
        return condition is None or bool(_evaluate(condition, env, self.predicates))

    # building ---------------------------------------------------------------------------------

    def _build(self, result: ast.expr, builder: Builder, env: Env) -> Value:
        built = self._argument(result, builder, env)
        assert isinstance(built, Value)
        return built

    def _argument(self, result: ast.expr, builder: Builder, env: Env) -> Any:
        match result:
            case ast.Name(id=name):
                return env[name]
            case ast.Call():
                arguments = [self._argument(a, builder, env) for a in result.args]
                return builder.call(_op_name(result), arguments)
        return _evaluate(result, env, self.predicates)

    def _may_stand_for(self, result: Value) -> bool:
        old = self.node.output
        if not _same_tensor(old.type, result.type):
            return False
        if not isinstance(self.rule.result, ast.Name) or _is_view_of(old, result):
            return True
        return _same_layout(old.type, result.type) and self.aliases.may_merge(old, result)


def _is_view_of(value: Value, base: Value) -> bool:
    """Whether a value is memory of `base` under another name."""
    while value is not base and value.node is not None and value.node.op.effect is Effect.ALIAS:
        value = value.node.inputs[0]
    return value is base


def _same_tensor(a: Type, b: Type) -> bool:
    return (isinstance(a, TensorType) and isinstance(b, TensorType) and a.is_complete
            and a.dtype is b.dtype and same_each(a.dims, b.dims))


def _same_layout(a: Type, b: Type) -> bool:
    return (isinstance(a, TensorType) and isinstance(b, TensorType) and a.strides is not None
            and same_each(a.strides, b.strides))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _equals(value: Any, expected: Any) -> bool:
    """Equal as numbers, where 0 does not mean -0.0."""
    if _is_number(value) and _is_number(expected):
        return bool(value == expected) and str(value)[0] == str(expected)[0]
    if isinstance(expected, tuple):
        return isinstance(value, list | tuple) and list(value) == list(expected)
    return type(value) is type(expected) and bool(value == expected)


def _evaluate(expression: ast.expr, env: Env, predicates: Predicates) -> Any:
    code = compile(ast.Expression(expression), "<rule>", "eval")
    return eval(code, {"__builtins__": {}, **predicates}, env)
