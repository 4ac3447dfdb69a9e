"""How far each channel is let through."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from visattn.pictures.arrays import as_numbers
from visattn.pictures.sheets import INK, LINE, MARGIN, SIZE, Sheet

_BAR_COLOUR = "#0072B2"  # the blue of Okabe and Ito
_RANGE_COLOUR = "#999999"


def channel_bars(
    gate: Any,
    *,
    names: Sequence[str] | None = None,
    ordered: bool = False,
    title: str | None = None,
    width: float = 6.5,
    height: float = 2.2,
) -> Figure:
    """Draw the gate of each channel as a bar; over several images the mean, with their range.

    Args:
        gate: Gates (C,), or (N, C) for N images, or as a block computes them, (N, C, 1, 1).
        names: A name for each channel, written below its bar; at most 64 channels.
        ordered: Sort the channels from the most open to the most closed.
        title: A title above the bars.
        width: Width of the figure in inches.
        height: Height of the figure in inches.

    Returns:
        The figure; ``save`` writes it.

    Raises:
        TypeError: If the gates cannot be read as numbers.
        ValueError: If their shape is another, a value is not finite, or names do not fit.

    Example:
        >>> figure = channel_bars([0.9, 0.1, 0.95], names=["rice", "plate", "fish"])
        >>> [round(float(bar.get_height()), 2) for bar in figure.axes[0].patches]
        [0.9, 0.1, 0.95]
    """
    values = as_numbers(gate, what="gate").astype(np.float64)
    if values.ndim == 4 and values.shape[2:] == (1, 1):
        values = values[..., 0, 0]
    if values.ndim == 1:
        values = values[None]
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(f"gate must be (C,), (N, C) or (N, C, 1, 1), not {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("gate holds NaN or infinite values")
    images, channels = values.shape
    if names is not None and (len(names) != channels or channels > 64):
        raise ValueError(
            f"names must be one a channel, for at most 64 channels: {len(names)} names, "
            f"{channels} channels"
        )
    means = values.mean(0)
    order = np.argsort(-means, kind="stable") if ordered else np.arange(channels)

    sheet = Sheet(width=width, height=height)
    top = MARGIN + (1.3 * LINE if title else 0)
    if title:
        sheet.write(title, x=MARGIN, y=MARGIN + LINE / 2, width=width - 2 * MARGIN, bold=True)
    left, bottom = 0.55, 0.45
    axes = sheet.axes(
        x=left, y=top, width=width - left - MARGIN, height=max(0.2, height - top - bottom)
    )
    places = np.arange(channels)
    axes.bar(places, means[order], width=0.8 if channels <= 128 else 1.0, color=_BAR_COLOUR)
    lowest, highest = values.min(0)[order], values.max(0)[order]
    if images > 1 and channels <= 128:
        axes.vlines(places, lowest, highest, colors=_RANGE_COLOUR, linewidth=1.2)
    elif images > 1:
        axes.fill_between(
            places, lowest, highest, step="mid", color=_RANGE_COLOUR, alpha=0.45, linewidth=0
        )
    low, high = min(0.0, float(values.min())), max(1.0, float(values.max()))
    axes.set(xlim=(-0.6, channels - 0.4), ylim=(low, high + 0.03 * (high - low)))
    marks = MaxNLocator(nbins=5).tick_values(low, high)
    axes.set_yticks([mark for mark in marks if low <= mark <= high])
    axes.set_ylabel("gate", fontsize=SIZE - 1, color=INK)
    axes.tick_params(labelsize=SIZE - 1, length=2, width=0.5, colors=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_linewidth(0.5)
    if names is not None:
        room = (width - left - MARGIN) / (channels + 0.2)
        axes.set_xticks([])
        for place, channel in enumerate(order):
            x, y, size = left + (place + 0.6) * room, height - bottom + 0.1, SIZE - 1
            word = str(names[channel])
            sheet.write(word, x=x, y=y, width=0.95 * room, size=size, align="center")
    elif ordered:
        axes.set_xticks([])
    else:
        ticks = MaxNLocator(nbins=10, integer=True).tick_values(0, channels - 1)
        axes.set_xticks([int(tick) for tick in ticks if 0 <= tick < channels])
    label = "channel, from the most open to the most closed" if ordered else "channel"
    if images > 1:
        label += f" (mean of {images} images; grey: smallest to largest)"
    sheet.write(label, x=left, y=height - 0.12, width=width - left - MARGIN, size=SIZE - 1)
    return sheet.figure
