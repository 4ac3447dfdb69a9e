"""Splits that show each foreground on many backgrounds: it counts only if right on all of them."""

import re
from collections.abc import Hashable, Sequence
from typing import Any

from torch import Tensor

from visattn.metrics import Proportion, wilson

_NUMBER = re.compile(r"(?<=.)_\d+$")


def is_adversarial(split: str) -> bool:
    """Whether a split shows each foreground on many backgrounds, ``ID_NUMBER`` by name.

    Example:
        >>> is_adversarial("test_adversarial"), is_adversarial("test_mixed_rand")
        (True, False)
    """
    return split.endswith("adversarial")


def foreground_ids(items: Sequence[Any]) -> tuple[str, ...]:
    """The foreground of each image ``ID_NUMBER``; an image of another name is one of its own."""
    return tuple(_NUMBER.sub("", item.path.stem) for item in items)


def right_on_all(hits: Tensor, foregrounds: Sequence[Hashable]) -> Proportion:
    """Share of foregrounds that are classified correctly in all of their images.

    As `visattn.metrics.adversarial_accuracy`, for images in any order and number.

    Args:
        hits: Whether each image's class is predicted (N,).
        foregrounds: What each image shows (N,).

    Example:
        >>> import torch
        >>> right_on_all(torch.tensor([True, True, False]), ["a", "b", "a"]).value
        0.5
    """
    mistaken = {shown for shown, hit in zip(foregrounds, hits.tolist(), strict=True) if not hit}
    shown = set(foregrounds)
    return wilson(len(shown - mistaken), images=len(shown))
