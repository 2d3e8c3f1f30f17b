"""An op is declared in one place, its row: below the front ends nothing knows one by name."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from ir.op import Op, Opaque, Table
from ir.schema import parse_schema
from tests.imports import ROOT

# Rows, rules that rewrite several ops at once (those of frozen graphs, too), front ends that choose
# ops and the language of archives are about names.
NAMING = ("ir/ops/", "ir/passes/rules", "jit/archive/", "jit/frozen/", "jit/packing",
          "jit/script/", "jit/trace/")
# Conversions that the language itself inserts, and what the bridge knows about torch's own schemas.
LANGUAGE = ("ir/resolve.py", "ir/torch_bridge.py")


def names(source: str) -> Iterator[tuple[int, str]]:
    """String literals that name an ATen operator, with their lines; prose does not count."""
    tree = ast.parse(source)
    prose = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            if node.value.removeprefix("aten::") not in ("", node.value):
                yield node.lineno, node.value


def test_generic_code_names_no_operator() -> None:
    paths = [p for top in ("ir", "codegen", "jit") for p in (ROOT / top).rglob("*.py")]
    found = [
        f"{path}:{line}: {name}"
        for path in (p.relative_to(ROOT) for p in paths)
        if not str(path).startswith(NAMING + LANGUAGE)
        for line, name in names((ROOT / path).read_text())
    ]
    assert not found, "\n" + "\n".join(found)


def test_a_name_is_noticed() -> None:
    assert list(names('"aten::prose"\nx = {"aten::add": f"aten::{y}"}')) == [(2, "aten::add")]


def test_a_second_row_is_refused() -> None:
    table, op = Table("ir.ops"), Op(parse_schema("aten::neg(Tensor self) -> Tensor"), Opaque())
    table.add(op)
    with pytest.raises(ValueError, match="declared twice"):
        table.add(op)
