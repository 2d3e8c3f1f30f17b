"""The rows of recurrent layers and of their cells (LSTM, GRU, plain).

A layer decomposes into the form that loops written out take in the end: one product makes the
input's part of the gates for all steps, and a loop adds the recurrent product and computes the
gates, each step's result going to its place in one memory.

    %w = aten::matmul(%x, %w_ih')
    %y, %h = prim::Loop(%steps, %true, %memory, %h0)
      block0(%t, %memory, %h):
        %a = aten::select(%w, 0, %t)
        %h = step(%a + %b_ih, aten::linear(%h, %w_hh, %b_hh), %h)
        %y = prim::put(%memory, %h, 0, %t, %steps)
        -> (%true, %y, %h)

Calls remain: packed sequences, projections, dropout between layers in training, 16-bit floats; and
LSTMs in float32 that pay for oneDNN's packing of their weights: MANY rows of all steps together,
with a state that is WIDE.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ir.dims import hint
from ir.dtypes import float32
from ir.op import Effect
from ir.ops.cast import row_major
from ir.ops.control import UNINITIALIZED
from ir.ops.factory import Tensor, composite, structured
from ir.ops.join import PUT
from ir.ops.matmul import NATIVE, is_known_tensor
from ir.records import record
from ir.typerules import filled, is_known
from ir.types import TENSOR, TensorType

MANY, WIDE = 1500, 64

State = Sequence[Tensor]
"""What goes from step to step: the result first; each [rows, size]."""


@record
class Cell:
    """`step(b, given, recurrent, state)`: the next state from the input's and the state's part of
    the gates, which are lists of tensors like those of the state; of these there are `states`."""

    gates: int
    states: int
    step: Callable[[Any, Sequence[Tensor], Sequence[Tensor], State], State]


@record
class _Weights:
    """Of one direction of a layer: matrices [gates of `size` each, features], and biases."""

    w_ih: Tensor
    w_hh: Tensor
    b_ih: Tensor | None = None
    b_hh: Tensor | None = None


# cells --------------------------------------------------------------------------------------------
def _lstm(b: Any, given: Sequence[Tensor], recurrent: Sequence[Tensor], state: State) -> State:
    i, f, g, o = map(b.add, given, recurrent)
    c = b.add(b.mul(b.sigmoid(f), state[1]), b.mul(b.sigmoid(i), b.tanh(g)))
    return b.mul(b.sigmoid(o), b.tanh(c)), c


def _gru(b: Any, given: Sequence[Tensor], recurrent: Sequence[Tensor], state: State) -> State:
    r, z = (b.sigmoid(b.add(x, y)) for x, y in zip(given[:2], recurrent[:2], strict=True))
    new = b.tanh(b.add(given[2], b.mul(r, recurrent[2])))
    return (b.add(b.mul(b.sub(state[0], new), z), new),)


def _plain(activation: str) -> Callable[..., State]:
    def step(b: Any, given: Sequence[Tensor], recurrent: Sequence[Tensor], state: State) -> State:
        return (b.op(activation, b.add(given[0], recurrent[0])),)

    return step


LSTM, GRU = Cell(4, 2, _lstm), Cell(3, 1, _gru)
TANH, RELU = Cell(1, 1, _plain("aten::tanh")), Cell(1, 1, _plain("aten::relu"))


def _advance(b: Any, cell: Cell, given: Tensor, state: State, weights: _Weights) -> State:
    """One step, of which the product with the input is `given`."""
    size = state[0].type.shape[-1]
    given = given if weights.b_ih is None else b.add(given, weights.b_ih)
    recurrent = b.linear(state[0], weights.w_hh, weights.b_hh)

    def gates(x: Tensor) -> list[Tensor]:
        return [b.slice(x, -1, k * size, (k + 1) * size) for k in range(cell.gates)]

    return cell.step(b, gates(given), gates(recurrent), state)


def _state(hx: Any, rank: int) -> State | None:
    """The tensors of a state; None where a list that the run changes holds them."""
    found = hx if isinstance(hx, list) else [hx]
    has_rank = all(isinstance(v.type, TensorType) and v.type.rank == rank for v in found)
    return found if has_rank else None


def _fits(cell: Cell, x: Tensor, state: State, weights: _Weights) -> bool:
    """Whether operands have types and sizes for which nothing of a step can fail."""
    matrices = (weights.w_ih, weights.w_hh)
    biases = [v for v in (weights.b_ih, weights.b_hh) if v is not None]
    tensors = [v.type for v in (x, *state, *matrices, *biases)]
    if not is_known_tensor(*tensors) or x.type.dtype not in NATIVE:
        return False
    rows, size = state[0].type.shape
    gates = cell.gates * size
    return (isinstance(size, int) and all(s.type.shape == (rows, size) for s in state)
            and all(len(w.type.shape) == 2 for w in matrices)
            and weights.w_ih.type.shape == (gates, x.type.shape[-1])
            and weights.w_hh.type.shape == (gates, size)
            and all(v.type.shape == (gates,) for v in biases))


def _cell(cell: Cell) -> Callable[..., Any]:
    def decompose(b: Any, x: Tensor, hx: Any, *weights: Tensor | None) -> Any:
        state, of_cell = _state(hx, 2), _Weights(*weights)
        if state is None or x.type.rank != 2 or not _fits(cell, x, state, of_cell):
            return None
        if x.type.shape[0] != state[0].type.shape[0]:
            return None
        made = _advance(b, cell, b.matmul(x, b.t(of_cell.w_ih)), state, of_cell)
        return made if len(made) > 1 else made[0]

    return decompose


_CELL = "Tensor w_ih, Tensor w_hh, Tensor? b_ih=None, Tensor? b_hh=None"
composite(f"lstm_cell(Tensor input, Tensor[] hx, {_CELL}) -> (Tensor, Tensor)", _cell(LSTM))
composite(f"gru_cell(Tensor input, Tensor hx, {_CELL}) -> Tensor", _cell(GRU))
composite(f"rnn_tanh_cell(Tensor input, Tensor hx, {_CELL}) -> Tensor", _cell(TANH))
composite(f"rnn_relu_cell(Tensor input, Tensor hx, {_CELL}) -> Tensor", _cell(RELU))


# layers -------------------------------------------------------------------------------------------
def _walk(b: Any, cell: Cell, x: Tensor, state: State, weights: _Weights, time: int,
          is_backward: bool) -> tuple[Tensor, State]:
    """The results of all steps, [steps, rows, size], and the last state. `time` is the dim of
    `x` that counts steps."""
    given = b.matmul(x, b.t(weights.w_ih))
    if isinstance(x.type.shape[time], int) and x.type.shape[time] == 1:
        state = _advance(b, cell, b.select(given, time, 0), state, weights)
        return b.unsqueeze(state[0], 0), state
    steps = b.size(x, time)
    last = b.sub(steps, 1)

    def turn(b: Any, i: Any, memory: Tensor, *state: Tensor) -> Sequence[Tensor]:
        at = b.sub(last, i) if is_backward else i
        made = _advance(b, cell, b.select(given, time, at), state, weights)
        return b.apply(PUT, [memory, made[0], b.const(0), at, steps]), *made

    type_ = filled((x.type.shape[time], *state[0].type.shape), x.type.dtype)
    memory = b.node(UNINITIALIZED, (), [type_]).output
    results, *state = b.loop(steps, [memory, *state], turn)
    return results, state


def _layers(cell: Cell) -> Callable[..., Any]:
    def decompose(b: Any, x: Tensor, hx: Any, params: Any, has_biases: Any, num_layers: Any,
                  dropout: Any, train: Any, bidirectional: Any, batch_first: Any) -> Any:
        states = _state(hx, 3)
        options = (has_biases, num_layers, train, bidirectional, batch_first)
        if not all(isinstance(v, int) for v in options) or not isinstance(params, list):
            return None
        ways, each = 1 + bidirectional, 4 if has_biases else 2
        if states is None or x.type.rank != 3 or len(params) != num_layers * ways * each:
            return None
        if not is_known_tensor(x.type, *(s.type for s in states)):
            return None
        if (train and num_layers > 1 and dropout != 0) or 0 in x.type.shape:
            return None
        if cell is LSTM and _is_packed_faster(x, states[0]):
            return None
        time, ends = int(batch_first), []
        for layer in range(num_layers):
            results = []
            for way in range(ways):
                k = layer * ways + way
                state = [row_major(b, b.select(s, 0, k)) for s in states]
                weights = _Weights(*params[k * each : (k + 1) * each])
                if not _fits(cell, x, state, weights) or not _has_rows(x, time, state):
                    return None
                result, end = _walk(b, cell, x, state, weights, time, way == 1)
                results.append(result)
                ends.append(end)
            x, time = results[0] if ways == 1 else b.cat(results, -1), 0
        return (b.transpose(x, 0, 1) if batch_first else x,
                *(b.stack([end[k] for end in ends]) for k in range(len(states))))

    return decompose


def _is_packed_faster(x: Tensor, state: Tensor) -> bool:
    """Whether the call, which packs its weights, takes less time."""
    first, second, size = map(hint, (*x.type.shape[:2], state.type.shape[-1]))
    return x.type.dtype is float32 and first * second > MANY and size > WIDE


def _has_rows(x: Tensor, time: int, state: State) -> bool:
    return bool(x.type.shape[1 - time] == state[0].type.shape[0])


def _layer_types(cell: Cell) -> Callable[..., Any]:
    def infer(input: TensorType, hx: Any, bidirectional: Any, batch_first: Any, **_: Any) -> Any:
        states = hx if isinstance(hx, list) else [hx]
        nothing = (TENSOR,) * (1 + cell.states)
        if not is_known(bidirectional, batch_first) or not is_known_tensor(input, *states):
            return nothing
        if any(len(t.shape) != 3 for t in (input, *states)) or len(states) != cell.states:
            return nothing
        if input.dtype not in NATIVE or any(t.dtype is not input.dtype for t in states):
            return nothing
        width = states[0].shape[-1] * (1 + bidirectional)
        first, second, _features = input.shape
        steps, rows = (second, first) if batch_first else (first, second)
        results = filled((steps, rows, width), input.dtype)
        if batch_first:
            strides = (width, rows * width, 1)
            results = TensorType(input.dtype, (rows, steps, width), strides, device="cpu")
        return results, *(filled(t.shape, t.dtype) for t in states)

    return infer


_LAYERS = ("Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, "
           "bool bidirectional, bool batch_first")
for _schema, _of in ((f"lstm.input(Tensor input, Tensor[] hx, {_LAYERS}) "
                      "-> (Tensor, Tensor, Tensor)", LSTM),
                     (f"gru.input(Tensor input, Tensor hx, {_LAYERS}) -> (Tensor, Tensor)", GRU),
                     (f"rnn_tanh.input(Tensor input, Tensor hx, {_LAYERS}) -> (Tensor, Tensor)",
                      TANH),
                     (f"rnn_relu.input(Tensor input, Tensor hx, {_LAYERS}) -> (Tensor, Tensor)",
                      RELU)):
    structured(_schema, _layer_types(_of), _layers(_of), Effect.RANDOM)
