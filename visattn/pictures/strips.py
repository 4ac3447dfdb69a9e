"""What a caption's words look at: the image, then a map a word."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from visattn.pictures.arrays import Statistics, as_image, naming
from visattn.pictures.blending import as_bytes, blend
from visattn.pictures.keys import Key, scales_for
from visattn.pictures.scales import (
    Interpolation,
    Limits,
    Map,
    Scale,
    fitting_map,
    resize,
)
from visattn.pictures.sheets import BAR, GAP, HEAD, LINE, MARGIN, SIZE, Sheet, span, tallness


def word_strip(
    image: Any,
    words: Sequence[str],
    maps: Any,
    *,
    title: str | None = None,
    columns: int = 6,
    width: float | None = None,
    cmap: str | Colormap = "viridis",
    alpha: float = 0.6,
    normalise: Literal["layer", "image", "none"] | Limits = "layer",
    interpolation: Interpolation = "bilinear",
    stretch: bool = False,
    mean: Statistics = None,
    std: Statistics = None,
) -> Figure:
    """Draw the image, and for each word of a sentence what it looked at.

    Args:
        image: One picture, as for ``overlay``.
        words: The sentence, in order.
        maps: A map a word, (T, h, w), (T, 1, h, w) or a sequence of maps; more than there are
            words, as in padded batches, are left out.
        title: A title above everything.
        columns: How many tiles stand side by side.
        width: Width of the figure in inches; by default 1.4 a column.
        cmap: Colour map.
        alpha: Opacity of the map's colours, in [0, 1].
        normalise: The values over which the colours run, stated at the colour bar: ``"layer"``,
            the range of all maps, so that a word that looks nowhere in particular looks like it;
            ``"image"``, each map's own range, written under it; ``"none"``, from 0 to 1; or a pair
            (low, high).
        interpolation: ``"bilinear"``, or ``"nearest"`` to show the maps' own cells.
        stretch: Accept maps of another aspect ratio than the image's.
        mean: Mean of each channel by which the image was normalised; see ``overlay``.
        std: Standard deviation of each channel.

    Returns:
        The figure; ``save`` writes it.

    Raises:
        TypeError: If image or maps cannot be read as numbers.
        ValueError: If there are fewer maps than words or no word, shapes do not fit, or an option
            is unknown. The word is named.

    Example:
        >>> import numpy as np
        >>> image = np.zeros((8, 8, 3), dtype=np.uint8)
        >>> figure = word_strip(image, ["a", "plate"], np.eye(4)[None].repeat(2, 0))
        >>> len(figure.axes)  # the image, a tile a word, the colour bar
        4
    """
    told = read_words(image, words, maps, normalise=normalise, stretch=stretch, mean=mean, std=std)
    if columns < 1:
        raise ValueError(f"columns must be at least 1, not {columns}")
    tiles = 1 + len(told.words)
    columns = min(columns, tiles)
    if width is None:
        width = max(2.4, 1.4 * columns + 2 * MARGIN)
    tile = (width - 2 * MARGIN - (columns - 1) * GAP) / columns
    if tile < 0.3:
        raise ValueError(
            f"{columns} columns do not fit {width} inches: fewer columns or a larger width"
        )
    tall = tile * tallness(told.scene)
    step = LINE + tall + (LINE if normalise == "image" else 0) + GAP
    head = HEAD if title else 0
    sheet = Sheet(width=width, height=MARGIN + head + -(-tiles // columns) * step + BAR + MARGIN)
    top = sheet.title(title)
    for place in range(tiles):
        x = MARGIN + place % columns * (tile + GAP)
        y = top + place // columns * step
        label = told.words[place - 1] if place else "image"
        middle = x + tile / 2
        sheet.write(label, x=middle, y=y + LINE / 2, width=tile, bold=place > 0, align="center")
        if place:
            values, scale = told.maps[place - 1], told.scales[place - 1]
            field = resize(values, size=told.scene.shape[:2], interpolation=interpolation)
            picture = blend(told.scene, scale(field), cmap=cmap, alpha=alpha)
            if normalise == "image":
                below = y + 1.5 * LINE + tall
                sheet.write(
                    span(scale), x=middle, y=below, width=tile, size=SIZE - 1.5, align="center"
                )
        else:
            picture = as_bytes(told.scene)
        sheet.picture(picture, x=x, y=y + LINE, width=tile, height=tall)
    y = top + -(-tiles // columns) * step
    told.key.draw(sheet, cmap, x=MARGIN, y=y, width=min(3.2, width - 2 * MARGIN))
    return sheet.figure


class Told(NamedTuple):
    """An image, its words, a map and a scale a word, and what the colours mean."""

    scene: Any
    words: list[str]
    maps: list[Map]
    scales: list[Scale]
    key: Key


def read_words(
    image: Any,
    words: Sequence[str],
    maps: Any,
    *,
    normalise: object,
    stretch: bool,
    mean: Statistics,
    std: Statistics,
) -> Told:
    """Read and check an image with a map a word; see `word_strip`."""
    if isinstance(words, str) or not words:
        found = f"the single string {words!r}" if words else "none"
        raise ValueError(f"words must be a list of at least one word, not {found}")
    if len(maps) < len(words):
        raise ValueError(f"{len(words)} words, {len(maps)} maps: one a word was expected")
    scene = as_image(image, mean=mean, std=std)
    read = []
    for place, word in enumerate(words):
        with naming(f"word {place} ({word!r})"):
            size = scene.shape[:2]
            read.append(fitting_map(maps[place], image=size, what="map", stretch=stretch))
    names = [str(word) for word in words]
    scales, key = scales_for(
        read,
        normalise,
        what="maps",
        own="each map over its own range",
        common=("layer", "all maps over one range"),
        words=("layer", "image", "none"),
    )
    return Told(scene, names, read, scales, key)
