"""Loaders whose order and augmentation depend on the seed and the epoch alone."""

from collections.abc import Iterator
from typing import Any, final

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler


@final
class EpochSampler(Sampler[tuple[int, int]]):
    """Rows in a new random order each epoch, each with the epoch's number: (row, epoch).

    The order follows from the seed and the epoch, so that training that is resumed at an epoch
    sees what it would have seen. Lightning tells the epoch; without it, epochs count themselves.

    Args:
        count: Number of rows.
        seed: Which orders.

    Example:
        >>> sampler = EpochSampler(4, seed=0)
        >>> first, second = list(sampler), list(sampler)
        >>> sorted(first), first == second
        ([(0, 0), (1, 0), (2, 0), (3, 0)], False)
        >>> sampler.set_epoch(0)
        >>> list(sampler) == first
        True
    """

    def __init__(self, count: int, *, seed: int = 0) -> None:
        self.count, self.seed, self.epoch = count, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration that of this epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self.epoch
        self.epoch = epoch + 1
        order = np.random.default_rng([self.seed, epoch]).permutation(self.count)
        return iter([(int(row), epoch) for row in order])


def training_loader(
    dataset: Dataset[Any], *, count: int, batch_size: int, workers: int, seed: int
) -> DataLoader[Any]:
    """A shuffling loader over ``count`` rows; a last, smaller batch is left out (batch norm).

    With fewer rows than a batch holds, all of them are the one batch.
    """
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=EpochSampler(count, seed=seed),
        drop_last=count >= batch_size,
        **_worker_options(workers),
    )


def evaluation_loader(dataset: Dataset[Any], *, batch_size: int, workers: int) -> DataLoader[Any]:
    """A loader of every row in its order."""
    return DataLoader(dataset, batch_size=batch_size, shuffle=False, **_worker_options(workers))


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
