# ruff: noqa: UP006, UP007, UP045  (the spellings under test)
"""Marks, types and typed expressions: ours and torch.jit's mean the same, in Python and in compiled
code.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
from collections.abc import Callable
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union  # noqa: UP035

import pytest
import torch

import jit

X = torch.randn(3)
PACKAGES = [jit, torch.jit]


@pytest.mark.parametrize("package", PACKAGES)
def test_ignored_functions_stay_python(package: Any) -> None:
    @package.ignore
    def outside(x: torch.Tensor) -> int:
        return len({type(x).__name__: x})

    @package.ignore()
    def also_outside(x: torch.Tensor) -> torch.Tensor:
        return getattr(x, "".join(["a", "bs"]))()

    def f(x: torch.Tensor) -> torch.Tensor:
        return also_outside(x) + outside(x)

    compiled = jit.script(f)
    assert "prim::PythonOp" in [n.name for n in compiled.graph.walk()]
    for _ in range(3):
        torch.testing.assert_close(compiled(X), f(X))


@pytest.mark.parametrize("package", PACKAGES)
def test_exported_methods_are_compiled(package: Any) -> None:
    class Net(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

        @package.export
        def other(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2

        @package.unused
        def never(self, x: torch.Tensor) -> torch.Tensor:
            return __import__("os")

    scripted = jit.script(Net())
    assert isinstance(scripted.other, jit.ScriptFunction)
    torch.testing.assert_close(scripted.other(X), X * 2)
    assert not isinstance(scripted.never, jit.ScriptFunction)


def test_marks_are_torchs() -> None:
    for name in ("ignore", "unused", "export"):
        ours, theirs = getattr(jit, name)(lambda: 0), getattr(torch.jit, name)(lambda: 0)
        assert ours._torchscript_modifier == theirs._torchscript_modifier
    with pytest.warns(FutureWarning, match="spelled @unused"):
        dropped = jit.ignore(drop=True)(lambda: 0)
    assert dropped._torchscript_modifier.startswith("unused")
    with pytest.raises(TypeError, match="takes a bool or a function, not a int"):
        jit.ignore(3)


@pytest.mark.parametrize("package", PACKAGES)
def test_where_code_runs(package: Any) -> None:
    def f(x: torch.Tensor) -> torch.Tensor:
        if package.is_scripting() and not package.is_tracing():
            return x + 1
        return no_such_name  # noqa: F821  never compiled

    assert not package.is_scripting()
    torch.testing.assert_close(jit.script(f)(X), X + 1)


TYPES: list[tuple[object, Any]] = [
    ([1, 2], List[int]), ([1, "a"], List[int]), (3, int), (None, Optional[int]),
    ("a", Optional[int]), ((1, "a"), Tuple[int, str]), ((1, 2), Tuple[int, str]),
    ((1, 2), Tuple[int, ...]), ({"a": [1]}, Dict[str, List[int]]), ({"a": 1}, Dict[str, str]),
    (3, Union[int, str]), (X, torch.Tensor), ([X], List[torch.Tensor]), ("a", (int, str)),
    ([1], (List[str], List[int])), ({1: 2}, dict[int, int]), ([1], list[int] | None),
]  # fmt: skip


@pytest.mark.parametrize(("value", "type_"), TYPES)
def test_isinstance_looks_into_containers(value: object, type_: Any) -> None:
    expected = True
    try:
        expected = torch.jit.isinstance(value, type_)
    except (RuntimeError, TypeError):
        pass  # torch refuses newer spellings
    assert jit.isinstance(value, type_) == expected


def test_isinstance_wants_element_types() -> None:
    with pytest.raises(TypeError, match="must name the types"):
        jit.isinstance([], List)


@pytest.mark.parametrize("is_", [jit.isinstance, torch.jit.isinstance])
def test_isinstance_refines(is_: Any) -> None:
    def f(x: Any) -> int:
        if is_(x, List[int]):
            return len(x)
        return -1

    compiled = jit.script(f)
    assert [compiled([1, 2]), compiled("ab")] == [2, -1]


@pytest.mark.parametrize("package", PACKAGES)
def test_annotated_expressions(package: Any) -> None:
    def f(x: torch.Tensor) -> List[Optional[int]]:
        found = package.annotate(List[Optional[int]], [])
        found.append(None)
        found.append(x.size(0))
        return found

    assert jit.annotate(List[int], [1]) == [1]
    assert jit.script(f)(X) == [None, 3]


def test_overloads_are_declarations() -> None:
    @jit._overload
    def f(x: int) -> int: ...

    @torch.jit._overload
    def f(x: torch.Tensor) -> torch.Tensor: ...  # noqa: F811

    def f(x):  # noqa: F811
        return x * 2

    def g(x: torch.Tensor, n: int) -> torch.Tensor:
        return f(x) + f(n)

    torch.testing.assert_close(jit.script(g)(X, 3), X * 2 + 6)


def test_pythons_isinstance_on_containers() -> None:
    def f(x: Any) -> int:
        if isinstance(x, List):
            return len(x)
        return -1

    assert [jit.script(f)(x) for x in ([1, 2], (1, 2))] == [2, -1]


# classes ------------------------------------------------------------------------------------------


def test_classes_are_given_back() -> None:
    @jit.script
    class Point:
        def __init__(self, x: float, y: float = 2.0) -> None:
            self.x, self.y = x, y

        def norm(self, scale: int) -> float:
            return (self.x**2 + self.y**2) ** 0.5 * scale

    @jit.script
    @dataclasses.dataclass
    class Box:
        content: torch.Tensor
        count: int = 3

        def total(self) -> torch.Tensor:
            return self.content.sum() * self.count

    def f(x: torch.Tensor) -> torch.Tensor:
        return Box(x).total() * Point(3.0, 4.0).norm(2)

    assert isinstance(Point, type)
    torch.testing.assert_close(jit.script(f)(X), X.sum() * 30)
    for cls in (enum.Enum("Color", "RED"), NamedTuple("Pair", [("a", int)]), KeyError):
        assert jit.script(cls) is cls

    @jit.interface
    class Shape:
        def area(self) -> float: ...

    assert jit.script(Shape) is Shape


def test_methods_of_classes_are_checked() -> None:
    class Wrong:
        def __init__(self, x: int) -> None:
            self.x = x

        def method(self) -> int:
            return self.nope + 1

    class Slotted:
        __slots__ = ("x",)

    with pytest.raises(jit.CompileError, match=r"return self.nope \+ 1\n +\^\^\^\^\^\^\^\^\^"):
        jit.script(Wrong)
    with pytest.raises(jit.CompileError, match="__slots__"):
        jit.script(Slotted)
    with pytest.raises(jit.CompileError, match="script an object of it instead"):
        jit.script(torch.nn.Linear)


# functions ----------------------------------------------------------------------------------------


def shaped(
    x: torch.Tensor, names: List[str], *, k: Optional[int] = None, label: str = "a"
) -> List[torch.Tensor]:
    return [x]


SCHEMAS: list[tuple[Callable[..., Any], str]] = [
    (shaped, 'shaped(Tensor x, str[] names, *, int? k=None, str label="a") -> Tensor[]'),
    (lambda x, y: (x, y), "_lambda_(Tensor x, Tensor y) -> (Tensor, Tensor)"),
]


@pytest.mark.parametrize(("f", "text"), SCHEMAS)
def test_schemas(f: Callable[..., Any], text: str) -> None:
    compiled = jit.script(f)
    assert str(compiled.schema) == text
    assert [a.name for a in compiled.schema.arguments] == list(inspect.signature(f).parameters)


def test_members() -> None:
    compiled = jit.script(shaped)
    assert compiled.name == "shaped"
    assert compiled.qualified_name.startswith("__torch__.")
    assert compiled.qualified_name.endswith(".shaped")
    assert compiled.__defaults__ is None
    assert compiled.__kwdefaults__ == {"k": None, "label": "a"}
    assert jit.export_opnames(jit.script(lambda x: x.relu() + 1)) == [
        "aten::add.Scalar",
        "aten::relu",
    ]

    def outer(x: torch.Tensor) -> torch.Tensor:
        return shaped(x, ["a"])[0] + 1

    compiled = jit.script(outer)
    assert "prim::CallFunction" in str(compiled.graph)
    assert "prim::CallFunction" not in str(compiled.inlined_graph)


def test_examples_give_types() -> None:
    def f(x, n=3):
        return [x, n]

    assert str(jit.script(f, example_inputs=[(1,), (2, 4)]).schema) == "f(int x, int n=3) -> int[]"
    with pytest.raises(TypeError, match="missing a required argument"):
        jit.script(f, example_inputs=[()])


# calls --------------------------------------------------------------------------------------------


class Color(enum.Enum):
    RED = 1


@jit.script
def called(
    xs: List[int], named: Dict[str, torch.Tensor], color: Color = Color.RED,
    scale: Optional[float] = None,
) -> Tuple[Dict[str, torch.Tensor], Color]:  # fmt: skip
    named["z"] = torch.ones(1) * len(xs)
    return named, color


def test_results_are_pythons_own() -> None:
    for _ in range(3):
        found, color = called((1, 2), {"b": X, "a": X}, scale=2)
        assert list(found) == ["b", "a", "z"]
        assert color is Color.RED


MISFITS: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
    (([1, "a"], {}), {}, r"called\(\) expected List\[int\] for 'xs', not str \(xs\[1\]\)"),
    ((3, {}), {}, r"expected List\[int\] for 'xs', not int$"),
    (([], {"a": 1}), {}, r"expected Dict\[str, Tensor\] for 'named', not int \(named\['a'\]\)"),
    (([], {1: X}), {}, r"for 'named', not int \(a key of named\)"),
    (([], {}, 1), {}, r"expected .*Color for 'color', not int"),
    (([], {}), {"scale": "a"}, r"expected Optional\[float\] for 'scale', not str"),
    (([], {}), {"other": 1}, r"unexpected keyword argument 'other'"),
    (([],), {}, r"missing .* argument: 'named'"),
]


@pytest.mark.parametrize(("args", "kwargs", "message"), MISFITS)
def test_misfits_are_named(args: tuple[Any, ...], kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        called(*args, **kwargs)
