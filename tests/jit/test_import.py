"""What `import jit` loads, and what it leaves for later."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import jit

ROOT = Path(__file__).resolve().parents[2]
LATER = ("llvmlite", "rich", "matplotlib", "numba", "codegen.plan", "torch._dynamo")
PROGRAM = f"""
import gc, sys, torch
before = set(sys.modules)
import jit
print(gc.isenabled(), [m for m in {LATER} if m in sys.modules and m not in before])
"""


def test_heavy_modules_wait() -> None:
    out = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "True []"


def test_functions_win_over_modules_of_their_name() -> None:
    for name in ("compare", "explain", "jit", "script", "stats", "trace"):
        assert callable(getattr(jit, name)), name
    assert set(jit.__all__) <= set(vars(jit))
