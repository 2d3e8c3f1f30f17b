"""Generic schemas: binding type variables (`t` in `len(t[] a) -> int`) to the types of a call."""

from __future__ import annotations

from ir import types as T

Binding = dict[T.Type, T.Type]


def unify(formal: T.Type, found: T.Type, binding: Binding) -> bool:
    """Bind the type variables of `formal` so that `found` fits; False when that cannot be."""
    match formal, found:
        case T.TypeVar(), _:
            return _bind_variable(formal, found, binding)
        case T.ListType(element=a), T.ListType(element=b):
            return b == a or a == T.ANY or unify(a, b, binding)
        case T.OptionalType(element=a), _:
            return unify(a, found.element if isinstance(found, T.OptionalType) else found, binding)
        case T.DictType(key=ka, value=va), T.DictType(key=kb, value=vb):
            return (ka == kb or T.is_subtype(kb, ka)) and (va == vb or unify(va, vb, binding))
        case T.TupleType(elements=xs), T.TupleType(elements=ys):
            return len(xs) == len(ys) and all(
                T.is_subtype(y, x) or unify(x, y, binding) for x, y in zip(xs, ys, strict=True)
            )
        case T.FutureType(element=a), T.FutureType(element=b):
            return a == b or unify(a, b, binding)
    return False


def _bind_variable(variable: T.Type, found: T.Type, binding: Binding) -> bool:
    bound = binding.setdefault(variable, found)
    if T.is_subtype(found, bound):
        return True
    joined = T.join(bound, found) if isinstance(found, T.TensorType) else None
    if joined is None:
        return False
    binding[variable] = joined
    return True


def substitute(type_: T.Type, binding: Binding) -> T.Type:
    """A type with its variables replaced; one that was not bound is Any."""
    if isinstance(type_, T.TensorType | T.Prim):
        return type_
    match type_:
        case T.TypeVar():
            return binding.get(type_, T.ANY)
        case T.ListType(element=element):
            return T.ListType(substitute(element, binding))
        case T.OptionalType(element=element):
            return T.optional(substitute(element, binding))
        case T.DictType(key=key, value=value):
            return T.DictType(substitute(key, binding), substitute(value, binding))
        case T.TupleType(elements=elements) if type_.name is None:
            return T.TupleType(tuple(substitute(e, binding) for e in elements))
        case T.FutureType(element=element):
            return T.FutureType(substitute(element, binding))
    return type_
