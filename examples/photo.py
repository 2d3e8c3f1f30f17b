"""Develops a photograph as a film laboratory would: one function of plain torch code.

Try it: `python -m jit compare examples/photo.py`
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from examples import prange
from jit import jit

OUT = Path("out")
DAYLIGHT = (1.08, 1.0, 0.88)  # gains of red, green, blue: a warm evening
LUMA = (0.2126, 0.7152, 0.0722)  # how bright the eye finds linear red, green, blue


@jit
def develop(
    photo: Tensor,
    balance: Tensor,
    luma: Tensor,
    exposure: float = 0.6,
    saturation: float = 1.35,
    vignette: float = 0.3,
) -> Tensor:
    """Film-like development of an 8-bit sRGB picture."""
    encoded = photo / 255
    linear = torch.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)

    # The film: stops of exposure, white balance, and an emulsion that saturates with an S-curve.
    light = linear * 2.0**exposure * balance
    density = 1 - torch.exp(-2.2 * light)
    film = 0.55 * density + 0.45 * density * density * (3 - 2 * density)

    gray = (film * luma).sum(-1, keepdim=True)
    color = gray + saturation * (film - gray)

    # The lens: darker with the square of the distance from the middle.
    height, width = photo.shape[0], photo.shape[1]
    y = torch.arange(height).unsqueeze(-1) * (2 / (height - 1)) - 1
    x = torch.arange(width) * (2 / (width - 1)) - 1
    falloff = 1 - vignette * 0.5 * (x * x + y * y)

    out = (color * falloff.unsqueeze(-1)).clamp(0, 1)
    srgb = torch.where(out <= 0.0031308, out * 12.92, 1.055 * out ** (1 / 2.4) - 0.055)
    return (srgb * 255 + 0.5).to(torch.uint8)


def sample_photo() -> Tensor:
    """A photograph of a palace that ships with scikit-learn, 427 x 640 x 3 bytes."""
    from sklearn.datasets import load_sample_image

    return torch.tensor(load_sample_image("china.jpg"))


def develop_args() -> tuple[Tensor, Tensor, Tensor]:
    """The photograph, the gains of the white balance and the weights of the luminance."""
    return sample_photo(), torch.tensor(DAYLIGHT), torch.tensor(LUMA)


def develop_numba(photo: Any, balance: Any, luma: Any) -> Any:
    """One pass over the pixels, three channels in registers; the sRGB curve decoded by table."""
    height, width, _ = photo.shape
    one = np.float32(1)
    decode = np.empty(256, np.float32)
    for i in range(256):
        e = np.float32(i) / np.float32(255)
        low = e / np.float32(12.92)
        high = ((e + np.float32(0.055)) / np.float32(1.055)) ** np.float32(2.4)
        decode[i] = low if e <= np.float32(0.04045) else high
    gain = np.float32(2.0**0.6)
    out = np.empty_like(photo)
    for row in prange(height):
        y = np.float32(row) * np.float32(2 / (height - 1)) - one
        film = np.empty(3, np.float32)
        for col in range(width):
            x = np.float32(col) * np.float32(2 / (width - 1)) - one
            falloff = one - np.float32(0.15) * (x * x + y * y)
            gray = np.float32(0)
            for c in range(3):
                light = decode[photo[row, col, c]] * gain * balance[c]
                d = one - np.exp(np.float32(-2.2) * light)
                s = d * d * (np.float32(3) - np.float32(2) * d)
                film[c] = np.float32(0.55) * d + np.float32(0.45) * s
                gray += film[c] * luma[c]
            for c in range(3):
                v = (gray + np.float32(1.35) * (film[c] - gray)) * falloff
                v = min(max(v, np.float32(0)), one)
                if v <= np.float32(0.0031308):
                    v = v * np.float32(12.92)
                else:
                    v = np.float32(1.055) * v ** np.float32(1 / 2.4) - np.float32(0.055)
                out[row, col, c] = np.uint8(v * np.float32(255) + np.float32(0.5))
    return out


def develop_jax(photo: Any, balance: Any, luma: Any) -> Any:
    """The same formulas on JAX arrays."""
    import jax.numpy as jnp

    encoded = photo.astype(jnp.float32) / 255
    linear = jnp.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    density = 1 - jnp.exp(-2.2 * linear * np.float32(2.0**0.6) * balance)
    film = 0.55 * density + 0.45 * density * density * (3 - 2 * density)
    gray = (film * luma).sum(-1, keepdims=True)
    height, width, _ = photo.shape
    y = jnp.arange(height, dtype=jnp.float32)[:, None] * np.float32(2 / (height - 1)) - 1
    x = jnp.arange(width, dtype=jnp.float32) * np.float32(2 / (width - 1)) - 1
    falloff = (1 - 0.15 * (x * x + y * y))[..., None]
    out = jnp.clip((gray + 1.35 * (film - gray)) * falloff, 0, 1)
    srgb = jnp.where(out <= 0.0031308, out * 12.92, 1.055 * out ** np.float32(1 / 2.4) - 0.055)
    return (srgb * 255 + 0.5).astype(jnp.uint8)


def save_pictures(folder: Path = OUT) -> tuple[Path, Path]:
    """Writes the photograph before and after; the compiled function runs until it is native."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    before, after = folder / "before.png", folder / "after.png"
    args = develop_args()
    for _ in range(3):
        developed = develop(*args)
    Image.fromarray(args[0].numpy()).save(before)
    Image.fromarray(developed.numpy()).save(after)
    return before, after
