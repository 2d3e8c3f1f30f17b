"""Values whose types only annotations tell: attributes of objects, what `tolist` gives."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import jit
from ir import INT, ListType, TupleType
from jit.script import compile_function
from tests.script.support import agree


class Node:
    def __init__(self, key: int) -> None:
        self.key = key
        self.left: Node | None = None
        self.right: Node | None = None


def insert(root: Node | None, key: int) -> Node:
    if root is None:
        return Node(key)
    if key < root.key:
        root.left = insert(root.left, key)
    else:
        root.right = insert(root.right, key)
    return root


def in_order(root: Node | None, out: list[int]) -> None:
    if root is not None:
        in_order(root.left, out)
        out.append(root.key)
        in_order(root.right, out)


def tree(keys: list[int]):
    root: Node | None = None
    for key in keys:
        root = insert(root, key)
    out: list[int] = []
    in_order(root, out)
    return out, root.key


def test_a_tree() -> None:
    scripted = jit.script(tree)
    for keys in ([5, 2, 8, 1], [1]):
        for _ in range(3):
            assert scripted(keys) == tree(keys)
    with pytest.raises(AttributeError, match="'NoneType' object has no attribute 'key'"):
        scripted([])


def runs(x: torch.Tensor) -> tuple[str, list[tuple[int, int]]]:
    found: list[tuple[int, int]] = []
    for item in x.tolist():
        if found and found[-1][0] == item:
            found[-1] = (item, found[-1][1] + 1)
        else:
            found.append((item, 1))
    return str(len(found)), found


def test_items_are_what_their_container_is_declared_to_hold() -> None:
    agree(runs, torch.tensor([1, 1, 2]))
    result = compile_function(runs).graph.returns[0].type
    assert isinstance(result, TupleType)
    assert result.elements[1] == ListType(TupleType((INT, INT)))


def doubled(k: int) -> int:
    return k + k


def any_doubled(k: Any):
    return doubled(k)


@pytest.mark.parametrize("k", [2, 2.5, "no"])
def test_a_wrong_annotation_changes_no_result(k: Any) -> None:
    scripted = jit.script(any_doubled)
    for _ in range(3):
        assert scripted(k) == k + k


def cut(x: torch.Tensor, lengths: torch.Tensor):
    return [x[i, :n] for i, n in enumerate(lengths.tolist())], [x[n:] for n in lengths.tolist()]


def test_slices_between_what_is_not_known() -> None:
    agree(cut, torch.rand(2, 4), torch.tensor([1, 3]))


def from_numpy(x: torch.Tensor):
    return torch.from_numpy(x.numpy() * 2) + 1


def test_builtins_without_operator_are_called() -> None:
    agree(from_numpy, torch.rand(3))


def random(seed: int):
    generator = torch.Generator().manual_seed(seed)
    other = torch.Generator(device="cpu")
    other.manual_seed(3)
    drawn = torch.rand(2, generator=generator), torch.rand(2, generator=generator)
    return *drawn, torch.randperm(4, generator=other), other.initial_seed()


def test_generators_of_random_numbers() -> None:
    agree(random, 5)


class Rows(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        make = torch.nn.ModuleList
        self.rows = make(make([torch.nn.Linear(3, 3), torch.nn.Tanh()]) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for linear, activation in self.rows:
            x = activation(linear(x))
        return x


def test_containers_of_modules_are_unpacked_while_compiling() -> None:
    module = Rows()
    scripted = jit.script(module)
    assert not [n for n in scripted.graph.walk() if n.name == "prim::PythonOp"]
    x = torch.rand(2, 3)
    assert torch.allclose(scripted(x), module(x))
