"""The rule table against its law of termination, and against torch on special values."""

from __future__ import annotations

import ast

import pytest

from ir.match import Rule, parse_rules
from ir.passes.rules import TABLE, WEIGHT


def weight(expression: ast.expr) -> int:
    calls = (n.func for n in ast.walk(expression) if isinstance(n, ast.Call))
    return sum(WEIGHT.get(f.id, 1) for f in calls if isinstance(f, ast.Name))


@pytest.mark.parametrize("rule", TABLE, ids=lambda r: r.text)
def test_rule_lowers_the_weight(rule: Rule) -> None:
    assert weight(rule.result) < weight(rule.pattern)


def test_a_rule_that_goes_nowhere_is_noticed() -> None:
    (rule,) = parse_rules("mul(x, y) -> mul(y, x)  # commutes for ever")
    assert not weight(rule.result) < weight(rule.pattern)


def test_a_rule_starts_with_a_call() -> None:
    with pytest.raises(ValueError, match="left side"):
        parse_rules("x -> neg(x)")
