"""Data that are generated, in splits for training, validation and one or several tests."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from visattn.data.loading.loaders import ResumableLoader
from visattn.data.loading.samplers import DrawnOrder, EveryRow
from visattn.training.checks import check_in

Batch = dict[str, Tensor]
Item = TypeVar("Item")


class SplitData(L.LightningDataModule, ABC):
    """A data module that makes each of its splits from a size and a seed.

    Args:
        train: How much to train on.
        val: How much to validate on.
        test: Size of each test split.
        batch_size: Size of a batch.
        seed: Of all splits.

    Attributes:
        test_names: Names of the test splits; there is one, called ``test``, if they have none.

    Raises:
        ValueError: A number is below its least value.
    """

    test_names: Sequence[str] = ()

    def __init__(self, *, train: int, val: int, test: int, batch_size: int, seed: int) -> None:
        super().__init__()
        self.sizes = {"train": train, "val": val, "test": test}
        check_in("[1, inf)", **self.sizes, batch_size=batch_size)
        check_in("[0, inf)", seed=seed)
        self.batch_size = batch_size
        self.seed = seed

    @abstractmethod
    def loader(self, split: str, *, shuffle: bool = False) -> DataLoader[Any]:
        """Batches of ``train``, ``val``, ``test`` or one of ``test_names``.

        Args:
            split: Its name.
            shuffle: In a new order each epoch.
        """

    def size_and_seed(self, split: str) -> tuple[int, int]:
        """How large a split is, and its seed; all test splits have the same."""
        kind = split.partition("_")[0]
        return self.sizes[kind], 3 * self.seed + list(self.sizes).index(kind)

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches in a new order each epoch."""
        return self.loader("train", shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        """The validation split."""
        return self.loader("val")

    def test_dataloader(self) -> DataLoader[Any] | list[DataLoader[Any]]:
        """The test split, or a loader for each of ``test_names``."""
        return [self.loader(name) for name in self.test_names] or self.loader("test")


def dealing_loader(
    things: Any,
    *,
    shuffle: bool,
    share: Mapping[str, int],
    rows: Sequence[Any] | None = None,
    draw: Callable[[], Sequence[Any]] | None = None,
    **options: Any,
) -> DataLoader[Any]:
    """A loader that deals things among processes, and goes on within an epoch.

    Args:
        things: A dataset.
        shuffle: In a new order each epoch, as many for each process.
        share: Of how many processes this is which, see `visattn.data.loading.loaders.share_of`.
        rows: What is asked of the dataset, where it isn't each of its rows.
        draw: Gives the new order of these, see `DrawnOrder`.
        options: The loader's.
    """
    rows = range(len(things)) if rows is None else rows
    if not shuffle:
        return ResumableLoader(things, sampler=EveryRow(rows, **share), **options)
    sampler: DrawnOrder[Any] = DrawnOrder(len(rows), draw=draw, **share)
    return ResumableLoader(things, sampler=sampler, generator=torch.Generator(), **options)


def batch_loader(
    groups: Iterable[Sequence[Item]],
    *,
    batch_size: int,
    collate: Callable[[Sequence[Item]], Batch],
    shuffle: bool = False,
    share: Mapping[str, int] | None = None,
) -> DataLoader[Any]:
    """Batches of each group by itself, its last one with what is left.

    Args:
        groups: Items that may share a batch.
        batch_size: Items of a batch.
        collate: From items to a batch.
        shuffle: Batches in a new order each epoch.
        share: Of how many processes this is which; there is one if None.

    Example:
        >>> found = batch_loader([[1, 2, 3], [4]], batch_size=2, collate=lambda x: {"x": x})
        >>> [batch["x"] for batch in found]
        [[1, 2], [3], [4]]
    """
    batches = [
        collate(items[i : i + batch_size])
        for items in groups
        for i in range(0, len(items), batch_size)
    ]
    return dealing_loader(batches, batch_size=None, shuffle=shuffle, share=share or {})
