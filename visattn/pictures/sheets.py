"""A figure as a sheet of paper: everything is placed in inches from the top left corner.

Places are computed, not found by a layout engine, and every text is measured and shortened to its
room, so nothing is clipped or printed over something else.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from visattn.pictures.blending import CONTOUR_COLOUR, TARGET_COLOUR
from visattn.pictures.scales import Map, Scale

MARGIN = 0.1
GAP = 0.06
LINE = 0.17
SIZE = 8.0
INK = "#222222"


# Fonts with Chinese, Japanese and Korean letters on the usual systems; Matplotlib brings none.
_EAST_ASIAN = (
    "Noto Sans CJK JP",
    "Noto Sans JP",
    "IPAexGothic",
    "Hiragino Sans",
    "Yu Gothic",
    "MS Gothic",
    "Microsoft YaHei",
    "PingFang SC",
    "WenQuanYi Zen Hei",
    "Malgun Gothic",
    "Arial Unicode MS",
)


class Sheet:
    """A white Matplotlib figure with places in inches from the top left corner.

    Args:
        width: Width in inches.
        height: Height in inches.
    """

    def __init__(self, *, width: float, height: float) -> None:
        self.width = width
        self.height = height
        self.figure = Figure(figsize=(width, height), facecolor="white")
        self._renderer = FigureCanvasAgg(self.figure).get_renderer()

    def axes(self, *, x: float, y: float, width: float, height: float) -> Axes:
        """Empty axes at a place; ``y`` is their upper edge."""
        return self.figure.add_axes(
            (
                x / self.width,
                1 - (y + height) / self.height,
                width / self.width,
                height / self.height,
            )
        )

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
        its width loses its middle.
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
            installed = {font.name for font in fontManager.ttflist}
            line.set_fontfamily(
                [*line.get_fontfamily(), *(name for name in _EAST_ASIAN if name in installed)]
            )
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

    def colour_bar(
        self,
        cmap: Colormap,
        *,
        x: float,
        y: float,
        width: float,
        label: str,
        low: float,
        high: float,
        words: Sequence[str] | None = None,
        clipped: bool = False,
    ) -> None:
        """Draw a lying colour bar with its label above; in all it is ``BAR`` high.

        Args:
            cmap: Colour map.
            x: Left edge.
            y: Upper edge of the label.
            width: Width of the bar.
            label: What the colours mean.
            low: Value at the left end.
            high: Value at the right end.
            words: Names for the two ends in place of numbers.
            clipped: Draw pointed ends: values beyond have the last colour.
        """
        self.write(label, x=x, y=y + 0.09, width=width, size=SIZE - 1)
        axes = self.axes(x=x, y=y + 0.2, width=width, height=0.1)
        bar = self.figure.colorbar(
            ScalarMappable(Normalize(low, high if high > low else low + 1), cmap),
            cax=axes,
            orientation="horizontal",
            extend="both" if clipped else "neither",
        )
        ends = (low, high)
        if words is not None:
            bar.set_ticks(ends, labels=list(words))
        elif high > low:
            ticks = (low, (low + high) / 2, high)
            bar.set_ticks(ticks, labels=_labels(ticks))
        else:
            bar.set_ticks((low + 0.5,), labels=[f"{number(low)} everywhere"])
        bar.minorticks_off()
        bar.outline.set_linewidth(0.4)
        axes.tick_params(labelsize=SIZE - 1, length=2, width=0.4, pad=1.5, colors=INK)
        outer = axes.get_xticklabels()
        if len(outer) > 1:  # the outer ones stay within the bar's width
            outer[0].set_horizontalalignment("left")
            outer[-1].set_horizontalalignment("right")

    def legend(
        self, entries: Sequence[tuple[str, str]], *, x: float, y: float, width: float
    ) -> None:
        """Explain the lines, one below the other, right-aligned at ``x``.

        Args:
            entries: Kind of line ("target" or "contour") and what it shows.
            x: Right edge.
            y: Upper edge.
            width: Room to the left of ``x``.
        """
        for row, (kind, words) in enumerate(entries):
            middle = y + 0.09 + LINE * row
            sample = Line2D(
                [(x - 0.3) / self.width, x / self.width],
                [1 - middle / self.height] * 2,
                **_line_style(kind),
            )
            self.figure.add_artist(sample)
            self.write(
                words, x=x - 0.38, y=middle, width=width - 0.38, size=SIZE - 1, align="right"
            )


BAR = 0.46


def outline(axes: Axes, field: Map, *, level: float, kind: str) -> None:
    """Draw the line where a field crosses a level, as vectors.

    Args:
        axes: Axes that show a picture of the field's size.
        field: Values (H, W); no line runs through NaN.
        level: The value to follow.
        kind: ``"target"`` (white, whole) or ``"contour"`` (red, dashed).
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
    low, high = _labels([scale.low, scale.high])
    return f"{low} to {high}"


def _labels(values: Sequence[float]) -> list[str]:
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


def _line_style(kind: str) -> dict:
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
