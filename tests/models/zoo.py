"""Real architectures from small configurations, with random weights: what users bring."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Inputs = Callable[[int, int], dict[str, Any]]
Make = Callable[[Any, int], tuple[nn.Module, Inputs]]
"""From the transformers package and a number of layers: a model, and its inputs by batch size and
length (those of images have one size)."""

WORDS = 67
TEXT = {"vocab_size": WORDS, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64,
        "max_position_embeddings": 64, "bos_token_id": 1, "eos_token_id": 2}  # fmt: skip
ONE_PASS = {"use_cache": False}


def tokens(batch: int, length: int) -> dict[str, Any]:
    return {"input_ids": torch.randint(3, WORDS, (batch, length))}


def masked(batch: int, length: int) -> dict[str, Any]:
    mask = torch.ones(batch, length, dtype=torch.long)
    mask[0, length // 2 :] = 0
    return tokens(batch, length) | {"attention_mask": mask}


def decoded(batch: int, length: int) -> dict[str, Any]:
    return tokens(batch, length) | ONE_PASS


def pair(batch: int, length: int) -> dict[str, Any]:
    answer = torch.randint(3, WORDS, (batch, length // 2 + 1))
    return tokens(batch, length) | ONE_PASS | {"decoder_input_ids": answer}


def images(size: int, name: str = "pixel_values") -> Inputs:
    return lambda batch, _: {name: torch.randn(batch, 3, size, size)}


def text(family: str, inputs: Inputs, head: str = "Model", **options: Any) -> Make:
    """A model of the family of BERT or Llama."""

    def make(hf: Any, layers: int) -> tuple[nn.Module, Inputs]:
        config = getattr(hf, f"{family}Config")(**TEXT, num_hidden_layers=layers, **options)
        return getattr(hf, family + head)(config), inputs

    return make


def gpt2(inputs: Inputs) -> Make:
    def make(hf: Any, layers: int) -> tuple[nn.Module, Inputs]:
        config = hf.GPT2Config(vocab_size=WORDS, n_embd=32, n_layer=layers, n_head=4,
                               n_positions=64, bos_token_id=1, eos_token_id=2)  # fmt: skip
        return hf.GPT2LMHeadModel(config), inputs

    return make


def t5(head: str, inputs: Inputs) -> Make:
    def make(hf: Any, layers: int) -> tuple[nn.Module, Inputs]:
        config = hf.T5Config(vocab_size=WORDS, d_model=32, d_kv=8, d_ff=64, num_layers=layers,
                             num_heads=4)  # fmt: skip
        return getattr(hf, f"T5{head}")(config), inputs

    return make


def vit(hf: Any, layers: int) -> tuple[nn.Module, Inputs]:
    config = hf.ViTConfig(hidden_size=32, num_hidden_layers=layers, num_attention_heads=4,
                          intermediate_size=64, image_size=32, patch_size=8)  # fmt: skip
    return hf.ViTModel(config), images(32)


def swin(hf: Any, layers: int) -> tuple[nn.Module, Inputs]:
    config = hf.SwinConfig(image_size=32, patch_size=4, embed_dim=16, depths=[1, layers],
                           num_heads=[2, 4], window_size=4)  # fmt: skip
    return hf.SwinModel(config), images(32)


def convnext(hf: Any, layers: int) -> tuple[nn.Module, Inputs]:
    config = hf.ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, layers, 1])
    return hf.ConvNextModel(config), images(64)


def efficientnet(hf: Any, layers: int) -> tuple[nn.Module, Inputs]:
    config = hf.EfficientNetConfig(
        image_size=32, width_coefficient=0.25, depth_coefficient=0.5, hidden_dim=320
    )
    return hf.EfficientNetModel(config), images(32)


def resnet(hf: Any, layers: int) -> tuple[nn.Module, Inputs]:
    config = hf.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, layers],
                             layer_type="basic")  # fmt: skip
    return hf.ResNetModel(config), images(32)


def whisper(hf: Any, layers: int) -> tuple[nn.Module, Inputs]:
    config = hf.WhisperConfig(
        vocab_size=WORDS, d_model=32, encoder_layers=layers, encoder_attention_heads=4,
        encoder_ffn_dim=64, num_mel_bins=16, max_source_positions=20, pad_token_id=0,
        bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    encoder = hf.models.whisper.modeling_whisper.WhisperEncoder(config)
    return encoder, lambda batch, _: {"input_features": torch.randn(batch, 16, 40)}


class Double(nn.Sequential):
    """Two convolutions, as each level of a UNet has them."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__(
            nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(True),
            nn.Conv2d(out, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(True),
        )  # fmt: skip


class UNet(nn.Module):
    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        pairs = list(zip((3, *widths), widths, strict=False))
        self.downs = nn.ModuleList(Double(i, o) for i, o in pairs)
        self.rises = nn.ModuleList(
            nn.ConvTranspose2d(o, i, 2, stride=2) for i, o in reversed(pairs[1:])
        )
        self.ups = nn.ModuleList(Double(2 * i, i) for i, _ in reversed(pairs[1:]))
        self.pool, self.head = nn.MaxPool2d(2), nn.Conv2d(widths[0], 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept: list[Tensor] = []
        for k, down in enumerate(self.downs):
            x = down(x if k == 0 else self.pool(x))
            kept.append(x)
        kept.pop()
        for rise, up in zip(self.rises, self.ups):
            x = up(torch.cat([kept.pop(), rise(x)], 1))
        return self.head(x)


def opt(hf: Any, layers: int) -> tuple[nn.Module, Inputs]:
    config = hf.OPTConfig(vocab_size=WORDS, hidden_size=32, num_hidden_layers=layers, ffn_dim=64,
                          num_attention_heads=4, max_position_embeddings=64,
                          word_embed_proj_dim=32)  # fmt: skip
    return hf.OPTForCausalLM(config), lambda b, n: masked(b, n) | ONE_PASS


def segformer(hf: Any, layers: int) -> tuple[nn.Module, Inputs]:
    config = hf.SegformerConfig(hidden_sizes=[8, 16, 16, 32], depths=[1, 1, 1, layers],
                                num_attention_heads=[1, 2, 2, 4])  # fmt: skip
    return hf.SegformerModel(config), images(64)


def beit(hf: Any, layers: int) -> tuple[nn.Module, Inputs]:
    config = hf.BeitConfig(hidden_size=32, num_hidden_layers=layers, num_attention_heads=4,
                           intermediate_size=64, image_size=32, patch_size=8,
                           use_relative_position_bias=True)  # fmt: skip
    return hf.BeitModel(config), images(32)


def wav2vec2(hf: Any, layers: int) -> tuple[nn.Module, Inputs]:
    config = hf.Wav2Vec2Config(
        vocab_size=WORDS, hidden_size=32, num_hidden_layers=layers, num_attention_heads=4,
        intermediate_size=64, conv_dim=(32, 32), conv_kernel=(10, 3), conv_stride=(5, 2),
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, num_feat_extract_layers=2,
    )  # fmt: skip
    return hf.Wav2Vec2Model(config), lambda b, n: {"input_values": torch.randn(b, 100 * n)}


def encoder_decoder(hf: Any, layers: int) -> tuple[nn.Module, Inputs]:
    """Torch's own modules."""
    model = nn.Transformer(32, 4, layers, layers, 64, batch_first=True)
    return model, lambda b, n: {"src": torch.randn(b, n, 32), "tgt": torch.randn(b, 8, 32)}


def unet(hf: Any, layers: int) -> tuple[nn.Module, Inputs]:
    return UNet((8, 16, 24)[: layers + 1]), lambda b, n: {"x": torch.randn(b, 3, 16, 16)}


MODELS: dict[str, Make] = {
    "BERT": text("Bert", tokens),
    "BERT, masked": text("Bert", masked),
    "BERT, classes": text("Bert", masked, "ForSequenceClassification"),
    "RoBERTa": text("Roberta", tokens, pad_token_id=0),
    "GPT-2": gpt2(decoded),
    "GPT-2, with a cache": gpt2(tokens),
    "Llama": text("Llama", decoded, "ForCausalLM", num_key_value_heads=2),
    "Mistral": text("Mistral", decoded, "ForCausalLM", num_key_value_heads=2, sliding_window=4),
    "Qwen2": text("Qwen2", decoded, "ForCausalLM", num_key_value_heads=2),
    "OPT": opt,
    "T5": t5("ForConditionalGeneration", pair),
    "T5 encoder": t5("EncoderModel", masked),
    "ViT": vit,
    "BEiT": beit,
    "Swin": swin,
    "SegFormer": segformer,
    "ConvNeXt": convnext,
    "EfficientNet": efficientnet,
    "ResNet": resnet,
    "Whisper encoder": whisper,
    "wav2vec 2": wav2vec2,
    "nn.Transformer": encoder_decoder,
    "UNet": unet,
}
