"""Inputs of an archive that is run from the shell: arrays of files, or random tensors.

x.npy                        an array
x.safetensors                all its tensors: by name where the method has parameters of these
                             names, as a dict where its first parameter is one, else in order
random:2x3[:int64]           a tensor of these sizes, float32 without a dtype
random                       inputs like those that the module was traced with
3, 0.5, True, "a", [1, 2]    plain data
"""

from __future__ import annotations

import ast
import json
import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from jit.archive.errors import ArchiveError
from jit.archive.inspect import Summary, TensorInfo
from jit.archive.tensors import dtype_of_storage

_SAFE_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
_MAX_HEADER = 100 << 20
Named = dict[str, torch.Tensor]


def read_inputs(texts: Sequence[str], summary: Summary, method: str) -> tuple[list[Any], Named]:
    """Positional and named inputs from their descriptions on the command line."""
    positional: list[Any] = []
    named: Named = {}
    for text in texts:
        if text.endswith(".npy"):
            positional.append(torch.from_numpy(np.load(text, allow_pickle=False)))
        elif text.endswith(".safetensors"):
            named |= _read_safetensors(text)
        elif text == "random":
            positional += _like_traced(summary, method)
        elif text.startswith("random:"):
            positional.append(_random(*text.split(":")[1:]))
        else:
            positional.append(_plain(text))
    params = _parameters(summary, method)
    if not set(named) <= set(params):
        takes_dict = not positional and next(iter(params.values()), "") == "Dict[str, Tensor]"
        if takes_dict:
            return [named], {}
        positional, named = [*positional, *named.values()], {}
    return positional, named


def _plain(text: str) -> Any:
    """Python's literals."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        known = "x.npy, x.safetensors, random:2x3, random or plain data such as 3 or [1, 2]"
        raise ArchiveError(f"{text!r} is no input: {known}") from None


def _parameters(summary: Summary, method: str) -> dict[str, str]:
    """Names and types of a method's parameters."""
    found = [m for m in summary.methods if m.name == method]
    if not found:
        known = ", ".join(m.name for m in summary.methods)
        raise ArchiveError(f"{summary.root} has no method {method!r}, only {known}")
    return found[0].parameters


def _random(sizes: str, dtype: str = "float32") -> torch.Tensor:
    found = getattr(torch, dtype, None)
    if not isinstance(found, torch.dtype) or not all(n.isdigit() for n in sizes.split("x") if n):
        raise ArchiveError(f"random:{sizes}:{dtype} is no input: write random:2x3:float32")
    return _random_of([int(n) for n in sizes.split("x") if n], found)


def _random_of(sizes: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    if dtype.is_floating_point or dtype.is_complex:
        return torch.randn(*sizes, dtype=dtype)
    return torch.randint(0, 2, tuple(sizes)).to(dtype)


def _like_traced(summary: Summary, method: str) -> list[Any]:
    """Random inputs like those of the trace."""
    stored = summary.traced_inputs
    found = stored.get(method) if isinstance(stored, dict) else None
    if not isinstance(found, list):
        raise ArchiveError(
            "the archive does not say what its inputs are like: give sizes, as in random:2x3"
        )
    return [_like(value) for value in found]


def _like(value: Any) -> Any:
    if isinstance(value, TensorInfo):
        return _random_of(value.sizes, dtype_of_storage(f"{value.dtype}Storage"))
    if isinstance(value, list | tuple):
        return type(value)(map(_like, value))
    return value


def _read_safetensors(path: str) -> Named:
    """The tensors of a file: a length, a header in JSON, the bytes."""
    with open(path, "rb") as file:
        content = bytearray(file.read())
    try:
        (length,) = struct.unpack_from("<Q", content)
        header = json.loads(bytes(content[8 : 8 + min(length, _MAX_HEADER)]))
        header.pop("__metadata__", None)
        return {name: _tensor_at(content, 8 + length, entry) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise ArchiveError(f"{path} is no safetensors file ({error})") from None


def _tensor_at(content: bytearray, start: int, entry: dict[str, Any]) -> torch.Tensor:
    dtype, shape = _SAFE_DTYPES[entry["dtype"]], entry["shape"]
    begin, end = entry["data_offsets"]
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError("a tensor does not fill its place")
    if begin == end:
        return torch.empty(shape, dtype=dtype)
    raw = torch.frombuffer(content, dtype=torch.uint8, count=end - begin, offset=start + begin)
    return raw.clone().view(dtype).reshape(shape)
