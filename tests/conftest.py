"""Settings of all tests: generated examples are the same in every run, so a failure repeats; the
sweep (`make sweep`) draws new ones each time.
"""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, database=None)
settings.register_profile("sweep", database=None)


def pytest_configure(config: pytest.Config) -> None:
    """Choose the profile by the markers that are asked for."""
    is_sweep = "sweep" in config.getoption("markexpr").replace("not sweep", "")
    settings.load_profile("sweep" if is_sweep else "repeatable")
