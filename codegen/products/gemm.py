"""Matrix products as generated code: the modules that functions of a form are in.

    product   a range function: all units of a product    `codegen.products.units`
    tile      rows of C times one vector of columns       `codegen.products.microkernel`
    dots      few rows times columns along k              `codegen.products.dots`
    pack      panels of B                                 `codegen.products.microkernel`
    attend    a range function: products, softmax         `codegen.attention.units`

Functions depend on no sizes. They are made when something first names them
(`codegen.generated`).
"""

from __future__ import annotations

import llvmlite.ir as ll

from codegen.attention import units as attention_units
from codegen.products.dots import Dots
from codegen.products.form import parse
from codegen.products.microkernel import Emitter
from codegen.products.units import Units
from codegen.target import Target


def module_of(name: str, target: Target) -> ll.Module:
    """The module that defines one function, by its name."""
    module, attention = ll.Module(), attention_units.parse(name)
    if attention is not None:
        attention_units.Attention(Emitter(module, attention.dtype, target), attention).emit()
        return module
    parsed = parse(name)
    assert parsed is not None
    kind, form = parsed
    emitter = Emitter(module, form.dtype, target)
    if kind == "product":
        Units(emitter, form).emit()
    elif kind == "tile":
        emitter.tile(name, form.height, form.is_c_transposed)
    elif kind == "dots":
        Dots(emitter, form.height).emit(name)
    else:
        emitter.pack(name, form.is_b_transposed)
    return module
