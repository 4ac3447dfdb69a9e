"""What the colours of a figure mean: the text and the range of its colour bar."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize

from visattn.pictures.scales import Map, Scale, colours, scale_as_is, scale_between, scale_over
from visattn.pictures.sheets import INK, SIZE, Sheet, number, tick_labels


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

    def draw(self, sheet: Sheet, cmap: str | Colormap, *, x: float, y: float, width: float) -> None:
        """Draw a lying colour bar with its label above; in all it is ``BAR`` high.

        It has pointed ends where values beyond the range have the last colour.
        """
        low, high = self.scale.low, self.scale.high
        sheet.write(self.label, x=x, y=y + 0.09, width=width, size=SIZE - 1)
        axes = sheet.axes(x=x, y=y + 0.2, width=width, height=0.1)
        bar = sheet.figure.colorbar(
            ScalarMappable(Normalize(low, high if high > low else low + 1), colours(cmap)),
            cax=axes,
            orientation="horizontal",
            extend="both" if self.clipped else "neither",
        )
        if self.words is not None:
            bar.set_ticks((low, high), labels=list(self.words))
        elif high > low:
            ticks = (low, (low + high) / 2, high)
            bar.set_ticks(ticks, labels=tick_labels(ticks))
        else:
            bar.set_ticks((low + 0.5,), labels=[f"{number(low)} everywhere"])
        bar.minorticks_off()
        bar.outline.set_linewidth(0.4)
        axes.tick_params(labelsize=SIZE - 1, length=2, width=0.4, pad=1.5, colors=INK)
        outer = axes.get_xticklabels()
        if len(outer) > 1:  # the outer ones stay within the bar's width
            outer[0].set_horizontalalignment("left")
            outer[-1].set_horizontalalignment("right")


def own_key(label: str) -> Key:
    """What a colour bar says where maps have ranges of their own."""
    return Key(label, Scale(0, 1), words=("smallest", "largest"))


def scales_for(
    maps: Sequence[Map],
    normalise: object,
    *,
    what: str,
    own: str,
    common: tuple[str, str],
    words: tuple[str, ...],
) -> tuple[list[Scale], Key]:
    """The scale of each map of a figure, and what the colour bar says.

    ``normalise`` is ``"image"``, each map's own range, of which the bar says ``own``; the word of
    ``common``, the range of all maps, with what the bar says of it; ``"none"``, as they are; or a
    pair (low, high). ``words`` are those that the figure knows, for the error.
    """
    if normalise == "image":
        return [scale_over([values]) for values in maps], own_key(own)
    if normalise == common[0]:
        key = Key(common[1], scale_over(maps))
    elif normalise == "none":
        key = Key(f"{what}, values as they are", scale_as_is(maps))
    else:
        scale, found = scale_between(normalise, words=words), scale_over(maps)
        clipped = found.low < scale.low or found.high > scale.high
        key = Key(f"{what}, over a given range", scale, clipped=clipped)
    return [key.scale] * len(maps), key
