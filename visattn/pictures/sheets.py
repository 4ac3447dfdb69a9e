"""A figure as a sheet of paper: everything is placed in inches from the top left corner.

Places are computed, not found by a layout engine, and every text is measured and shortened to its
room, so nothing is clipped or printed over something else.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from visattn.pictures.blending import CONTOUR_COLOUR, TARGET_COLOUR
from visattn.pictures.letters import font_names, romanised
from visattn.pictures.scales import Map, Scale

MARGIN = 0.1
GAP = 0.06
LINE = 0.17
BAR = 0.46
HEAD = 1.6 * LINE
SIZE = 8.0
INK = "#222222"
_ROMANISED = "* in Roman letters or Unicode numbers: no font of this system has the letters"


class Sheet:
    """A white Matplotlib figure; its size and all places are in inches from the top left corner."""

    def __init__(self, *, width: float, height: float) -> None:
        self.width = width
        self.height = height
        self.figure = Figure(figsize=(width, height), facecolor="white")
        self._explained = False
        self._renderer = FigureCanvasAgg(self.figure).get_renderer()

    def axes(self, *, x: float, y: float, width: float, height: float) -> Axes:
        """Empty axes at a place; ``y`` is their upper edge."""
        left, bottom = x / self.width, 1 - (y + height) / self.height
        return self.figure.add_axes((left, bottom, width / self.width, height / self.height))

    def picture(
        self, pixels: NDArray[np.uint8], *, x: float, y: float, width: float, height: float
    ) -> Axes:
        """Show a picture, as large as its shape allows, in the middle of a place."""
        axes = self.axes(x=x, y=y, width=width, height=height)
        axes.imshow(pixels, interpolation="bilinear", interpolation_stage="rgba", aspect="equal")
        axes.set_axis_off()
        return axes

    def write(
        self,
        text: str,
        *,
        x: float,
        y: float,
        width: float,
        size: float = SIZE,
        bold: bool = False,
        align: str = "left",
    ) -> None:
        """Write one line of text from ``x`` on (or around ``x``), its middle at ``y``.

        Line breaks become spaces, dollar signs stay dollar signs, and a text that is too long for
        its width loses its middle. Letters that no font has are romanised, with a note.
        """
        line = self.figure.text(
            x / self.width,
            1 - y / self.height,
            "",
            fontsize=size,
            fontweight="bold" if bold else "normal",
            color=INK,
            ha=align,
            va="center_baseline",
            parse_math=False,
        )
        if not text.isascii():
            names = font_names(text)
            if names is None:
                text = self._romanised(text)
            line.set_fontfamily([*line.get_fontfamily(), *(names or ())])
        whole = " ".join(text.split())
        room = width * self.figure.dpi

        def fits(kept: int) -> bool:
            line.set_text(_shortened(whole, kept=kept))
            return line.get_window_extent(self._renderer).width <= room

        if not fits(len(whole)):
            # The largest number of letters for which it fits, found by halving.
            fitting, too_many = 2, len(whole)
            while too_many - fitting > 1:
                middle = (fitting + too_many) // 2
                fitting, too_many = (middle, too_many) if fits(middle) else (fitting, middle)
            line.set_text(_shortened(whole, kept=fitting))

    def _romanised(self, text: str) -> str:
        """The text in Roman letters, with a star that the foot of the sheet explains."""
        if not self._explained:
            self._explained = True
            x, y, width = self.width - MARGIN, self.height - MARGIN / 2, self.width - 2 * MARGIN
            self.write(_ROMANISED, x=x, y=y, width=width, size=5, align="right")
        return f"{romanised(text)}*"

    def title(self, title: str | None) -> float:
        """Write a title, if there is one, at the top; give the upper edge of what follows."""
        if not title:
            return MARGIN
        room = self.width - 2 * MARGIN
        self.write(title, x=MARGIN, y=MARGIN + LINE / 2, width=room, size=10, bold=True)
        return MARGIN + HEAD

    def legend(
        self, entries: Sequence[tuple[str, str]], *, x: float, y: float, width: float
    ) -> None:
        """Explain lines, one below the other, right-aligned at ``x``: their kinds and words."""
        for row, (kind, words) in enumerate(entries):
            middle = y + 0.09 + LINE * row
            across, height = [(x - 0.3) / self.width, x / self.width], 1 - middle / self.height
            self.figure.add_artist(Line2D(across, [height, height], **_line_style(kind)))
            room = width - 0.38
            self.write(words, x=x - 0.38, y=middle, width=room, size=SIZE - 1, align="right")


def tallness(scene: NDArray[Any]) -> float:
    """Height of a picture over its width, as far as a sheet goes along with it."""
    return min(scene.shape[0] / scene.shape[1], 1.5)


def outline(axes: Axes, field: Map, *, level: float, kind: str) -> None:
    """Draw the line where a field (H, W) crosses a level, as vectors; none runs through NaN.

    The axes show a picture of the field's size. Its ``kind`` is ``"target"`` (white, whole) or
    ``"contour"`` (red, dashed).
    """
    known = field[~np.isnan(field)]
    if min(field.shape) < 2 or not known.size or not known.min() < level <= known.max():
        return
    style = _line_style(kind)
    lines = axes.contour(
        np.ma.masked_invalid(field),
        levels=[level],
        colors=[style["color"]],
        linewidths=style["linewidth"],
        linestyles=[style["linestyle"]],
    )
    lines.set_path_effects(style["path_effects"])


def number(value: float) -> str:
    """A number in at most three significant digits, without needless zeros.

    Example:
        >>> number(0.5), number(0.0), number(12345.0), number(-0.00123)
        ('0.5', '0', '1.23e+04', '-0.00123')
    """
    return f"{value:.3g}"


def span(scale: Scale) -> str:
    """The range of a scale in words.

    Example:
        >>> span(Scale(0.25, 1)), span(Scale(1e-9, 1)), span(Scale(2, 2)), span(Scale(1, 1.0002))
        ('0.25 to 1', '0 to 1', '2 everywhere', '1 to 1.0002')
    """
    if scale.low == scale.high:
        return f"{number(scale.low)} everywhere"
    low, high = tick_labels([scale.low, scale.high])
    return f"{low} to {high}"


def tick_labels(values: Sequence[float]) -> list[str]:
    """Rising numbers in three digits, or as many as it takes to tell them apart.

    What differs from zero by less than colours can show is zero.
    """
    least = 1e-4 * (values[-1] - values[0])
    rounded = [0.0 if abs(value) < least else value for value in values]
    for digits in range(3, 10):
        labels = [f"{value:.{digits}g}" for value in rounded]
        if len(set(labels)) == len(labels):
            break
    return labels


def _shortened(text: str, *, kept: int) -> str:
    """A text with that many of its letters, those in the middle gone."""
    if kept >= len(text):
        return text
    return f"{text[: (kept + 1) // 2].rstrip()}…{text[len(text) - kept // 2 :].lstrip()}"


def _line_style(kind: str) -> dict[str, Any]:
    target = kind == "target"
    colour = TARGET_COLOUR if target else CONTOUR_COLOUR
    width = 0.9
    return {
        "color": tuple(part / 255 for part in colour),
        "linewidth": width,
        "linestyle": "-" if target else (0, (3, 1.5)),
        "path_effects": [
            patheffects.Stroke(linewidth=width + 0.9, foreground="black", alpha=0.7),
            patheffects.Normal(),
        ],
    }
