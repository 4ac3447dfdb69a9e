"""Attention between two sentences as a heat map: source on x, target on y."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextPath

from visattn.pictures.arrays import as_numbers

_CELL = 0.32  # inches
_GAP = 0.13  # around a label
_EDGE = 0.06
_TITLE = 0.3
_LETTERS = 10  # points
_MARK = "#e8590c"


def draw_alignment(
    weights: Any,
    source: Sequence[str],
    target: Sequence[str],
    *,
    truth: Any = None,
    title: str = "",
) -> Figure:
    """Draw which source word each target word looked at.

    A row is a word of the target, a column one of the source; white is 1 and black is 0, so that
    pictures can be compared.

    Args:
        weights: (T, S) or larger, as padded batches are: the first T rows and S columns are drawn.
        source: S words.
        target: T words.
        truth: (T, S) or larger, boolean: cells to frame.
        title: Above the picture.

    Returns:
        A figure for `visattn.pictures.save`.

    Raises:
        ValueError: There are more words than weights, or none.

    Example:
        >>> figure = draw_alignment(np.eye(2), ["good", "day"], ["bon", "jour"])
        >>> [label.get_text() for label in figure.axes[0].get_xticklabels()]
        ['good', 'day']
    """
    shown = _cells(weights, source, target, what="weights").astype(np.float64)
    if shown.min() < -1e-4 or shown.max() > 1 + 1e-4:
        raise ValueError(
            f"weights must lie in [0, 1], got {shown.min():.3g} to {shown.max():.3g}: give those"
            " after the softmax"
        )
    left, above = (
        _GAP + max(text_width(word, size=_LETTERS) for word in words) for words in (target, source)
    )
    across, down = _CELL * len(source), _CELL * len(target)
    width = left + max(across, text_width(title, size=_LETTERS)) + _EDGE
    height = above + down + _EDGE + (_TITLE if title else 0)
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((left / width, _EDGE / height, across / width, down / height))
    axes.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="equal")
    axes.set_xticks(range(len(source)), labels=[plain_text(word) for word in source], rotation=90)
    axes.set_yticks(range(len(target)), labels=[plain_text(word) for word in target])
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelsize=_LETTERS)
    if title:
        axes.set_title(plain_text(title), fontsize=_LETTERS, loc="left")
    if truth is not None:
        framed = _cells(truth, source, target, what="truth").astype(bool)
        for row, column in zip(*framed.nonzero(), strict=True):
            corner = (float(column) - 0.5, float(row) - 0.5)
            axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=_MARK, linewidth=1.2))
    return figure


def _cells(values: Any, source: Sequence[str], target: Sequence[str], *, what: str) -> Any:
    """The first T rows and S columns."""
    if not source or not target:
        raise ValueError("source and target need a word each at least")
    array = as_numbers(values, what=what)
    if array.ndim != 2 or array.shape[0] < len(target) or array.shape[1] < len(source):
        raise ValueError(
            f"{what} must be (target, source) and have {len(target)} rows and {len(source)} columns"
            f" at least, not {array.shape}"
        )
    return array[: len(target), : len(source)]


def text_width(text: str, *, size: float) -> float:
    """Inches that a line takes in letters of a size in points, a little more for their rounding.

    Example:
        >>> 0.2 < text_width("buri", size=10) < 0.5
        True
    """
    if not text:
        return 0.0
    return 1.03 * float(TextPath((0, 0), plain_text(text), size=size).get_extents().width) / 72


def plain_text(text: str) -> str:
    """Text that Matplotlib draws as it is."""
    return text.replace("$", r"\$")
