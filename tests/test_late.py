"""Names that packages import late: found, listed, and those that type checkers see."""

from __future__ import annotations

import inspect
from types import ModuleType

import pytest

import codegen
import ir
import jit
from ir.late import LateModule
from tests.imports import read_modules

MODULES = read_modules()


@pytest.mark.parametrize("package", [ir, codegen, jit], ids=lambda p: p.__name__)
def test_names_are_those_that_type_checkers_see(package: ModuleType) -> None:
    imports = MODULES[package.__name__].imports
    seen = {i.alias or i.name for i in imports if f"{i.target}.{i.name}" not in MODULES}
    listed = {name for name in dir(package) if not name.startswith("__")}
    assert seen == {name for name in listed if not inspect.ismodule(getattr(package, name))}


@pytest.mark.parametrize("package", [ir, codegen, jit], ids=lambda p: p.__name__)
def test_no_other_name_is_found(package: ModuleType) -> None:
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'no'"):
        _ = package.no


def test_a_late_module_is_the_module() -> None:
    late = LateModule("ir.registry")
    assert late.lookup is ir.registry.lookup
    with pytest.raises(AttributeError):
        _ = late.no
