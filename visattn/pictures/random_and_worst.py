"""Which cases to show: seeded random ones, and the worst beside them."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from visattn.pictures.arrays import as_numbers


class Choice(NamedTuple):
    """Rows of a data set to show.

    Attributes:
        rows: The random ones, then the worst ones, from the worst on. A row may be both.
        sections: Titles and how many of ``rows`` stand under each, as ``panels`` takes them.
    """

    rows: list[int]
    sections: dict[str, int]


def choose_cases(
    scores: Any,
    *,
    name: str,
    random: int = 8,
    worst: int = 4,
    worst_are: Literal["lowest", "highest"] = "lowest",
    seed: int = 0,
) -> Choice:
    """Choose random cases and the worst ones, and say in words which they are.

    The best ones are never chosen: a few good pictures can be found for any model. For the least
    faithful maps give a measure of faithfulness an image, such as the area under insertion.

    Args:
        scores: One number an image (N,), NaN where undefined.
        name: What the scores are, such as ``"mask IoU"``.
        random: How many random ones; of all images, whatever their score.
        worst: How many of the worst; undefined ones are none of them.
        worst_are: Whether the ``"lowest"`` or the ``"highest"`` scores are the worst.
        seed: Of the random ones.

    Returns:
        Rows and sections.

    Raises:
        TypeError: If the scores cannot be read as numbers.
        ValueError: If there is nothing to choose from, a number is negative, or a word is unknown.

    Example:
        >>> choice = choose_cases([0.9, 0.2, float("nan"), 0.7], name="IoU", random=2, worst=1)
        >>> choice.rows[2:], list(choice.sections)
        ([1], ['2 random of 4 (seed 0)', 'the 1 of 4 with the lowest IoU (undefined for 1)'])
    """
    values = as_numbers(scores, what="scores").astype(np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"scores must be one number an image (N,), not {values.shape}")
    if worst_are not in ("lowest", "highest"):
        raise ValueError(f"worst_are must be 'lowest' or 'highest', not {worst_are!r}")
    if random < 0 or worst < 0 or random + worst == 0:
        raise ValueError(f"there is nothing to choose: random={random}, worst={worst}")
    count = len(values)
    drawn = np.random.default_rng(seed).permutation(count)[:random].tolist()
    order = np.argsort(values if worst_are == "lowest" else -values, kind="stable")
    defined = [row for row in order.tolist() if not np.isnan(values[row])]
    undefined = count - len(defined)
    last = defined[:worst]
    sections = {f"{len(drawn)} random of {count} (seed {seed})": len(drawn)}
    rest = f" (undefined for {undefined})" if undefined else ""
    sections[f"the {len(last)} of {count} with the {worst_are} {name}{rest}"] = len(last)
    return Choice([*drawn, *last], {title: rows for title, rows in sections.items() if rows})


def chosen(values: Sequence[Any] | Any, rows: Sequence[int]) -> list[Any]:
    """The chosen rows of images, masks or words, in the order chosen.

    Example:
        >>> chosen(["a", "b", "c"], [2, 0, 2])
        ['c', 'a', 'c']
    """
    return [values[row] for row in rows]
