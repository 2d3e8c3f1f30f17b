"""Whole models that torch has saved: loaded, run, saved again, and loaded back by torch, with equal
results everywhere.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import jit
from tests.archive.saved import Detector, Mode, Tagger, saved
from tests.archive.test_load import CALLS, equal

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning"),
    pytest.mark.filterwarnings("ignore:Please use quant_min:UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning:transformers"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]
Model = tuple[Any, tuple[Any, ...]]


class BasicBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride != 1:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class ResNet18(nn.Module):
    """Of the paper's structure, eight times narrower."""

    def __init__(self, width: int = 8, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        widths = [width, width, 2 * width, 4 * width, 8 * width]
        for k in range(1, 5):
            inputs, outputs, stride = widths[k - 1], widths[k], 1 if k == 1 else 2
            pair = BasicBlock(inputs, outputs, stride), BasicBlock(outputs, outputs, 1)
            setattr(self, f"layer{k}", nn.Sequential(*pair))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(widths[-1], classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


class SequenceTagger(nn.Module):
    """A bidirectional LSTM over a padded batch, and a greedy search with a constraint."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 6)
        self.lstm = nn.LSTM(6, 8, bidirectional=True, batch_first=True)
        self.out = nn.Linear(16, 5)

    def forward(
        self, tokens: torch.Tensor, lengths: list[int]
    ) -> tuple[list[list[int]], torch.Tensor]:
        scores = self.out(self.lstm(self.embed(tokens))[0]).log_softmax(-1)
        found: list[list[int]] = []
        total = torch.zeros([])
        for row, length in enumerate(lengths):
            tags: list[int] = []
            for k in range(length):
                best = int(scores[row, k].argmax())
                if len(tags) > 0 and tags[-1] == 3 and best == 4:
                    best = 0
                tags.append(best)
                total = total + scores[row, k, best]
            found.append(tags)
        return found, total


class Quantized(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.quant = torch.ao.quantization.QuantStub()
        self.layers = nn.Sequential(*layers)
        self.dequant = torch.ao.quantization.DeQuantStub()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dequant(self.layers(self.quant(x)))


def quantized(x: torch.Tensor, *layers: nn.Module) -> Model:
    """A model quantized for what `x` shows."""
    tools = torch.ao.quantization
    model = Quantized(*layers).eval()
    model.qconfig = tools.get_default_qconfig("x86")  # type: ignore[assignment]
    tools.prepare(model, inplace=True)
    model(x)
    return tools.convert(model), (x,)


def bert(attention: str) -> Model:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=16, attn_implementation=attention,
        return_dict=False,
    )  # fmt: skip
    ids = torch.randint(0, 50, (2, 7))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    args = (ids, mask)
    return torch.jit.trace(transformers.BertModel(config).eval(), args, strict=False), args


def dynamic() -> Model:
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)).eval()
    made = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    return made, (torch.randn(3, 8),)


MODELS: dict[str, Callable[[], Model]] = {
    "ResNet-18": lambda: (ResNet18().eval(), (torch.randn(2, 3, 32, 32),)),
    "tagger": lambda: (Tagger().eval(), (torch.arange(12) % 5,)),
    "LSTM tagger": lambda: (SequenceTagger(), (torch.randint(0, 20, (3, 6)), [6, 2, 4])),
    "BERT": lambda: bert("eager"),
    "BERT with fused attention": lambda: bert("sdpa"),
    "detector": lambda: (Detector(), (torch.randn(2, 4), Mode.EXACT, -10.0)),
    "dynamic quantized linear": dynamic,
    "static quantized linear": lambda: quantized(
        torch.randn(9, 8), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)
    ),
    "static quantized convolution": lambda: quantized(
        torch.randn(2, 3, 8, 8), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)
    ),
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_archives_go_around(make: Callable[[], Model]) -> None:
    torch.manual_seed(0)
    model, args = make()
    archive = saved(model)
    ours = jit.load(io.BytesIO(archive))
    again = ours.save_to_buffer()
    with torch.no_grad():
        wanted = torch.jit.load(io.BytesIO(archive))(*args)
        for _ in range(CALLS):
            assert equal(wanted, ours(*args))
        assert equal(wanted, torch.jit.load(io.BytesIO(again))(*args))
        assert equal(wanted, jit.load(io.BytesIO(again))(*args))
    assert jit.load(io.BytesIO(again)).save_to_buffer() == again
