"""Every example runs through all tiers and agrees with eager; so do the peers written for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.__main__ import MODULES
from jit.agreement import Reference, fresh
from jit.workload import Workload, find_all

pytest.importorskip("sklearn")
WORKS = [work for module in MODULES for work in find_all(module)]


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.name)
def test_agrees_at_each_call(work: Workload) -> None:
    eager = work.function.__wrapped__  # type: ignore[attr-defined]
    reference = Reference.of(eager, work.args, {}, work.tolerance)
    for _ in range(3):  # interpreted, compiled, native
        error = reference.error(work.function(*fresh(work.args)))
        assert reference.accepts(error), error


def test_pictures_are_saved(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    photo = MODULES[0]
    before, after = photo.save_pictures(tmp_path / "made")
    with image.open(before) as first, image.open(after) as second:
        assert first.size == second.size == (640, 427)
        assert first.tobytes() != second.tobytes()
