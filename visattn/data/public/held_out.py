"""A validation split for data sets that are published without one."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from visattn.data.image_data import ImageData
from visattn.data.layout import Item, known_split


def hold_out(
    items: Sequence[Item], *, share: float, seed: int = 0
) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Split items into training and validation, class by class.

    Of n items of a class, round(share n) are held out, and at least one where there are two.

    Args:
        items: The pictures that are published for training.
        share: In (0, 1).
        seed: Which ones are held out.

    Returns:
        The items to train on and those to validate on, in the order they came in.

    Raises:
        ValueError: ``share`` is outside (0, 1).

    Example:
        >>> from pathlib import Path
        >>> items = [Item(Path(f"{i}.png"), label=i % 2) for i in range(20)]
        >>> [len(part) for part in hold_out(items, share=0.2)]
        [16, 4]
    """
    if not 0 < share < 1:
        raise ValueError(
            f"val_share must lie between 0 and 1, got {share}; to train on everything, set "
            "train_split to trainval and val_split to null"
        )
    rows: dict[int, list[int]] = {}
    for row, item in enumerate(items):
        rows.setdefault(item.label, []).append(row)
    held: set[int] = set()
    for label, own in rows.items():
        count = max(1 if len(own) > 1 else 0, int(share * len(own) + 0.5))
        order = np.random.default_rng([seed, label + 1]).permutation(len(own))
        held.update(own[position] for position in order[:count])
    train = tuple(item for row, item in enumerate(items) if row not in held)
    return train, tuple(items[row] for row in sorted(held))


class HeldOutData(ImageData, ABC):
    """Data that are published as ``trainval`` and ``test``; ``train`` and ``val`` share the first.

    Args:
        val_share: Share of ``trainval`` held out as ``val``, class by class.
        size: Side of the square pictures, in pixels.
        cache: Whether to keep decoded pictures of training and validation in memory, five bytes a
            pixel.
        options: Those of `visattn.data.image_data.ImageData`.

    Raises:
        ValueError: An option out of its range.
    """

    def __init__(
        self, *, val_share: float = 0.1, size: int = 224, cache: bool = False, **options: Any
    ) -> None:
        super().__init__(size=size, cache=cache, **options)
        hold_out((), share=val_share)  # an error now, not after reading
        self.val_share = val_share
        self._published: dict[str, tuple[Item, ...]] = {}

    @abstractmethod
    def read(self, split: str) -> tuple[Item, ...]:
        """The pictures of ``trainval`` or ``test`` as they are published."""

    def published(self, split: str) -> tuple[Item, ...]:
        """The same, read once."""
        if split not in self._published:
            self._published[split] = self.read(split)
        return self._published[split]

    @property
    def splits(self) -> tuple[str, ...]:
        """``train``, ``val``, ``trainval`` and ``test``."""
        return ("train", "val", "trainval", "test")

    def items(self, split: str) -> tuple[Item, ...]:
        """The pictures of a split."""
        known_split(split, splits=self.splits, root=self.locate())
        if split in ("trainval", "test"):
            return self.published(split)
        train, val = hold_out(self.published("trainval"), share=self.val_share)
        return train if split == "train" else val
