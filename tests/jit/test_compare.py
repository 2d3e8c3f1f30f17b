"""`compare`: agreement, honest rows, interleaved ratios, and what it writes."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jit.agreement import Mismatch, Reference
from jit.comparison import compare
from jit.measure import Quartiles, Runner, interleaved
from jit.report import bar, duration

Function = Callable[..., Any]


def compiled(eager: Function, as_if: Function | None = None) -> Function:
    """A stand-in for a compiled function: another callable that wraps `eager`."""
    implementation = as_if or eager

    @functools.wraps(eager)
    def call(*args: Any, **kwargs: Any) -> Any:
        return implementation(*args, **kwargs)

    return call


def chain(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.exp(a) * b


ARGS = (torch.linspace(-1, 1, 64), torch.linspace(0, 2, 64))
quick = functools.partial(compare, rounds=2, show=False)


def test_rows_and_agreement() -> None:
    made = quick(compiled(chain), ARGS, ["torch.jit", ("mine", chain)])
    assert [row.name for row in made.rows] == ["eager", "relume", "torch.jit", "mine"]
    assert made.agrees and made.reference == "eager in float64"
    assert made["eager"].speedup == 1.0
    assert made["torch.jit"].note == "scripted"
    assert all(row.median_us and row.max_error is not None for row in made.rows)


def test_wrong_results_are_not_timed() -> None:
    made = quick(compiled(chain, lambda a, b: a), ARGS, [("shape", lambda a, b: a[:2])])
    assert not made.agrees
    assert made["relume"].timing is None and "disagrees" in made["relume"].note
    assert "shape" in made["shape"].note and made["shape"].timing is None


def test_without_check_everything_is_timed() -> None:
    made = quick(compiled(chain, lambda a, b: a), ARGS, [], check=False)
    assert made["relume"].timing and made.reference == "not checked"


def test_a_peer_that_fails_says_how() -> None:
    def broken(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        raise KeyError("no such thing")

    made = quick(compiled(chain), ARGS, [("mine", broken), "numba", "nobody"])
    assert made["mine"].note == "failed: KeyError: 'no such thing'"
    assert made["numba"].note == "needs its own source"
    assert "unknown" in made["nobody"].note


def test_the_subject_that_fails_raises() -> None:
    def broken(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        raise KeyError("no such thing")

    with pytest.raises(KeyError):
        quick(compiled(chain, broken), ARGS, [])


def test_peers_with_their_own_source() -> None:
    pytest.importorskip("jax")

    def source(a: Any, b: Any) -> Any:
        return np.exp(a) * b

    made = quick(
        compiled(chain),
        ARGS,
        [("numexpr", source), ("jax", lambda a, b: a.at[:].apply(lambda x: x))],
    )
    assert made["numexpr"].timing
    assert "disagrees" in made["jax"].note


def test_functions_that_write_to_their_arguments() -> None:
    def bump(a: torch.Tensor) -> torch.Tensor:
        return a.add_(1)

    kept = torch.zeros(8)
    assert quick(compiled(bump), (kept,), []).agrees
    assert not kept.any()


def test_keyword_arguments_and_nested_results() -> None:
    def f(a: torch.Tensor, *, scale: float) -> dict[str, Any]:
        return {"x": a * scale, "n": [a.numel(), None]}

    assert quick(compiled(f), ARGS[:1], [], kwargs={"scale": 2.0}).agrees


def test_threads_are_restored() -> None:
    before = torch.get_num_threads()
    made = quick(compiled(lambda: torch.get_num_threads()), (), [], threads=1)
    assert made.threads == 1 and torch.get_num_threads() == before


def test_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    made = compare(
        compiled(chain), ARGS, [], rounds=2, json=tmp_path / "a/c.json", png=tmp_path / "b/c.png"
    )
    figures = json.loads((tmp_path / "a/c.json").read_text())
    assert (
        figures["comparisons"][0]["rows"][1]["timing"]["us"]["median"] == made["relume"].median_us
    )
    assert "torch" in figures["versions"]
    assert (tmp_path / "b/c.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert "chain" in printed and "█" in printed and "relume" in made.table()


def test_float32_is_held_to_float64() -> None:
    def sums(a: torch.Tensor) -> torch.Tensor:
        return a.sum()

    a = torch.rand(10_000)
    reference = Reference.of(sums, (a,), {})
    assert reference.accepts(reference.error(a.double().sum()))
    assert not reference.accepts(reference.error(a.sum() * 1.001))


def test_integers_are_exact_unless_eager_rounds() -> None:
    exact = Reference.of(lambda a: a + 1, (torch.arange(4),), {})
    assert not exact.accepts(exact.error(torch.tensor([1, 2, 3, 5])))

    def rounded(a: torch.Tensor) -> torch.Tensor:
        return (a * 3).to(torch.uint8)

    third = torch.full(
        (4,), 1 / 3, dtype=torch.float32
    )  # times 3: 1 in float32, above 1 in float64
    assert Reference.of(rounded, (third,), {}).eager_error.units == 0.0


def test_special_values_and_structure() -> None:
    a = torch.tensor([float("nan"), float("inf"), -1.0])
    reference = Reference.of(lambda x: x, (a,), {})
    assert reference.error(a).units == 0.0
    assert not reference.accepts(reference.error(torch.tensor([0.0, float("inf"), -1.0])))
    assert not reference.accepts(reference.error(torch.tensor([float("nan"), 1.0, -1.0])))
    with pytest.raises(Mismatch):
        reference.error((a, a))


def test_eager_that_refuses_float64_is_the_reference_itself() -> None:
    half = torch.ones(3)
    reference = Reference.of(lambda a: a @ half, (torch.ones(3),), {})
    assert reference.name.startswith("eager as it is")


def test_interleaving_takes_turns() -> None:
    order: list[str] = []
    runners = {name: Runner(order.append, (name,)) for name in "ab"}
    timings = interleaved(runners, 3, block=1e-6, settle=0)
    assert set(timings) == {"a", "b"} and timings["a"].speedup == Quartiles(1.0, 1.0, 1.0)
    assert "ab" in "".join(order) and "ba" in "".join(order)


@pytest.mark.parametrize(
    ("us", "text"), [(0.05, "50 ns"), (1.5, "1.5 us"), (2e3, "2 ms"), (3e6, "3 s")]
)
def test_duration(us: float, text: str) -> None:
    assert duration(us) == text


def test_bar_is_exact_to_an_eighth() -> None:
    assert bar(1.0, 4) == "████" and bar(0.5, 4) == "██" and bar(0.0, 4) == "▏"
    assert bar(0.3, 4) == "█▎"
