"""Attention of words: a highlighted sentence, an alignment word by word."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from visattn.pictures.alignments import draw_alignment
from visattn.pictures.arrays import as_numbers
from visattn.pictures.frames import Frames, frames


def draw_highlighted(words: Sequence[str], weights: Any, *, title: str = "") -> Figure:
    """A sentence whose words stand on a ground that is the darker, the more they count.

    Args:
        words: S words.
        weights: (S,) or longer, in [0, 1]; the first ones are drawn.
        title: Above the sentence.

    Returns:
        A figure for `visattn.pictures.save`.

    Raises:
        ValueError: There are more words than weights, or none.

    Example:
        >>> figure = draw_highlighted(["so", "fresh"], [0.1, 0.9])
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['so', 'fresh']
    """
    shown = as_numbers(weights, what="weights").astype(np.float64)
    if shown.ndim != 1 or not words or len(shown) < len(words):
        raise ValueError(
            f"weights must be one number for each of the {len(words)} words, not {shown.shape}"
        )
    widths = [0.5 + 0.5 * len(word) for word in words]
    figure = Figure(figsize=(0.22 * sum(widths), 0.9), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlim=(0, sum(widths)), ylim=(0, 1))
    axes.set_axis_off()
    left = 0.0
    for word, width, weight in zip(words, widths, shown[: len(words)], strict=True):
        share = float(np.clip(weight, 0, 1))
        axes.axvspan(left, left + width, color="#e8590c", alpha=share, linewidth=0)
        plain = word.replace("$", r"\$")
        axes.text(left + width / 2, 0.5, plain, ha="center", va="center", fontsize=9)
        left += width
    if title:
        axes.set_title(title.replace("$", r"\$"), fontsize=9)
    return figure


def alignment_frames(
    weights: Any, source: Sequence[str], target: Sequence[str], *, dpi: int = 100
) -> Frames:
    """An alignment that grows by a target word a frame.

    Args:
        weights: (T, S), as for `draw_alignment`.
        source: S words.
        target: T words.
        dpi: Dots an inch.

    Returns:
        Frames for ``visattn.pictures.save(frames, "name.gif")``.

    Raises:
        ValueError: The shapes don't fit.

    Example:
        >>> alignment_frames(np.eye(2), ["good", "day"], ["bon", "jour"], dpi=30).shape[0]
        2
    """
    values = as_numbers(weights, what="weights").astype(np.float64)
    figures = []
    for step in range(1, len(target) + 1):
        grown = np.zeros_like(values)
        grown[:step] = values[:step]
        said = [*target[:step], *[""] * (len(target) - step)]
        figures.append(draw_alignment(grown, source, said))
    return frames(figures, dpi=dpi)
