"""Convolutions as generated code: the modules that functions of a form are in.

    convolve    a range function: all units of a convolution    `codegen.images.tile`
    depthwise   the same, each channel by itself
    winograd    the same, with fewer multiplications            `codegen.images.winograd_tile`
    panels      a range function: the blocks of its weight      `codegen.images.panels`
    filters     the same, of its panels                         `codegen.images.winograd_filters`
    strips      the same, of layers around a depthwise one      `codegen.images.strip_loop`

They are made when something first names them (`codegen.generated`).
"""

from __future__ import annotations

import llvmlite.ir as ll

from codegen.images.form import parse
from codegen.images.panels import Panels
from codegen.images.strip_loop import Strips
from codegen.images.tile import Convolution, Depthwise
from codegen.images.winograd_filters import Filters
from codegen.images.winograd_tile import Winograd
from codegen.target import Target

_EMITTERS: dict[str, type[Convolution | Winograd | Panels | Filters | Strips]] = {
    "convolve": Convolution,
    "depthwise": Depthwise,
    "winograd": Winograd,
    "panels": Panels,
    "filters": Filters,
    "strips": Strips,
}


def module_of(name: str, target: Target) -> ll.Module:
    """The module that defines one function, by its name."""
    parsed = parse(name)
    assert parsed is not None
    kind, form = parsed
    module = ll.Module()
    _EMITTERS[kind](module, form, target).emit()
    return module
