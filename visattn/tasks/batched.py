"""Loaders of what is small enough to be batched before the training."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from torch import Tensor
from torch.utils.data import DataLoader

Batch = dict[str, Tensor]
Item = TypeVar("Item")


def batched(
    items: Sequence[Item], *, batch_size: int, collate: Callable[[Sequence[Item]], Batch]
) -> list[Batch]:
    """Batches of ``batch_size`` items, the last one with what is left.

    Example:
        >>> import torch
        >>> found = batched([1, 2, 3], batch_size=2, collate=lambda x: {"x": torch.tensor(x)})
        >>> [batch["x"].tolist() for batch in found]
        [[1, 2], [3]]
    """
    return [collate(items[i : i + batch_size]) for i in range(0, len(items), batch_size)]


def batch_loader(batches: list[Batch], *, shuffle: bool = False) -> DataLoader[Any]:
    """A loader of batches, for training in a new order each epoch."""
    return DataLoader(batches, batch_size=None, shuffle=shuffle)  # type: ignore[arg-type]


def check_sizes(**sizes: tuple[int, int]) -> None:
    """Refuse what is below its least value.

    Raises:
        ValueError: It says which.

    Example:
        >>> check_sizes(train=(4, 1))
    """
    for name, (size, least) in sizes.items():
        if size < least:
            raise ValueError(f"{name} must be at least {least}, got {size}")


def split_sizes(*, train: int, val: int, test: int, batch_size: int, seed: int) -> dict[str, int]:
    """The sizes of the three splits by name, once these and what comes with them are checked.

    Raises:
        ValueError: It says which is below its least value.

    Example:
        >>> split_sizes(train=4, val=2, test=1, batch_size=2, seed=0)
        {'train': 4, 'val': 2, 'test': 1}
    """
    sizes = {"train": train, "val": val, "test": test}
    check_sizes(**{name: (size, 1) for name, size in sizes.items()})
    check_sizes(batch_size=(batch_size, 1), seed=(seed, 0))
    return sizes
