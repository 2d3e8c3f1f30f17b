# ruff: noqa
"""Small whole programs, as users write them; `test_programs` runs each against Python."""

from __future__ import annotations

import math
from typing import *

import torch
import torch.nn.functional as F
from torch import Tensor as T


def a1(n: int):
    out = []
    for i in range(n):
        if i % 2:
            out = out + [i]
        else:
            out += [i * 10]
    return out


def a2(x: T, n: int):
    for i in range(n):
        prev = x
        x = x * 2
        if (x - prev).abs().max() > 100:
            break
    else:
        x = -x
    return x


def a3(x: T):
    y = x
    y[0] = 5
    z = x.view(-1)
    z += 1
    return x, y, z


def a4(n: int):
    def fact(k):
        r = 1
        for i in range(2, k + 1):
            r *= i
        return r

    return [fact(i) for i in range(n)]


def a5(x: T, mode: str = "sum"):
    if mode == "sum":
        return x.sum()
    elif mode == "mean":
        return x.mean()
    raise ValueError(f"unknown {mode}")


def a6(x: T):
    b, *rest = x.shape
    return x.reshape(b, -1), len(rest)


def a7(xs: List[T]):
    best, arg = xs[0].sum(), 0
    for i, x in enumerate(xs):
        s = x.sum()
        if s > best:
            best, arg = s, i
    return best, arg


def a8(x: T, k: int):
    vals, idx = torch.topk(x, k)
    mask = torch.zeros_like(x, dtype=torch.bool)
    mask[idx] = True
    return torch.where(mask, x, torch.tensor(0.0)), mask.sum().item()


def a9(x: T):
    n = 0
    while x.sum() < 100 and n < 50:
        x = x * 1.5
        n += 1
    return x, n


def b1(q: T, k: T, v: T, mask: Optional[T] = None, causal: bool = False):
    s = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))
    if causal:
        L = q.size(-2)
        s = s.masked_fill(torch.triu(torch.ones(L, L, dtype=torch.bool), 1), float("-inf"))
    if mask is not None:
        s = s + mask
    return F.softmax(s, dim=-1) @ v


def b2(n: int):
    grid = [[0] * n for _ in range(n)]
    for i in range(n):
        for j in range(n):
            grid[i][j] = i * j
    return grid


def b3(s: str):
    count: Dict[str, int] = {}
    for c in s:
        if c in count:
            count[c] += 1
        else:
            count[c] = 1
    return count


def b4(x: T):
    return x.mean().item() + 1, int(x.sum()), float(x[0]), bool(x[0] > 0)


def b5(n: int):
    sieve = [True] * (n + 1)
    p = 2
    while p * p <= n:
        if sieve[p]:
            for i in range(p * p, n + 1, p):
                sieve[i] = False
        p += 1
    return [i for i in range(2, n + 1) if sieve[i]]


def b6(a: List[int], b: List[int]):
    prev = list(range(len(b) + 1))
    for i in range(len(a)):
        cur = [i + 1]
        for j in range(len(b)):
            cost = 0 if a[i] == b[j] else 1
            cur.append(min(prev[j + 1] + 1, cur[j] + 1, prev[j] + cost))
        prev = cur
    return prev[-1]


def b7(x: T):
    try_ = x.clone()
    try_.clamp_(0, 1)
    del x
    return try_


def b8(x: T, p: float = 0.5):
    return F.dropout(x, p, True).shape, torch.rand(3).shape


def b9(x: T):
    total = 0
    for row in x:
        total = total + row.sum()
    return total


def c1(x: T):
    losses = []
    for i in range(3):
        losses.append((x * i).sum())
    return sum(losses), torch.stack(losses).mean()


def c2(n: int):
    a, b = 0, 1
    while a < n:
        a, b = b, a + b
    return a, b


def c3(x: T):
    y = x.detach().clone().requires_grad_(True)
    z = (y**2).sum()
    z.backward()
    return y.grad


def c4(x: T):
    return x[..., :2], x[:, -1:], x[-1], x[::2].T, x[[1, 0]], x.gather(1, x.long().clamp(0, 1))


def c5(x: T, w: Optional[T] = None):
    w = torch.ones_like(x) if w is None else w
    return (x * w).sum()


def c6(t: Tuple[int, float], n: int):
    i, f = t
    return (i + n, f * n), t[0], t[-1]


def c7(x: T):
    return {"a": x, "b": x * 2}


def c8(x: T):
    d = {"a": 1.0, "b": 2.0}
    for k in d:
        x = x + d[k]
    for k, v in d.items():
        x = x * v
    return x, sorted(d.keys()), max(d.values())


def c9(n: int):
    if n == 0:
        return None
    if n == 1:
        return 1
    return None


def d1(x: T):
    f = torch.sin if x.dim() == 1 else torch.cos
    return f(x)


def d2(x: T, n: int):
    acts = [torch.relu, torch.tanh]
    for i, act in enumerate(acts):
        x = act(x) + i
    return x


def d3(x: T):
    if x.dtype == torch.float32 and x.device.type == "cpu" and x.is_contiguous():
        return x + 1
    return x


def d4(a: float, b: float):
    return a // b, a % b, a**b, math.fmod(a, b), round(a / b, 2)


def d5(x: T, n: int):
    y = None
    for i in range(n):
        y = x if y is None else y + x
    return y


def d6(n: int):
    i = 0
    while True:
        try_again = False
        i += 1
        if i < n:
            continue
        break
    return i


def d7(x: T):
    with torch.no_grad():
        for i in range(3):
            if i == 2:
                return x * i
    return x


def d8(x: T, *, scale: float = 2.0, names: Tuple[str, ...] = ("a", "b")):
    return x * scale, len(names)


def d9(s: str, n: int):
    return f"{s:>10}|{n:,}|{n / 3:.3f}|{n!r}|{s=}"


def e1(x: T):
    for i in range(3):
        for j in range(3):
            if j == 1:
                continue
            if i == 2:
                break
            x = x + i * j
        else:
            x = x * 2
    return x


def e2(x: T):
    return torch.stack([t.sum() for t in x.unbind(0)]), [t.shape for t in x.split(1)]


def e3(x: T):
    a, b = x.chunk(2, -1)
    return a * torch.sigmoid(b)


def e4(xs: List[T], ys: List[int]):
    return [(x * y) for x, y in zip(xs, ys)], {i: y for i, y in enumerate(ys)}


def e5(x: T):
    n = x.size(0)
    return torch.arange(n, dtype=x.dtype, device=x.device)[None, :].expand(n, n).tril()


def e6(x: T):
    m, _ = x.max(dim=-1, keepdim=True)
    e = (x - m).exp()
    return e / e.sum(-1, keepdim=True)


def e7(x: T):
    x = x.to(torch.float64)
    return x.pow(2).mean().sqrt().to(torch.float32), x.new_tensor([1, 2]), torch.as_tensor([1.0])


def e8(n: int, x: T):
    k = n if n > 2 else -n
    y = x.roll(k, 0)
    return y.flip(0), y.sort(descending=True)[0], y.argsort(), y.unique()


def e9(x: T):
    return (
        torch.linalg.norm(x),
        torch.fft.rfft(x).abs(),
        torch.special.expit(x),
        torch.nn.functional.normalize(x, dim=-1),
    )


def f1(x: T):
    return (
        F.interpolate(x[None, None], scale_factor=2.0, mode="bilinear", align_corners=False),
        F.pad(x, (1, 1)),
        F.one_hot(x.long().clamp(0), 5),
    )


def f2(x: T):
    return (
        F.conv2d(x[None, None], torch.ones(1, 1, 2, 2)),
        F.max_pool2d(x[None, None], 2),
        F.avg_pool2d(x[None, None], 2),
        F.adaptive_avg_pool2d(x[None, None], 1),
    )


def f3(x: T):
    return (
        F.batch_norm(x, torch.zeros(4), torch.ones(4)),
        F.embedding(torch.tensor([0, 1]), x),
        F.cosine_similarity(x, x),
        F.glu(x),
        F.hardswish(x),
        F.group_norm(x[None], 3),
    )


def f4(x: T):
    return (
        F.cross_entropy(x, torch.tensor([0, 1, 2]), label_smoothing=0.1),
        F.nll_loss(x, torch.tensor([0, 1, 2])),
        F.binary_cross_entropy_with_logits(x, torch.ones_like(x)),
        F.smooth_l1_loss(x, x * 2),
        F.kl_div(x, x.exp(), reduction="batchmean"),
    )


def f5(x: T):
    return (
        x.sum(dim=(0, 1)),
        x.mean(dim=[0]),
        x.var(unbiased=False),
        x.std(0),
        x.any(),
        x.all(dim=1),
        x.prod(),
        x.norm(dim=1),
        x.amax((0, 1)),
        x.logsumexp(1),
    )


def f6(a: int, b: int):
    return (
        a & b,
        a | b,
        a ^ b,
        a << b,
        a >> 1,
        -a // b,
        bool(a) and bool(b),
        a if a else b,
        a < b < 10,
        not a,
    )


def f7(x: T):
    if not isinstance(x, torch.Tensor):
        raise TypeError("no")
    assert x.dim() == 2, "two dims"
    assert x.shape[0] == 3
    return x


def f8(x: T):
    x = x.reshape(-1)
    s = 0.0
    for i in range(x.shape[0]):
        s += x[i].item()
    return s


def f9(n: int):
    return (
        sum(i * i for i in range(n)),
        any(i > 3 for i in range(n)),
        max(i % 4 for i in range(1, n)),
        [*range(n)],
        list(range(n))[::-1],
        sum([0.5] * n),
    )


X = torch.arange(12.0).reshape(3, 4) - 4
QKV = (
    torch.linspace(-1, 1, 24).reshape(2, 3, 4),
    torch.linspace(0, 1, 24).reshape(2, 3, 4),
    torch.ones(2, 3, 4),
)
CALLS = [
    (a1, (5,)),
    (a2, (torch.ones(2), 3)),
    (a2, (torch.ones(2) * 60, 3)),
    (a3, (X.clone(),)),
    (a4, (5,)),
    (a5, (X, "sum")),
    (a5, (X, "mean")),
    (a5, (X, "q")),
    (a6, (X,)),
    (a7, ([X, X + 1, X - 3],)),
    (a8, (X[0], 2)),
    (a9, (torch.ones(3),)),
    (b1, QKV + (None, True)),
    (b1, QKV + (torch.ones(3, 3), False)),
    (b2, (3,)),
    (b3, ("hello",)),
    (b4, (X[1],)),
    (b5, (50,)),
    (b6, ([1, 2, 3, 4], [2, 3, 5])),
    (b7, (X,)),
    (b8, (X, 0.5)),
    (b9, (X,)),
    (c1, (X,)),
    (c2, (50,)),
    (c3, (X,)),
    (c4, (X,)),
    (c5, (X, None)),
    (c5, (X, X)),
    (c6, ((1, 2.5), 3)),
    (c7, (X,)),
    (c8, (X,)),
    (c9, (0,)),
    (c9, (1,)),
    (d1, (X,)),
    (d2, (X, 2)),
    (d3, (X,)),
    (d4, (7.5, -2.0)),
    (d5, (X, 0)),
    (d5, (X, 3)),
    (d6, (4,)),
    (d7, (X,)),
    (d9, ("ab", 12345)),
    (e1, (X,)),
    (e2, (X,)),
    (e3, (X,)),
    (e4, ([X, X], [1, 2])),
    (e5, (X,)),
    (e6, (X,)),
    (e7, (X,)),
    (e8, (3, X[0])),
    (e9, (X,)),
    (f1, (X,)),
    (f2, (X,)),
    (f3, (X,)),
    (f4, (X,)),
    (f5, (X,)),
    (f6, (6, 3)),
    (f7, (X,)),
    (f8, (X,)),
    (f9, (6,)),
]
