"""What is left of a stopped training: ``python -m visattn.bench interrupted``.

A small training is stopped at random moments, every second time while it writes a checkpoint, by
SIGKILL or SIGTERM; then it is resumed, or begun again where it had left nothing, and its last
checkpoint is compared bit for bit with that of a training that was never stopped: weights,
optimiser, schedule and random states. Needs a system that forks.
"""

import argparse
import contextlib
import itertools
import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

import visattn.data.augmentation  # imported before a fork, and not after each
import visattn.data.modules  # noqa: F401
from visattn.training import run_command
from visattn.training.command_line.runs import find_checkpoint

SMALL = (
    *("--data.train=64", "--data.val=16", "--data.test=8", "--data.size=32"),
    *("--data.batch_size=8", "--data.mask_share=0.5", "--model.warmup=0.1"),
    *("--trainer.max_epochs=3", "--trainer.enable_progress_bar=false", "--name=small"),
)
"""What makes a recipe of ``foreground`` a training of a second or two."""

COMPARED = ("state_dict", "optimizer_states", "lr_schedulers", "visattn_moment", "global_step")


def trained(recipe: str, folder: Path, *options: str) -> Path:
    """The last checkpoint of a small training that nothing stops, from the last one on if any."""
    process = _begin(recipe, folder, *options)
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{recipe} in {folder} ended with code {process.exitcode}")
    return find_checkpoint(folder, name="small")


def stopped(
    recipe: str, folder: Path, *options: str, after: float, way: signal.Signals, writing: bool
) -> bool:
    """Begin a small training and stop it; whether it was still running.

    Args:
        recipe: Of ``foreground``.
        folder: Of its runs.
        options: Further words.
        after: Seconds from its start.
        way: The signal.
        writing: Whether to wait for the next write of a checkpoint besides.
    """
    process = _begin(recipe, folder, *options)
    process.join(after)
    while writing and process.is_alive() and not list(folder.rglob("*.part.ckpt")):
        time.sleep(0.0005)
    running = process.is_alive()
    if running and process.pid is not None:
        os.killpg(process.pid, way)  # its loaders too
    process.join()
    return running


def resumed(recipe: str, folder: Path, *options: str) -> Path:
    """The last checkpoint after the rest of a training, or after all of it."""
    with contextlib.suppress(FileNotFoundError):
        find_checkpoint(folder, name="small")
        options = (*options, "--ckpt_path=last")
    return trained(recipe, folder, *options)


def differences(one: Path, other: Path) -> list[str]:
    """The places in which two checkpoints are not equal bit for bit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # with more a training that is forked later would wait for them
    try:
        left, right = (torch.load(path, weights_only=True) for path in (one, other))
        return [place for name in COMPARED for place in _differing(left[name], right[name], name)]
    finally:
        torch.set_num_threads(threads)


def main(arguments: Sequence[str] | None = None) -> None:
    """Stop and resume, print a line for each difference and the count."""
    parser = argparse.ArgumentParser(
        prog="python -m visattn.bench interrupted", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--moments", type=int, default=50)
    parser.add_argument("--recipes", nargs="+", default=["plain", "mask", "labels", "group_dro"])
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    console, draw = Console(highlight=False), random.Random(given.seed)
    options = (f"--data.workers={given.workers}",)
    equal = caught = 0
    with tempfile.TemporaryDirectory() as root:
        whole, seconds = {}, {}
        for recipe in given.recipes:
            whole[recipe] = trained(recipe, Path(root, recipe), *options)
            begun = time.monotonic()
            trained(recipe, Path(root, f"{recipe}_again"), *options)
            seconds[recipe] = time.monotonic() - begun
        for moment, recipe in zip(range(given.moments), itertools.cycle(given.recipes)):
            folder = Path(root, f"{moment}")
            way = signal.SIGTERM if moment % 3 == 2 else signal.SIGKILL
            after, writing = draw.uniform(0, seconds[recipe]), moment // len(given.recipes) % 2 == 1
            caught += stopped(recipe, folder, *options, after=after, way=way, writing=writing)
            found = differences(whole[recipe], resumed(recipe, folder, *options))
            equal += not found
            console.print(
                f"{moment + 1}: {recipe}, {way.name} after {after:.2f} s"
                f"{', writing' if writing else ''}: {', '.join(found[:5]) or 'equal'}"
            )
    console.print(
        f"{given.moments} moments, {caught} within the training: {equal} bit-equal at the end"
    )


def _begin(recipe: str, folder: Path, *options: str) -> BaseProcess:
    context = multiprocessing.get_context("fork")
    words = ["fit", "-c", f"foreground/{recipe}", *SMALL, f"--runs={folder}", *options]
    process = context.Process(target=_run, args=(words,))
    process.start()
    return process


def _run(words: list[str]) -> None:
    os.setsid()
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    run_command(words)


def _differing(left: Any, right: Any, place: str) -> list[str]:
    """Where two nested values differ."""
    if isinstance(left, Tensor):
        same = isinstance(right, Tensor) and torch.equal(left, right)
        return [] if same else [place]
    if isinstance(left, dict) and isinstance(right, dict) and left.keys() == right.keys():
        return [p for key in left for p in _differing(left[key], right[key], f"{place}.{key}")]
    if isinstance(left, (list, tuple)) and len(left) == len(right):
        pairs = enumerate(zip(left, right, strict=True))
        return [p for n, (a, b) in pairs for p in _differing(a, b, f"{place}.{n}")]
    return [] if left == right else [place]


if __name__ == "__main__":
    main()
