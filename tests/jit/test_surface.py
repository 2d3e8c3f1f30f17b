"""The names of torch.jit exist here, with parameters that take the same calls."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import jit

ROOT = Path(__file__).resolve().parents[2]

# Beside those of `torch.jit.__all__`: what real code uses.
NAMES = """
    is_scripting is_tracing Final _overload _overload_method TracerWarning ScriptWarning
    TracingCheckError RecursiveScriptModule TopLevelTracedModule TracedModule optimized_execution
    fuser last_executed_optimized_graph script_method
""".split()

# Classes whose constructors torch writes in C++ or leaves to other classes.
WITHOUT_SIGNATURE = {
    "CompilationUnit", "Error", "Future", "ScriptFunction", "ScriptModule", "Attribute", "Final",
    "TracerWarning", "ScriptWarning", "TracingCheckError", "RecursiveScriptModule",
    "TopLevelTracedModule", "TracedModule", "last_executed_optimized_graph",
}  # fmt: skip
WANTED = sorted({*torch.jit.__all__, *NAMES})


@pytest.mark.parametrize("name", WANTED)
def test_name_is_there(name: str) -> None:
    assert name in jit.__all__
    if name not in WITHOUT_SIGNATURE:
        theirs = inspect.signature(getattr(torch.jit, name)).parameters
        ours = inspect.signature(getattr(jit, name)).parameters
        for theirs_one, our_one in zip(theirs.values(), ours.values(), strict=True):
            assert (our_one.name, our_one.kind) == (theirs_one.name, theirs_one.kind)
            assert (our_one.default is our_one.empty) == (theirs_one.default is theirs_one.empty)


PROGRAM = """
import torch, jit
def f(x): return x
module = torch.nn.Linear(2, 2)
class C: pass
assert jit.script(f) is f and jit.jit(f) is f and jit.script(C) is C
assert jit.script(module) is module and jit.trace(f, (torch.ones(1),)) is f
assert jit.trace_module(module, {"forward": torch.ones(2)}) is module
assert jit.script_if_tracing(f) is f and jit.ignore(f) is f and jit.export(f) is f
"""


@pytest.mark.parametrize("switch", [{"PYTORCH_JIT": "0"}, {"JIT_DISABLE": "1"}])
def test_everything_can_be_switched_off(switch: dict[str, str]) -> None:
    subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, env={**os.environ, **switch}, check=True
    )
