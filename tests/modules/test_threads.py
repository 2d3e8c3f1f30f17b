"""Several threads that call one scripted module at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import nn

import jit


def test_four_threads_and_one_that_counts() -> None:
    torch.manual_seed(0)
    module = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True).eval()
    scripted = jit.script(module)
    inputs = [torch.rand(2, length, 32) for length in (5, 8, 13, 21)]
    with torch.no_grad():
        expected = [module(x) for x in inputs]
    ticks, stop = [0], threading.Event()

    def count() -> None:
        while not stop.is_set():
            ticks[0] += 1
            stop.wait(0.0005)

    def work(k: int) -> list[torch.Tensor]:
        with torch.no_grad():
            return [scripted(inputs[k]) for _ in range(20)]

    counter = threading.Thread(target=count)
    counter.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(work, range(4), timeout=120))
    finally:
        stop.set()
        counter.join()
    for results, wanted in zip(found, expected, strict=True):
        for result in results:
            torch.testing.assert_close(result, wanted, atol=1e-5, rtol=1e-5)
    assert ticks[0] > 3
