"""Ints, floats and complex numbers."""

from __future__ import annotations

import math

import torch

# The types are those of the call, and the code is for the compiler:
# ruff: noqa: ANN001, ANN201
# mypy: allow-untyped-defs, allow-untyped-calls


def power_modulo(base, exponent, modulus):
    if exponent < 0:
        base, exponent = inverse_modulo(base, modulus), -exponent
    made, factor = 1 % modulus, base % modulus
    while exponent > 0:
        if exponent % 2 == 1:
            made = made * factor % modulus
        factor = factor * factor % modulus
        exponent //= 2
    return made


def inverse_modulo(base, modulus):
    a, b, x, y = base % modulus, modulus, 1, 0
    while a != 0:
        quotient = b // a
        a, b, x, y = b - quotient * a, a, y - quotient * x, x
    if abs(b) != 1:
        raise ValueError("base is not invertible for the given modulus")
    return y * b % modulus


def bit_length(value):
    rest, count = abs(value), 0
    while rest > 0:
        rest //= 2
        count += 1
    return count


def truncated(value):
    return int(value)


def log2(value):
    if value <= 0:
        raise ValueError("math domain error")
    return float(torch.log2(torch.tensor(value, dtype=torch.float64)))


def hypotenuse(a: float, b: float) -> float:
    wide = torch.tensor([a, b], dtype=torch.float64)
    return float(torch.hypot(wide[0], wide[1]))


def int_distance(a: list[int], b: list[int]) -> float:
    return distance([float(x) for x in a], [float(x) for x in b])


def distance(a: list[float], b: list[float]) -> float:
    if len(a) != len(b):
        raise ValueError("both points must have the same number of dimensions")
    made = 0.0
    for i in range(len(a)):
        made = hypotenuse(made, a[i] - b[i])
    return made


def exact_sum(items: list[float]) -> float:
    """The sum as if it was rounded once: what is lost is kept in parts (Shewchuk's)."""
    parts: list[float] = []
    for item in items:
        x, kept = item, 0
        for i in range(len(parts)):
            y = parts[i]
            high, low = (x, y) if abs(x) >= abs(y) else (y, x)
            x = high + low
            rest = low - (x - high)
            if rest != 0.0:
                parts[kept] = rest
                kept += 1
        while len(parts) > kept:
            parts.pop()
        parts.append(x)
    made = 0.0
    while len(parts) > 0:
        made += parts.pop()
    return made


def is_close(a: float, b: float) -> bool:
    if a == b:
        return True
    if math.isinf(a) or math.isinf(b):
        return False
    return abs(a - b) <= 1e-9 * max(abs(a), abs(b))


def angle(value: complex) -> float:
    return math.atan2(imaginary(value), real(value))


def polar(value: complex) -> tuple[float, float]:
    return abs(value), angle(value)


def common_multiple(a: int, b: int) -> int:
    return 0 if a == 0 or b == 0 else abs(a // math.gcd(a, b) * b)


def int_root(value: int) -> int:
    if value < 0:
        raise ValueError("isqrt() argument must be nonnegative")
    made = int(math.sqrt(float(value)))
    while made * made > value:
        made -= 1
    while (made + 1) * (made + 1) <= value:
        made += 1
    return made


def permutations(n: int, k: int) -> int:
    made = 1 if k <= n else 0
    for i in range(min(k, n)):
        made *= n - i
    return made


def combinations(n: int, k: int) -> int:
    made = 1 if k <= n else 0
    for i in range(min(k, n)):
        made = made * (n - i) // (i + 1)
    return made


def int_of(text: str, base: int) -> int:
    """`int(text, base)`; base 0 takes the one that the text begins with."""
    rest = text.strip().lower()
    is_negative = rest.startswith("-")
    if is_negative or rest.startswith("+"):
        rest = rest[1:]
    for prefix, meant in (("0x", 16), ("0o", 8), ("0b", 2)):
        if rest.startswith(prefix) and base in (0, meant):
            rest, base = rest[2:], meant
    made, base = 0, 10 if base == 0 else base
    for digit in rest.replace("_", ""):
        place = "0123456789abcdefghijklmnopqrstuvwxyz".find(digit)
        if place < 0 or place >= base:
            raise ValueError(f"invalid literal for int() with base {base}: '{text}'")
        made = made * base + place
    if rest == "":
        raise ValueError(f"invalid literal for int() with base {base}: '{text}'")
    return -made if is_negative else made


def real(value: complex) -> float:
    return float(torch.view_as_real(torch.tensor(value, dtype=torch.complex128))[0])


def imaginary(value: complex) -> float:
    return float(torch.view_as_real(torch.tensor(value, dtype=torch.complex128))[1])


def conjugate(value: complex) -> complex:
    return complex(real(value), -imaginary(value))


def rounded(value: float, digits: int) -> float:
    """The nearest decimal of so many digits, the even one of two: the product with the power of
    ten is exact where it is a tie, as its error is known (Dekker's).
    """
    scale = 10.0 ** min(abs(digits), 22)
    if digits < 0:
        return float(round(value / scale)) * scale
    scaled = value * scale
    if abs(scaled) >= 4503599627370496.0:
        return value
    return math.copysign(_to_nearest(value, scale, scaled) / scale, value)


def _to_nearest(value: float, scale: float, scaled: float) -> float:
    whole = float(round(scaled))
    tie = abs(scaled - whole) == 0.5
    if not tie:
        return whole
    error = _product_error(value, scale, scaled)
    low = scaled - 0.5
    if error == 0.0:
        return whole
    return low + 1.0 if error > 0.0 else low


def _product_error(a: float, b: float, product: float) -> float:
    c, d = a * 134217729.0, b * 134217729.0
    high_a, high_b = c - (c - a), d - (d - b)
    low_a, low_b = a - high_a, b - high_b
    return ((high_a * high_b - product) + high_a * low_b + low_a * high_b) + low_a * low_b
