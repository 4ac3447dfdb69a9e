"""What attention over a large map holds: ``python -m visattn.bench memory``.

Each block runs forward and backward in a fresh process of its own, so that no allocator remembers
another one. Measured is the peak above what was there just before: the block, the input and the
libraries. The system's own default allocator is used for all alike.
"""

import argparse
import os
import resource
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from visattn.bench.child import run_child
from visattn.blocks import block_entry

BLOCKS: dict[str, tuple[str, dict[str, Any]]] = {
    "NonLocalAttn of timm": ("", {}),
    **{
        f"nonlocal, {function}": ("nonlocal", {"pairwise": function})
        for function in ("embedded_gaussian", "gaussian", "dot", "concatenation")
    },
    "nonlocal, subsample": ("nonlocal", {"subsample": True}),
    **{name: (name, {}) for name in ("mhsa", "axial", "criss_cross", "local", "linear", "latents")},
}
"""What can be measured; the first is what the others are compared with."""

REFERENCE = next(iter(BLOCKS))


def step_peak(block: nn.Module, x: torch.Tensor, *, backward: bool = True) -> int:
    """Bytes at the peak of a training step above those before it, in this process.

    On the CPU it is the process's resident memory, whose peak never falls: where the system can't
    reset it (elsewhere than on Linux), only the first measurement of a process counts. Without
    ``backward`` it is that of a forward pass without gradients.
    """
    x = x.detach().requires_grad_(backward)
    before = _reset(x.device)
    if backward:
        block(x).sum().backward()
    else:
        with torch.inference_mode():
            block(x)
    return process_peak(x.device) - before


def fresh_peak(name: str, *, batch: int, channels: int, side: int, backward: bool = True) -> int:
    """`step_peak` of a block of `BLOCKS` in a process of its own."""
    if name not in BLOCKS:
        raise KeyError(f"no block {name!r}; there are {', '.join(BLOCKS)}")
    own = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}
    words = (name, batch, channels, side, int(backward))
    return int(run_child("visattn.bench.memory", *words, what=name, environment=own)[-1])


def memory_table(names: Sequence[str], sides: Sequence[int], *, batch: int, channels: int) -> Table:
    """Peaks of every block on maps of every side, over the input's bytes and over the reference."""
    table = Table("block", title=f"peak of a training step, batch {batch}, C = {channels}")
    for side in sides:
        for column in (f"{side} x {side}: MB", "over the input", "over timm's"):
            table.add_column(column, justify="right")
    rows: dict[str, list[str]] = {name: [] for name in names}
    for side in sides:
        size = batch * channels * side * side * 4
        peaks = {
            name: fresh_peak(name, batch=batch, channels=channels, side=side) for name in names
        }
        reference = peaks.get(REFERENCE)
        for name, peak in peaks.items():
            share = f"{peak / reference:.3f}" if reference else ""
            rows[name] += [f"{peak / 1e6:.0f}", f"{peak / size:.1f}", share]
    for name, cells in rows.items():
        table.add_row(name, *cells)
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m visattn.bench memory", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--sides", type=int, nargs="+", default=[56, 96], help="of the maps")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--channels", type=int, default=256)
    parser.add_argument("--blocks", nargs="+", choices=list(BLOCKS), default=list(BLOCKS))
    given = parser.parse_args(arguments)
    console = Console()
    places = max(given.sides) ** 2
    weights = given.batch * places**2 * 4
    if REFERENCE in given.blocks:
        console.print(f"timm's takes some {3.5 * weights / 1e9:.1f} GB", highlight=False)
    console.print(
        f"{_device()}, {torch.get_num_threads()} threads, torch {torch.__version__},"
        f" timm {metadata.version('timm')}; each block in a process of its own",
        highlight=False,
    )
    console.print(
        memory_table(given.blocks, given.sides, batch=given.batch, channels=given.channels)
    )


def build(name: str, channels: int) -> nn.Module:
    """A block of `BLOCKS`."""
    block, options = BLOCKS[name]
    if block:
        return block_entry(block).factory(channels, **options)
    from timm.layers.non_local_attn import NonLocalAttn  # takes its time, and only here

    theirs: nn.Module = NonLocalAttn(channels, rd_ratio=0.5, rd_divisor=1)  # as wide as ours
    return theirs


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _reset(device: torch.device) -> int:
    """Bytes in use now; the peak is counted from here."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")  # VmHWM, the peak, becomes what is resident now
    return process_peak(device)


def process_peak(device: torch.device) -> int:
    """Bytes at the peak so far: of this process, or on a device that isn't the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _one(words: Sequence[str]) -> None:
    """Measure one block in this process and print the bytes."""
    name, *numbers = words
    batch, channels, side, backward = map(int, numbers)
    torch.manual_seed(0)
    block = build(name, channels).to(_device()).train()
    small = torch.randn(1, channels, 8, 8, device=_device())
    step_peak(block, small)  # what libraries set up once
    for parameter in block.parameters():
        parameter.grad = None
    x = torch.randn(batch, channels, side, side, device=_device())
    print(step_peak(block, x, backward=bool(backward)))


if __name__ == "__main__":
    _one(sys.argv[1:])
