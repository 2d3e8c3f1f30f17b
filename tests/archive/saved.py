"""Programs saved by torch: what the reader has to understand, with inputs to compare on."""

import enum
import io
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn


class Detection(NamedTuple):
    boxes: Tensor
    label: str
    count: int


class Mode(enum.Enum):
    FAST = 1
    EXACT = 2


@torch.jit.script
class Counter:
    def __init__(self, start: int):
        self.total = start
        self.seen = torch.jit.annotate(list[int], [])

    def add(self, n: int) -> int:
        self.total += n
        self.seen.append(n)
        return self.total

    @property
    def mean(self) -> float:
        return self.total / len(self.seen)

    def __len__(self) -> int:
        return len(self.seen)


@torch.jit.interface
class Scorer(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        pass


def clipped(x: Tensor, limit: float, steps: int = 3) -> Tensor:
    for _ in range(steps):
        if bool(x.abs().max() < limit):
            break
        x = x / 2
    return x


class Tagger(nn.Module):
    """An LSTM cell under control flow."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 6)
        self.cell = nn.LSTMCell(6, 8)
        self.out = nn.Linear(8, 5)

    def forward(self, tokens: Tensor, limit: int = 10) -> tuple[Tensor, list[int]]:
        h = torch.zeros(1, 8)
        c = torch.zeros(1, 8)
        tags: list[int] = []
        scores: list[Tensor] = []
        for i in range(tokens.size(0)):
            if i >= limit:
                break
            h, c = self.cell(self.embed(tokens[i : i + 1]), (h, c))
            score = self.out(h)
            tag = int(score.argmax())
            if len(tags) > 0 and tags[-1] == tag:
                continue
            tags.append(tag)
            scores.append(score)
        return torch.cat(scores), tags


class Block(nn.Module):
    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.shortcut = nn.Conv2d(width, width, 1, stride) if stride != 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(x)) + self.shortcut(x))


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 7, 2, 3)
        self.layers = nn.Sequential(*(Block(8, s) for s in (1, 2, 1, 2)))
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.max_pool2d(torch.relu(self.stem(x)), 3, 2, 1)
        return self.head(
            torch.flatten(torch.nn.functional.adaptive_avg_pool2d(self.layers(x), 1), 1)
        )


class Scored(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.inner(x))


class Detector(nn.Module):
    """Lists, dicts, named tuples, enums, script classes, interfaces, exceptions, tasks."""

    scale: Final[float]
    scorer: Scorer
    names: dict[int, str]

    def __init__(self) -> None:
        super().__init__()
        self.scale = 0.5
        self.names = {0: "cat", 1: 'a "dog"\n'}
        self.scorer = Scored()
        self.register_buffer("anchors", torch.arange(8.0).view(2, 4))
        self.heads = nn.ModuleList([nn.Linear(4, 2), nn.Linear(4, 2)])

    def forward(
        self, x: Tensor, mode: Mode, threshold: float | None = None
    ) -> tuple[list[Detection], dict[str, Tensor], float]:
        found: list[Detection] = []
        sums: dict[str, Tensor] = {}
        counter = Counter(1)
        task = torch.jit.fork(clipped, x, 2.0)
        for i, head in enumerate(self.heads):
            y = head(self.scorer(x + self.anchors)) * self.scale
            sums[f"head{i}"] = y.sum()
            counter.add(int(y.numel()))
            if threshold is not None and float(y.max()) > threshold:
                found.append(Detection(y, self.names[i % 2], len(counter)))
        if mode == Mode.EXACT:
            sums["task"] = torch.jit.wait(task)
        if x.dim() != 2:
            raise ValueError("expected two dims")
        assert x.dtype == torch.float32, "float only"
        return found, sums, counter.mean


def saved(obj: Any) -> bytes:
    """The archive that torch writes for a module, scripted if it is not."""
    is_scripted = isinstance(obj, (torch.jit.ScriptModule, torch.jit.ScriptFunction))
    made = obj if is_scripted else torch.jit.script(obj)
    buffer = io.BytesIO()
    torch.jit.save(made, buffer)
    return buffer.getvalue()
