"""`pytest benchmarks`: the compiled functions alone, to compare commits with pytest-benchmark."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.__main__ import GROUPS
from jit.workload import Workload

WORKS = [
    pytest.param(work, id=f"{group}-{work.name}")
    for group, workloads in GROUPS.items()
    for work in workloads()
]


@pytest.mark.parametrize("work", WORKS)
def test_speed(work: Workload, benchmark: Any) -> None:
    for _ in range(3):
        work.function(*work.args)
    benchmark(work.function, *work.args)
