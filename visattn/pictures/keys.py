"""What the colours of a figure mean: the text and the range of its colour bar."""

from collections.abc import Iterable
from typing import NamedTuple

from matplotlib.colors import Colormap

from visattn.pictures.scales import Map, Scale, scale_as_is, scale_between, scale_over
from visattn.pictures.sheets import Sheet


class Key(NamedTuple):
    """What a colour bar says.

    Attributes:
        label: What the colours mean, with the normalisation.
        scale: The range at the bar's ends.
        words: Names for the ends where every map has its own range.
        clipped: Whether values beyond the range may have been drawn.
    """

    label: str
    scale: Scale
    words: tuple[str, str] | None = None
    clipped: bool = False

    def draw(self, sheet: Sheet, cmap: Colormap, *, x: float, y: float, width: float) -> None:
        """Draw the colour bar on a sheet."""
        sheet.colour_bar(
            cmap,
            x=x,
            y=y,
            width=width,
            label=self.label,
            low=self.scale.low,
            high=self.scale.high,
            words=self.words,
            clipped=self.clipped,
        )


def common_scale(
    maps: Iterable[Map], normalise: object, *, what: str, words: tuple[str, ...]
) -> tuple[Scale, Key]:
    """One scale for all maps of a figure: as they are, or between two given values.

    Args:
        maps: All maps of the figure.
        normalise: ``"none"`` or a pair (low, high).
        what: What the maps are called at the colour bar.
        words: The words that the figure knows, for the error.

    Returns:
        The scale, and what the colour bar says.

    Raises:
        ValueError: If ``normalise`` is neither, or values do not fit ``"none"``.
    """
    maps = list(maps)
    if normalise == "none":
        scale = scale_as_is(maps)
        return scale, Key(f"{what}, values as they are", scale)
    scale = scale_between(normalise, words=words)
    found = scale_over(maps)
    clipped = found.low < scale.low or found.high > scale.high
    return scale, Key(f"{what}, over a given range", scale, clipped=clipped)
