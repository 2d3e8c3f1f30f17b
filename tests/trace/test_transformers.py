"""Models of the transformers package, built small with random weights: a trace serves other batch
and sequence sizes, and other masks.
"""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

from jit.trace.recorder import TracerWarning
from jit.tracing import trace

transformers = pytest.importorskip("transformers")

WORDS = 50
WIDTHS = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
          "num_attention_heads": 4}  # fmt: skip
ENDS = {"bos_token_id": 1, "eos_token_id": 2}


def ids(batch: int, length: int) -> torch.Tensor:
    return torch.randint(0, WORDS, (batch, length))


def bert(batch: int, length: int) -> dict[str, Any]:
    mask = torch.ones(batch, length, dtype=torch.long)
    mask[0, length // 2 :] = 0
    return {"input_ids": ids(batch, length), "attention_mask": mask}


def decoder(batch: int, length: int) -> dict[str, Any]:
    return {"input_ids": ids(batch, length)}


def t5(batch: int, length: int) -> dict[str, Any]:
    return {"input_ids": ids(batch, length), "decoder_input_ids": ids(batch, length - 2)}


def vit(batch: int, length: int) -> dict[str, Any]:
    return {"pixel_values": torch.randn(batch, 3, 32, 32)}  # the model refuses other sizes


MODELS: dict[str, tuple[Any, dict[str, Any]]] = {
    "Bert": (bert, WIDTHS | {"vocab_size": WORDS}),
    "GPT2": (decoder, {"vocab_size": WORDS, "n_embd": 32, "n_layer": 1, "n_head": 4,
                       "use_cache": False} | ENDS),
    "Llama": (decoder, WIDTHS | ENDS | {"vocab_size": WORDS, "num_key_value_heads": 2,
                                        "use_cache": False}),
    "T5": (t5, {"vocab_size": WORDS, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1,
                "num_heads": 4, "use_cache": False}),
    "ViT": (vit, WIDTHS | {"image_size": 32, "patch_size": 8}),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_models_serve_other_sizes(name: str) -> None:
    inputs, config = MODELS[name]
    model = getattr(transformers, f"{name}Model")(
        getattr(transformers, f"{name}Config")(**config)
    ).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TracerWarning)  # tests of sizes that only choose a path
        traced = trace(model, example_kwarg_inputs=inputs(2, 7))
    with torch.no_grad():
        for batch, length in ((3, 11), (1, 5)):
            given = inputs(batch, length)
            expected, found = model(**given), traced(**given)
            assert type(found) is type(expected)
            assert list(found) == list(expected)
            for key, value in expected.items():
                torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-4)
