"""Lists, and tuples as far as all of their elements are looked at."""

from __future__ import annotations

# The types are those of the call, and the code is for the compiler:
# ruff: noqa: ANN001, ANN201, ANN202, SIM110
# mypy: allow-untyped-defs, allow-untyped-calls


def set_slice(items, start, stop, step, new):
    low, high = _bounds(len(items), start, stop)
    rest = items[high:]
    while len(items) > low:
        items.pop()
    items.extend(new)
    items.extend(rest)


def set_slice_by(items, start, stop, step, new):
    low, high = _bounds(len(items), start, stop)
    if step < 1:
        raise ValueError("archives write slices forward")
    places = list(range(low, high, step))
    if len(places) != len(new):
        raise ValueError(
            f"attempt to assign sequence of size {len(new)} to extended slice of size {len(places)}"
        )
    for i in range(len(places)):
        items[places[i]] = new[i]


def delete_slice(items, start, stop, step):
    low, high = _bounds(len(items), start, stop)
    rest = items[high:]
    while len(items) > low:
        items.pop()
    items.extend(rest)


def _bounds(size, start, stop):
    low = 0 if start is None else start
    high = size if stop is None else stop
    low = max(0, low + size) if low < 0 else min(low, size)
    high = max(0, high + size) if high < 0 else min(high, size)
    return low, max(low, high)


def sorted_by(items, keys, reverse):
    made, order = items[:0], keys[:0]
    for i in range(len(items)):
        place = len(made)
        while place > 0 and (keys[i] > order[place - 1] if reverse else keys[i] < order[place - 1]):
            place -= 1
        made.insert(place, items[i])
        order.insert(place, keys[i])
    return made


def sorted_plain(items, reverse):
    return sorted_by(items, items, reverse)


def extreme_by(is_largest, items, keys):
    if len(items) == 0:
        raise ValueError(f"{'max' if is_largest else 'min'}() arg is an empty sequence")
    best = 0
    for i in range(1, len(items)):
        if keys[i] > keys[best] if is_largest else keys[i] < keys[best]:
            best = i
    return items[best]


def extreme_or(is_largest, items, keys, default):
    return default if len(items) == 0 else extreme_by(is_largest, items, keys)


def least(items):
    return extreme_by(False, items, items)


def largest(items):
    return extreme_by(True, items, items)


def contains(items, value):
    for item in items:
        if item == value:
            return True
    return False


def less(a, b):
    for x, y in zip(a, b):  # noqa: B905  the shorter one ends it
        if x != y:
            return x < y
    return len(a) < len(b)


def less_or_equal(a, b):
    for x, y in zip(a, b):  # noqa: B905
        if x != y:
            return x < y
    return len(a) <= len(b)


def greater(a, b):
    return less(b, a)


def greater_or_equal(a, b):
    return less_or_equal(b, a)


def product(items):
    made = 1
    for item in items:
        made *= item
    return made


def transposed(rows):
    size = 0
    for i in range(len(rows)):
        size = len(rows[i]) if i == 0 else min(size, len(rows[i]))
    return [[row[i] for row in rows] for i in range(size)]


def broadcast_two(a, b):
    made = a[:0]
    for i in range(max(len(a), len(b))):
        m = a[i - max(len(a), len(b)) + len(a)] if i >= len(b) - len(a) else 1
        n = b[i - max(len(a), len(b)) + len(b)] if i >= len(a) - len(b) else 1
        if m != n and m != 1 and n != 1:
            raise RuntimeError(
                f"Shape mismatch: objects cannot be broadcast to a single shape: {a} and {b}"
            )
        made.append(n if m == 1 else m)
    return made
