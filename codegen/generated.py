"""Functions that all plans of a process share and whose names say what they compute: products,
attention, convolutions. They are made when something first names them, and live as long as the
process.

A later process finds what it links by the name alone: what generates code is loaded only when
there is something to generate.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from codegen.cache import fingerprint
from codegen.engine import Engine, Library, Source
from codegen.record import Record, Stale

_GENERATORS = {
    **dict.fromkeys(("product", "tile", "dots", "pack", "attend"), "codegen.products.gemm"),
    **dict.fromkeys(
        ("convolve", "depthwise", "winograd", "panels", "filters", "strips"),
        "codegen.images.convolution",
    ),
}


def is_generated(name: str) -> bool:
    """Whether a symbol is the name of such a function, if it is a symbol of ours."""
    return name.startswith("relume_") and name.split("_")[1] in _GENERATORS


def load(name: str, engine: Engine, environment: str) -> Library:
    """The library that defines a function; `environment` is what its code depends on besides."""
    objects = engine.objects
    if objects is None:
        return engine.load(_source(name, engine))
    key = fingerprint(("function", name, environment))
    data = objects.get(key)
    library = None if data is None else _relinked(data, engine)
    if library is None:
        source = _source(name, engine)
        library = engine.load(source)
        made = Record(tuple(library.parts), source.exports, source.imports, {}, 0, ())
        objects.put(key, made.dump(()))
    return library


def _relinked(data: bytes, engine: Engine) -> Library | None:
    try:
        found = Record.load(data, ())
    except Stale:
        return None
    return engine.relink(found.parts, found.exports, found.imports, {})


def _source(name: str, engine: Engine) -> Source:
    generator: Any = import_module(_GENERATORS[name.split("_")[1]])
    return Source.of(generator.module_of(name, engine.target))
