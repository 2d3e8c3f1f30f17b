"""What annotations say of values of which the code alone does not tell the type, such as attributes
of objects: it is believed where the value is used as such, and tested where it becomes native.
"""

from __future__ import annotations

from ir import (
    ANY,
    BOOL,
    COMPLEX,
    FLOAT,
    INT,
    NUMBER,
    DictType,
    ListType,
    OptionalType,
    TupleType,
    Type,
    Value,
    is_subtype,
    replace,
)
from jit.script.frame import Frame
from jit.script.untyped import parts_of

_SCALARS = (BOOL, INT, FLOAT, COMPLEX, NUMBER)


def informed(known: Type, declared: Type) -> Type | None:
    """What is `known` of a type, and where that is nothing, what is `declared`; numbers are of the
    kind that they are. None where the two disagree.
    """
    if known == ANY:
        return declared
    if is_subtype(known, declared) or (known in _SCALARS and declared in _SCALARS):
        return known
    match known, declared:
        case TupleType(elements=parts), TupleType(elements=others) if len(parts) == len(others):
            found = [informed(p, o) for p, o in zip(parts, others, strict=True)]
            elements = tuple(t for t in found if t is not None)
            return replace(known, elements=elements) if len(elements) == len(parts) else None
        case ListType(element=part), ListType(element=other) if type(known) is type(declared):
            element = informed(part, other)
            return None if element is None else replace(known, element=element)
        case DictType(key=key, value=value), DictType(key=other_key, value=other_value):
            keys, values = informed(key, other_key), informed(value, other_value)
            return None if keys is None or values is None else DictType(keys, values)
        case _, OptionalType(element=element):
            return informed(known, element)
    return None


def as_declared(frame: Frame, value: Value, declared: Type) -> Value:
    """A value, of which what is not known is as declared."""
    known = informed(value.type, declared)
    return value if known is None else frame.cast(value, known)


def item_as_declared(frame: Frame, container: Value, item: Value) -> Value:
    """An item on its way into a list or dict whose type the user wrote down."""
    if not isinstance(container.type, ListType | DictType):
        return item
    if not frame.unit.untyped.is_declared(container):
        return item
    return as_declared(frame, item, element_of(container.type))


def element_of(container: Type) -> Type:
    """The type of what a list or a dict holds."""
    assert isinstance(container, ListType | DictType)
    return container.value if isinstance(container, DictType) else container.element


def is_open(type_: Type) -> bool:
    """Whether a type says nothing of a value, or of a part of it."""
    return type_ == ANY or ANY in parts_of(type_)
