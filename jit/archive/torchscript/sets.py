"""What sets do, on dicts whose values are all True: archives hold it as functions, compiled for the
types of the call.
"""

from __future__ import annotations

# The types are those of the call, and the code is for the compiler:
# ruff: noqa: ANN001, ANN201, SIM110
# mypy: allow-untyped-defs, allow-untyped-calls


def members(items):
    return {items[i]: True for i in range(len(items))}


def copy(a):
    return a.copy()


def union(a, b):
    made = a.copy()
    made.update(b)
    return made


def intersection(a, b):
    made = a.copy()
    for key in a:
        if key not in b:
            made.pop(key)
    return made


def difference(a, b):
    made = a.copy()
    for key in b:
        if key in made:
            made.pop(key)
    return made


def symmetric_difference(a, b):
    made = a.copy()
    for key in b:
        if key in made:
            made.pop(key)
        else:
            made[key] = True
    return made


def add(a, key):
    a[key] = True


def discard(a, key):
    if key in a:
        a.pop(key)


def remove(a, key):
    if key not in a:
        raise KeyError(str(key))
    a.pop(key)


def pop(a):
    if len(a) == 0:
        raise KeyError("pop from an empty set")
    return a.popitem()[0]


def clear(a):
    a.clear()


def update(a, b):
    a.update(b)


def difference_update(a, b):
    for key in b:
        if key in a:
            a.pop(key)


def intersection_update(a, b):
    for key in list(a.keys()):
        if key not in b:
            a.pop(key)


def issubset(a, b):
    for key in a:
        if key not in b:
            return False
    return True


def issuperset(a, b):
    for key in b:
        if key not in a:
            return False
    return True


def isdisjoint(a, b):
    for key in a:
        if key in b:
            return False
    return True


def equal(a, b):
    if len(a) != len(b):
        return False
    for key in a:
        if key not in b:
            return False
    return True


def is_filled(a):
    return len(a) > 0


def is_empty(a):
    return len(a) == 0


def unequal(a, b):
    if len(a) != len(b):
        return True
    for key in a:
        if key not in b:
            return True
    return False


def less(a, b):
    if len(a) >= len(b):
        return False
    for key in a:
        if key not in b:
            return False
    return True


def greater(a, b):
    if len(b) >= len(a):
        return False
    for key in b:
        if key not in a:
            return False
    return True
