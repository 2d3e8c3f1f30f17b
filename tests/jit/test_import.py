"""`import jit` is quick because it leaves out what only calls, saving or reporting need."""

from __future__ import annotations

import subprocess
import sys

import pytest

import jit

OURS = (
    "jit.archive.save",
    "jit.archive.load",
    "jit.archive.inspect",
    "jit.archive.source",
    "jit.comparison",
    "jit.explanation",
    "jit.frozen",
    "jit.modules.script_module",
    "jit.packing",
    "jit.remembered",
    "jit.report",
    "jit.script.compile",
    "jit.script.state",
    "jit.specialize",
    "jit.trace.tracer",
    "codegen.lower",
    "codegen.lanes.mathlib",
    "codegen.plan",
    "ir.graph",
    "ir.interpreter",
    "ir.ops.rows",
    "ir.pipeline",
    "ir.passes.fold",
    "ir.torch_bridge",
)
HEAVY = (*OURS, "llvmlite", "matplotlib", "numba", "rich", "torch._dynamo")


def run(program: str) -> set[str]:
    """The words that a program prints, run in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("more", ["", "@jit.jit\ndef f(x): return x"])
def test_import_leaves_out_what_is_heavy(more: str) -> None:
    program = (
        f"import sys, torch; known = {{*sys.modules}}; import jit\n{more}\n"
        "print(*{*sys.modules} - known)"
    )
    loaded = run(program)
    assert "jit.function" in loaded
    assert "codegen.torch_abi" in loaded, "its probes want torch without modes: not at a first call"
    assert not {name for name in loaded for heavy in HEAVY if f"{name}.".startswith(f"{heavy}.")}


def test_our_heavy_modules_exist() -> None:
    """Else the test above could not fail."""
    program = f"import sys\nfor name in {OURS}: __import__(name)\nprint(*sys.modules)"
    assert run(program) >= {*OURS}


def test_every_public_name_is_listed() -> None:
    assert {*jit.__all__} <= {*dir(jit)}


def test_no_module_hides_a_public_name() -> None:
    """Though some are named like the function in them, and imported before it is asked for."""
    program = f"import inspect\nfor name in {OURS}: __import__(name)\nimport jit.trace, jit.stats\n"
    found = run(program + "for n in jit.__all__: print(n, inspect.ismodule(getattr(jit, n)))")
    assert found == {*jit.__all__, "False"}


def test_no_other_name_is_found() -> None:
    assert not hasattr(jit, "no_such_name")
