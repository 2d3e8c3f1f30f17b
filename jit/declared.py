"""What a function declares: its signature and annotations, as they were written.

Python 3.14 evaluates annotations when they are read; a name that is not there yet, or for type
checkers only, is then a forward reference instead of an error.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

if sys.version_info >= (3, 14):
    import annotationlib

    def annotations_of(fn: Callable[..., Any]) -> dict[str, Any]:
        """The annotations of a function by name."""
        return annotationlib.get_annotations(fn, format=annotationlib.Format.FORWARDREF)

    def signature_of(fn: Callable[..., Any], follow_wrapped: bool = True) -> inspect.Signature:
        """The signature of a function, or of the one that it wraps."""
        names = annotationlib.Format.FORWARDREF
        return inspect.signature(fn, follow_wrapped=follow_wrapped, annotation_format=names)

else:

    def annotations_of(fn: Callable[..., Any]) -> dict[str, Any]:
        """The annotations of a function by name."""
        return inspect.get_annotations(fn)

    def signature_of(fn: Callable[..., Any], follow_wrapped: bool = True) -> inspect.Signature:
        """The signature of a function, or of the one that it wraps."""
        return inspect.signature(fn, follow_wrapped=follow_wrapped)


def is_variadic(function: Callable[..., Any]) -> bool:
    """Whether a function takes any number of arguments, so that one list of types is not enough."""
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return code is not None and bool(code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS))
