"""Which masks of a data set may be used, where only a share of them may."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from visattn.data.layout import Item


def keep_masks(items: Sequence[Item], *, share: float, seed: int = 0) -> tuple[Item, ...]:
    """The items with only a share of their masks, drawn per class; the others become unlabelled.

    Of n masks in all, round(share n) are kept, shared out among the classes in proportion to their
    masks (largest remainders first), but at least one of each class that has any when ``share`` is
    above 0. For one seed the masks of a smaller share are among those of a larger one, up to the
    rounding per class.

    Args:
        items: The pictures.
        share: Between 0 (none) and 1 (all).
        seed: Which ones.

    Raises:
        ValueError: ``share`` is outside [0, 1].

    Example:
        >>> from pathlib import Path
        >>> items = [Item(Path(f"{i}.png"), Path(f"m{i}.png"), label=i % 2) for i in range(40)]
        >>> sum(item.mask_path is not None for item in keep_masks(items, share=0.05))
        2
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(
            f"mask_share must lie in [0, 1] (0.05 keeps 5 % of the masks), got {share}"
        )
    rows: dict[int, list[int]] = {}
    for row, item in enumerate(items):
        if item.mask_path is not None:
            rows.setdefault(item.label, []).append(row)
    quotas = {label: share * len(own) for label, own in rows.items()}
    least = 1 if share > 0 else 0
    counts = {label: max(least, int(quota + 1e-9)) for label, quota in quotas.items()}
    left = int(share * sum(map(len, rows.values())) + 0.5) - sum(counts.values())
    for label in sorted(quotas, key=lambda label: (counts[label] - quotas[label], label)):
        if left > 0 and counts[label] < len(rows[label]):
            counts[label] += 1
            left -= 1
    kept: set[int] = set()
    for label, own in rows.items():
        order = np.random.default_rng([seed, label + 1]).permutation(len(own))
        kept.update(own[position] for position in order[: counts[label]])
    return tuple(
        item if item.mask_path is None or row in kept else replace(item, mask_path=None)
        for row, item in enumerate(items)
    )
