"""Loaders whose order and augmentation depend on the seed and the epoch alone."""

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, final

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler


@final
class EpochSampler(Sampler[tuple[int, int]]):
    """Rows in a new random order each epoch, each with the epoch's number: (row, epoch).

    The order follows from the seed and the epoch, so that training that is resumed at an epoch
    sees what it would have seen. Lightning tells the epoch; without it, epochs count themselves.

    With ``groups``, an epoch has as many draws as there are rows, each of a group, all alike
    likely, and of a row in it: rows of small groups come many times. In place of the epoch stands
    a number of the draw's own, so that a row that comes again is augmented in another way.

    Args:
        count: Number of rows.
        seed: Which orders.
        groups: The group of each row, to draw evenly over them.

    Example:
        >>> sampler = EpochSampler(4, seed=0)
        >>> first, second = list(sampler), list(sampler)
        >>> sorted(first), first == second
        ([(0, 0), (1, 0), (2, 0), (3, 0)], False)
        >>> sampler.set_epoch(0)
        >>> list(sampler) == first
        True
        >>> sampler = EpochSampler(100, groups=["common"] * 99 + ["rare"])
        >>> 35 < [row for row, _ in sampler].count(99) < 65
        True
    """

    def __init__(
        self, count: int, *, seed: int = 0, groups: Sequence[Hashable] | None = None
    ) -> None:
        self.count, self.seed, self.epoch = count, seed, 0
        rows: dict[Hashable, list[int]] = {}
        for row, group in enumerate(groups or ()):
            rows.setdefault(group, []).append(row)
        self._groups = list(rows.values())

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration that of this epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self.epoch
        self.epoch = epoch + 1
        draw = np.random.default_rng([self.seed, epoch])
        if not self._groups:
            return iter([(int(row), epoch) for row in draw.permutation(self.count)])
        chosen = draw.integers(len(self._groups), size=self.count)
        order = [int(draw.choice(self._groups[group])) for group in chosen]
        return iter([(row, epoch * self.count + place) for place, row in enumerate(order)])


def training_loader(
    dataset: Dataset[Any],
    *,
    count: int,
    batch_size: int,
    workers: int,
    seed: int,
    groups: Sequence[Hashable] | None = None,
) -> DataLoader[Any]:
    """A shuffling loader over ``count`` rows; a last, smaller batch is left out (batch norm).

    With fewer rows than a batch holds, all of them are the one batch.
    """
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=EpochSampler(count, seed=seed, groups=groups),
        drop_last=count >= batch_size,
        **_worker_options(workers),
    )


def evaluation_loader(
    dataset: Dataset[Any],
    *,
    batch_size: int,
    workers: int,
    rows: Sequence[tuple[int, int]] | None = None,
) -> DataLoader[Any]:
    """A loader of every row in its order, or of these (row, epoch)."""
    return DataLoader(
        dataset, batch_size=batch_size, shuffle=False, sampler=rows, **_worker_options(workers)
    )


def _worker_options(workers: int) -> dict[str, Any]:
    return {
        "num_workers": workers,
        "persistent_workers": workers > 0,
        "worker_init_fn": _prepare_worker if workers > 0 else None,
        "pin_memory": torch.cuda.is_available(),
    }


def _prepare_worker(worker: int) -> None:
    """One thread a worker: the processes are the parallelism."""
    from visattn.data.optional import cv2

    cv2.setNumThreads(0)
    torch.set_num_threads(1)
