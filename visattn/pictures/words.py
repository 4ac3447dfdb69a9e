"""Attention of words: a strip of maps over an image, a highlighted sentence, a frame a word."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from visattn.pictures.alignments import draw_alignment
from visattn.pictures.arrays import Statistics, as_image, as_numbers
from visattn.pictures.blending import as_bytes, overlay

_INCHES = 1.6


def draw_word_maps(
    image: Any,
    maps: Any,
    words: Sequence[str],
    *,
    mean: Statistics = None,
    std: Statistics = None,
) -> Figure:
    """The image, and beside it once for each word where that word looked.

    Args:
        image: One picture, as for `visattn.overlay`.
        maps: (T, h, w), T at least the number of words: the first ones are drawn.
        words: The words.
        mean: Mean of each channel by which the image was normalised; see `visattn.overlay`.
        std: Standard deviation of each channel.

    Returns:
        A figure for `visattn.pictures.save`.

    Raises:
        ValueError: There are more words than maps, or none.

    Example:
        >>> image = np.zeros((8, 8, 3), dtype=np.uint8)
        >>> figure = draw_word_maps(image, np.ones((2, 4, 4)) / 16, ["buri", "above"])
        >>> [axes.get_title() for axes in figure.axes]
        ['', 'buri', 'above']
    """
    shown = as_numbers(maps, what="maps")
    if shown.ndim != 3 or not words or len(shown) < len(words):
        raise ValueError(
            f"maps must be (words, height, width), one for each of the {len(words)} words, not"
            f" {shown.shape}"
        )
    pictures = [as_bytes(as_image(image, mean=mean, std=std))]
    for values in shown[: len(words)]:
        peak = float(values.max()) or 1.0
        pictures.append(overlay(image, values, normalise=(0.0, peak), mean=mean, std=std))
    figure = Figure(figsize=(_INCHES * len(pictures), 1.2 * _INCHES), layout="constrained")
    for axes, picture, word in zip(
        figure.subplots(1, len(pictures)), pictures, ["", *words], strict=True
    ):
        axes.imshow(picture, interpolation="nearest")
        axes.set_title(word.replace("$", r"\$"))
        axes.set_axis_off()
    return figure


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


def save_alignment_steps(
    weights: Any,
    source: Sequence[str],
    target: Sequence[str],
    path: str | PathLike[str],
    *,
    milliseconds: int = 700,
    dpi: int = 100,
) -> Path:
    """Write a GIF of an alignment that grows by a word a frame.

    Args:
        weights: (T, S), as for `draw_alignment`.
        source: S words.
        target: T words.
        path: The file, ending in ``.gif``.
        milliseconds: How long a frame is shown.
        dpi: Dots an inch.

    Returns:
        The path.

    Raises:
        ValueError: The suffix is another, or the shapes don't fit.
    """
    path = Path(path)
    if path.suffix.lower() != ".gif":
        raise ValueError(f"{path}: an animation is saved as .gif, not {path.suffix!r}")
    values = as_numbers(weights, what="weights").astype(np.float64)
    frames = []
    for step in range(1, len(target) + 1):
        grown = np.zeros_like(values)
        grown[:step] = values[:step]
        said = [*target[:step], *[""] * (len(target) - step)]
        frames.append(_drawn(draw_alignment(grown, source, said), dpi=dpi))
    size = tuple(max(frame.size[axis] for frame in frames) for axis in (0, 1))
    frames = [frame.resize((size[0], size[1])) for frame in frames]
    path.parent.mkdir(parents=True, exist_ok=True)
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=milliseconds, loop=0, optimize=False
    )
    return path


def _drawn(figure: Figure, *, dpi: int) -> Image.Image:
    """The pixels of a figure."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
