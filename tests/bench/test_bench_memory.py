import subprocess
import sys

import pytest

from visattn.bench.memory import BLOCKS, REFERENCE, fresh_peak, memory_table

OURS = "nonlocal, embedded_gaussian"
HUNGRY = """
import torch
from torch import nn
from visattn.bench.memory import step_peak

class Hungry(nn.Module):
    def __init__(self, megabytes):
        super().__init__()
        self.numbers = megabytes * 10**6 // 4

    def forward(self, x):
        return x * torch.ones(self.numbers).add_(1).sum()

for megabytes in (40, 160, 80):
    print(step_peak(Hungry(megabytes), torch.randn(1, 4, 8, 8)))
"""
"""Holds a tensor of so many megabytes while it runs."""


def test_the_peak_is_what_a_step_holds_for_a_moment():
    # In a process of its own: what other tests left to the allocator would be taken again, unseen.
    done = subprocess.run(
        [sys.executable, "-c", HUNGRY], capture_output=True, text=True, check=True
    )
    found = [int(line) / 1e6 for line in done.stdout.split()]
    for megabytes, peak in zip((40, 160, 80), found, strict=True):
        assert megabytes - 1 <= peak <= megabytes + 8, found


def test_the_reference_holds_the_weights_and_ours_do_not():
    weights = 2 * 64**4 * 4
    peaks = {name: fresh_peak(name, batch=2, channels=16, side=64) for name in (OURS, REFERENCE)}
    assert peaks[REFERENCE] > 2 * weights
    assert peaks[OURS] < 0.5 * weights


def test_an_unknown_block_and_a_failing_process():
    with pytest.raises(KeyError, match="no block 'se'; there are NonLocalAttn of timm"):
        fresh_peak("se", batch=1, channels=4, side=4)
    with pytest.raises(RuntimeError, match="nonlocal, dot failed with code 1"):
        fresh_peak("nonlocal, dot", batch=1, channels=0, side=4)


def test_table(monkeypatch):
    peaks = dict.fromkeys(BLOCKS, 40960) | {REFERENCE: 409600}
    monkeypatch.setattr("visattn.bench.memory.fresh_peak", lambda name, **sizes: peaks[name])
    table = memory_table([REFERENCE, "mhsa"], [8], batch=2, channels=4)
    columns = [list(column.cells) for column in table.columns]
    assert columns == [[REFERENCE, "mhsa"], ["0", "0"], ["200.0", "20.0"], ["1.000", "0.100"]]
