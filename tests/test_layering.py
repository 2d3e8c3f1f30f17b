"""The layers hold (jit -> codegen -> ir), and the checks notice a breach of each law."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest

from tests.imports import Module, cycles, deep, foreign, hidden, parse_module, read_modules, upward

Law = Callable[[Mapping[str, Module]], Iterator[str]]


@pytest.fixture(scope="module")
def modules() -> dict[str, Module]:
    return read_modules()


@pytest.mark.parametrize("law", [upward, deep, hidden, foreign, cycles])
def test_law_holds(law: Law, modules: dict[str, Module]) -> None:
    complaints = list(law(modules))
    assert not complaints, "\n" + "\n".join(complaints)


BREACHES = [
    (upward, {"ir.a": "import codegen"}),
    (upward, {"codegen.a": "def f():\n    from jit import x"}),
    (deep, {"codegen.a": "from ir.graph import Graph"}),
    (deep, {"jit.a": "from ir import graph", "ir.graph": "", "ir": ""}),
    (hidden, {"ir.a": "class C:\n    def f(self):\n        if 1:\n            import ir.b"}),
    (foreign, {"ir.a": "from torch.nn import Module"}),
    (foreign, {"jit.a": "import llvmlite.ir as ll"}),
    (foreign, {"codegen.a": "from llvmlite import ir"}),
    (cycles, {"ir.a": "from ir.b import x", "ir.b": "import ir.a"}),
    (cycles, {"ir.a": "from ir.p import b", "ir.p.b": "from ir.a import x", "ir.p": ""}),
    (cycles, {"ir": "from ir.a import x", "ir.a": "from ir import y"}),
]


@pytest.mark.parametrize(("law", "sources"), BREACHES)
def test_breach_is_noticed(law: Law, sources: dict[str, str]) -> None:
    made = {name: parse_module(name, f"{name}.py", text) for name, text in sources.items()}
    assert list(law(made))


def test_what_is_allowed() -> None:
    sources = {
        "ir": "from ir import a\nfrom ir.a import x",
        "ir.a": "import numpy",
        "ir.torch_bridge": "import torch\nfrom ir.a import x",
        "codegen": "import ir\nfrom ir import a, x\nimport llvmlite.binding as llb",
        "jit": "from codegen import y",
        "jit.script.calls": "import torch",
        "jit.b": "def f():\n    import matplotlib",
    }
    made = {name: parse_module(name, f"{name}.py", text) for name, text in sources.items()}
    assert not [c for law in (upward, deep, hidden, foreign, cycles) for c in law(made)]
