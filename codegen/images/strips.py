"""Layers around a depthwise one, computed together in strips of rows (`codegen.images.strip_loop`).

    convolve(1 x 1)   ==>   depthwise   ==>   convolve(1 x 1)          one of the outer two, or both

What lies between is wide, so that it would go to the level 3 cache and come back. Layers join where
one reads in place what only it reads, and the strips fit in the frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from codegen.abi import I64, i64
from codegen.images import strip_loop, tile
from codegen.images.convolve import Convolve, cut_of, words_of
from codegen.images.form import STRIP_BYTES, STRIPS, fitted, pixels_of_unit
from codegen.nest import Nest
from codegen.operands import Known, shape
from codegen.range_call import Body, call_range, range_function, record_of
from codegen.target import host
from ir import Dim, Node, Value, hint, product, record, replace


@record
class Joined:
    """A layer that is computed with a later one."""

    node: Node
    copies: tuple[Nest, ...] = ()

    def memory(self) -> Sequence[Value]:
        """What it needs memory for."""
        return ()


@record
class Strips:
    """Layers ready to be emitted together: by name, with as many rows of the depthwise one's result
    in a strip, and of its image in the ring, if that is computed here.
    """

    node: Node
    layers: Mapping[str, Convolve]
    rows: int
    ring: int

    @property
    def copies(self) -> tuple[Nest, ...]:
        """Those of all layers."""
        return tuple(nest for layer in self.layers.values() for nest in layer.copies)

    def memory(self) -> Sequence[Value]:
        """What is read or written: some of it is there."""
        layers = self.layers.values()
        between = {layer.node.output for layer in layers} - {self.node.output}
        read = [x.base for layer in layers for x in layer.operands.values()]
        written = [v for layer in layers for v in layer.memory()]
        return [v for v in dict.fromkeys((*read, *written)) if v not in between]


# preparation --------------------------------------------------------------------------------------
def join_layers(calls: Mapping[Node, Any]) -> dict[Node, Strips | Joined]:
    """What becomes of calls that follow each other undisturbed."""
    found: dict[Node, Strips | Joined] = {}
    layers = [call for call in calls.values() if isinstance(call, Convolve)]
    sources = {layer.node.output: layer for layer in layers}
    for within in layers:
        if within.form.row is None or len(shape(within.node.output)) != 4:
            continue
        before = sources.get(within.operands["x"].base)
        behind = calls.get(within.node.output.uses[0][0])
        joined = {"within": within}
        if before is not None and before.node not in found and _is_fed(before, within):
            joined = {"before": before, "within": within}
        if isinstance(behind, Convolve) and _is_fed(within, behind):
            joined["behind"] = behind
        made = _strips(joined)
        if made is not None:
            found |= {layer.node: Joined(layer.node) for layer in made.layers.values()}
            found[made.node] = made
    return found


def _is_fed(first: Convolve, second: Convolve) -> bool:
    """Whether a layer's result is read in place by the next one alone, and the other one than the
    depthwise layer computes each pixel from itself.
    """
    value, other = first.node.output, second if first.form.row else first
    is_read = [node for node, _ in value.uses] == [second.node]
    is_plain = is_read and "residual" not in first.operands and second.operands["x"].base is value
    return is_plain and not other.form.row and not other.form.tile and other.window.is_of_pixels


def _strips(layers: Mapping[str, Convolve]) -> Strips | None:
    """Layers in strips that are as high as fits; None if not one row fits, or all of it does."""
    within = layers["within"]
    taps, stride, apart = (
        within.window.numbers[name][1] for name in ("kernel", "stride", "dilation")
    )
    pixels = within.window.inside[2], within.window.outside[2]
    channels = shape(within.node.output)[1]
    if len(layers) == 1 or not all(isinstance(n, int) for n in (*pixels, channels)):
        return None
    into, out = (hint(n) * hint(channels) * 4 for n in pixels)
    into, out = into * ("before" in layers), out * ("behind" in layers)
    reach = apart * (taps - 1) + 1
    rows = (STRIP_BYTES - (reach - stride) * into) // (stride * into + out)
    whole = hint(within.window.inside[1]) * into + hint(within.window.outside[1]) * out
    if rows < 1 or whole * hint(shape(within.node.output)[0]) <= STRIP_BYTES:
        return None
    last = list(layers.values())[-1].node
    return Strips(last, layers, rows, (rows - 1) * stride + reach if into else 0)


# emission -----------------------------------------------------------------------------------------
def emit_strips(body: Body, call: Strips, known: Known) -> None:
    """The layers, split over torch's threads."""
    entry, within = body.entry, call.layers["within"]
    images, channels, height, width = shape(within.node.output)
    ring_bytes = call.ring * hint(channels * within.window.inside[2]) * 4
    words = {"strip": i64(call.rows), "strip_at": i64(ring_bytes)}
    work = 0
    for name in call.layers:
        layer, own = _in_strips(call, name)
        found = words_of(body, layer, cut_of(layer, known), known)
        found |= {word: entry.size(size) for word, size in own.items()}
        record = record_of(entry, [found[word] for word in tile.WORDS])
        function = range_function(entry, layer.form.symbol)
        words[name] = entry.builder.ptrtoint(record, I64)
        words[f"{name}_function"] = entry.builder.ptrtoint(function, I64)
        work += hint(width) * hint(product(layer.operands["panels"].dims))
    any_record = dict.fromkeys(strip_loop.LAYERS, words["within"])
    words = {**dict.fromkeys(strip_loop.WORDS, i64(0)), **any_record, **words}
    listed = [words[name] for name in strip_loop.WORDS]
    call_range(entry, STRIPS, images * height, work, listed)


def _in_strips(call: Strips, name: str) -> tuple[Convolve, Mapping[str, Dim]]:
    """A layer as it is computed in strips, and the words of its record that are others then."""
    layer, within = call.layers[name], call.layers["within"].window
    if name == "within":
        pixels = hint(within.outside[2])
        words = {"rows": within.outside[1], "chunk": 1, "span": pixels + layer.form.height}
        return layer, {**words, "ring": call.ring} if call.ring else words
    pixels = call.rows * hint((within.inside if name == "before" else within.outside)[2])
    layer = replace(layer, form=fitted(layer.form, pixels, host()))
    return layer, {"rows": 1, "chunk": 1, "span": pixels_of_unit(pixels, layer.form.height)}
