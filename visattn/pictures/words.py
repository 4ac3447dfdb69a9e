"""Attention of words: a highlighted sentence, an alignment word by word."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from visattn.pictures.alignments import draw_alignment, plain_text, text_width
from visattn.pictures.animations import Frames, frames
from visattn.pictures.arrays import as_numbers

_LETTERS = 10  # points
_ROOM = 0.14  # inches around a word


def draw_highlighted(words: Sequence[str], weights: Any, *, title: str = "") -> Figure:
    """A sentence whose words stand on a ground that is the darker, the more they count.

    Under each word stands its weight.

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
    widths = [text_width(word, size=_LETTERS) + _ROOM for word in words]
    across = max(sum(widths), text_width(title, size=_LETTERS) if title else 0)
    figure = Figure(figsize=(across + _ROOM, 0.85 if title else 0.65), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlim=(0, across), ylim=(0, 1), frame_on=False, yticks=[])
    middles = []
    left = (across - sum(widths)) / 2
    for word, width, weight in zip(words, widths, shown[: len(words)], strict=True):
        share = float(np.clip(weight, 0, 1))
        axes.axvspan(left, left + width, color="#e8590c", alpha=share, linewidth=0)
        middles.append(left + width / 2)
        plain = plain_text(word)
        axes.text(middles[-1], 0.5, plain, ha="center", va="center_baseline", fontsize=_LETTERS)
        left += width
    axes.set_xticks(middles, labels=[f"{weight:.2f}" for weight in shown[: len(words)]])
    axes.tick_params(length=0, labelsize=6, labelcolor="0.4")
    if title:
        axes.set_title(plain_text(title), fontsize=_LETTERS)
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
        figures.append(draw_alignment(grown, source, target))
        for label in figures[-1].axes[0].get_yticklabels()[step:]:
            label.set_alpha(0)  # not seen, but given its room: the frames stay in place
    return frames(figures, dpi=dpi)
