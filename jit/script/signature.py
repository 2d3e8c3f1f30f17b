"""The types that a function declares for its parameters and its result."""

from __future__ import annotations

import ast
import typing
from collections.abc import Iterator
from contextlib import suppress
from types import FunctionType

from ir import NONE, ListType, Type, UnsupportedError
from jit.declared import annotations_of
from jit.script.annotate import (
    evaluate_annotation,
    parse_type_comment,
    resolved,
    type_of_annotation,
)
from jit.script.frame import Frame
from jit.script.pysource import FunctionNode, FunctionSource


def declared_types(
    fn: FunctionType, source: FunctionSource, frame: Frame
) -> tuple[dict[str, Type], Type | None]:
    """Parameter types and result type that annotations or a `# type:` comment give."""
    node = source.node
    if isinstance(node, ast.FunctionDef) and node.type_comment:
        types, result = parse_type_comment(node.type_comment, frame.annotation_names(), frame.span)
        params = [a.arg for a in (*node.args.posonlyargs, *node.args.args)]
        return dict(zip(params[len(params) - len(types) :], types, strict=True)), result
    found = {
        arg.arg: annotation_type(annotation, frame, arg) for arg, annotation in _annotated(fn, node)
    }
    return found, _result_annotation(fn, source, frame)


def parameter_types(fn: FunctionType, source: FunctionSource, frame: Frame) -> dict[str, Type]:
    """The types of those parameters whose annotations have a meaning here."""
    found: dict[str, Type] = {}
    for arg, annotation in _annotated(fn, source.node):
        with suppress(UnsupportedError):
            found[arg.arg] = annotation_type(annotation, frame, arg)
    return found


def _annotated(fn: FunctionType, node: FunctionNode) -> Iterator[tuple[ast.arg, object]]:
    spec, annotations = node.args, annotations_of(fn)
    for arg in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs):
        if arg.arg in annotations:
            yield arg, annotations[arg.arg]


def _result_annotation(fn: FunctionType, source: FunctionSource, frame: Frame) -> Type | None:
    returns = getattr(source.node, "returns", None)
    annotations = annotations_of(fn)
    if returns is None or "return" not in annotations:
        return None
    return annotation_type(annotations["return"], frame, returns)


def annotation_type(annotation: object, frame: Frame, node: ast.AST) -> Type:
    """The type that an annotation means, or its text, which stands at `node`."""
    with frame.at(node):
        if isinstance(annotation, typing.ForwardRef):
            annotation = annotation.__forward_arg__
        while isinstance(annotation, str):
            annotation = evaluate_annotation(annotation, frame.annotation_names(), frame.span)
        annotation = resolved(annotation, frame.annotation_names())
        if annotation is None and isinstance(node, ast.arg):
            return _broadcasting(node.annotation, frame)
        return type_of_annotation(annotation, frame.span)


def _broadcasting(node: ast.expr | None, frame: Frame) -> Type:
    """What an annotation that evaluates to None says: torch's `BroadcastingList2[int]` does."""
    if not isinstance(node, ast.Subscript):
        return NONE
    names = frame.annotation_names()
    cls = evaluate_annotation(ast.unparse(node.value), names, frame.span)
    if type(cls).__name__ != "BroadcastingListCls":
        return NONE
    element = evaluate_annotation(ast.unparse(node.slice), names, frame.span)
    return ListType(type_of_annotation(element, frame.span))


def declared_return(fn: FunctionType, source: FunctionSource, frame: Frame) -> Type | None:
    """The declared type of a callee's result, None without one that has a meaning here."""
    try:
        if getattr(source.node, "type_comment", None):
            return declared_types(fn, source, frame)[1]
        return _result_annotation(fn, source, frame)
    except UnsupportedError:
        return None
