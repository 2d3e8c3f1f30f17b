"""Globals, closure cells and attributes: what changes is seen at the next call."""

from __future__ import annotations

import torch

import jit
from tests.jit.support import assert_native, native

SCALE = 2.0
WEIGHT = torch.ones(3)
TABLE = [1.0, 2.0]
NAMED = {"scale": 2.0, "nested": {"shift": 1}}
X = torch.arange(3.0)


def helper(x):
    return x + 1


def weighted(x):
    return x * WEIGHT


def test_a_changed_number_is_seen() -> None:
    global SCALE

    @jit.jit(warm=0)
    def f(x):
        return x * SCALE

    for scale in (2.0, 3.0, 2.0):
        SCALE = scale
        torch.testing.assert_close(f(X), X * scale)
    assert native(f) == 3
    assert jit.stats(f).compilations == 2


def test_a_changed_list_is_seen() -> None:
    @jit.jit(warm=0)
    def f(x):
        return x * TABLE[0] + TABLE[1]

    torch.testing.assert_close(f(X), X + 2)
    TABLE[0] = 5.0
    torch.testing.assert_close(f(X), X * 5 + 2)
    TABLE[0] = 1.0


def test_a_changed_dict_is_seen() -> None:
    @jit.jit(warm=0)
    def f(x):
        return x * NAMED["scale"] + NAMED["nested"]["shift"]

    assert_native(f, X)
    NAMED["scale"] = 3.0
    assert_native(f, X)
    NAMED["nested"]["shift"] = 4
    torch.testing.assert_close(f(X), X * 3 + 4)
    NAMED.update(scale=2.0, nested={"shift": 1})
    torch.testing.assert_close(f(X), X * 2 + 1)
    assert jit.stats(f).compilations == 3


def test_a_tensor_is_read_at_each_call() -> None:
    global WEIGHT

    @jit.jit(warm=0)
    def f(x):
        return x * WEIGHT

    assert_native(f, X)
    WEIGHT.mul_(2)
    assert_native(f, X)
    WEIGHT = torch.full((3,), 7.0)
    assert_native(f, X)
    assert jit.stats(f).compilations == 1


def test_a_tensor_that_needs_a_gradient_is_eagers() -> None:
    weight = torch.ones(3, requires_grad=True)

    @jit.jit(warm=0)
    def f(x):
        return (x * weight).sum()

    f(X).backward()
    torch.testing.assert_close(weight.grad, X)
    assert jit.stats(f).bailouts == {"needs gradient": 1}
    with torch.no_grad():
        assert_native(f, X)


def test_a_tensor_of_a_called_function_is_read_at_each_call() -> None:
    global WEIGHT

    @jit.jit(warm=0)
    def f(x):
        return weighted(x) + 1

    assert_native(f, X)
    WEIGHT = torch.full((3,), 9.0)
    assert_native(f, X)
    WEIGHT = torch.full((1,), 9.0)
    assert_native(f, X)
    assert jit.stats(f).compilations == 2


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3))
        self.power = 2

    @jit.jit(warm=0)
    def forward(self, x):
        return (x * self.weight) ** self.power


@torch.no_grad()
def test_parameters_and_attributes_of_modules_are_read_at_each_call() -> None:
    model, other = Model(), Model()
    changes = (
        lambda: None,
        lambda: model.weight.mul_(3),
        lambda: setattr(model, "weight", torch.nn.Parameter(torch.full((3,), 4.0))),
        lambda: setattr(model, "power", 3),
        lambda: model.load_state_dict(other.state_dict()),
    )
    for change in changes:
        change()
        torch.testing.assert_close(model(X), (X * model.weight) ** model.power)
    torch.testing.assert_close(other(X), X**2)
    assert native(model.forward) == len(changes) + 1
    assert jit.stats(model.forward).compilations == 3


def test_modules_in_training_are_eagers() -> None:
    model = Model()
    model(X).sum().backward()
    torch.testing.assert_close(model.weight.grad, 2 * X * X)
    assert jit.stats(model.forward).bailouts["needs gradient"] == 1


def test_a_replaced_function_is_seen() -> None:
    global helper

    @jit.jit(warm=0)
    def f(x):
        return helper(x) * 2

    torch.testing.assert_close(f(X), (X + 1) * 2)
    old = helper

    def helper(x):
        return x - 1

    try:
        torch.testing.assert_close(f(X), (X - 1) * 2)
    finally:
        helper = old
    torch.testing.assert_close(f(X), (X + 1) * 2)


def test_a_closure_cell_is_seen() -> None:
    def make():
        count = 1.0

        @jit.jit(warm=0)
        def f(x):
            return x * count

        def set_count(value: float) -> None:
            nonlocal count
            count = value

        return f, set_count

    f, set_count = make()
    for value in (1.0, 4.0):
        set_count(value)
        torch.testing.assert_close(f(X), X * value)
    assert native(f) == 2


def test_what_changes_at_every_call_is_left_to_eager() -> None:
    global SCALE

    @jit.jit(warm=0, respecialize=3)
    def f(x):
        return x * SCALE

    for step in range(6):
        SCALE = float(step)
        torch.testing.assert_close(f(X), X * step)
    SCALE = 2.0
    assert jit.stats(f).bailouts == {"capture limit": 3}


def test_a_scripted_function_keeps_its_values() -> None:
    global SCALE

    def f(x: torch.Tensor) -> torch.Tensor:
        return x * SCALE

    scripted = jit.script(f)
    SCALE = 100.0
    torch.testing.assert_close(scripted(X), X * 2)
    torch.testing.assert_close(scripted(X), X * 2)
    SCALE = 2.0
