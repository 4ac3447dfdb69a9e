"""What a caption's words look at: the image, then a map a word."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Unpack

from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from visattn.pictures.arrays import naming
from visattn.pictures.blending import Picture, as_bytes
from visattn.pictures.keys import Key, scales_for
from visattn.pictures.painter import Painter, Style
from visattn.pictures.scales import Limits, Scale
from visattn.pictures.sheets import BAR, GAP, HEAD, LINE, MARGIN, SIZE, Sheet, span, tallness


def word_strip(
    image: Any,
    words: Sequence[str],
    maps: Any,
    *,
    title: str | None = None,
    columns: int = 6,
    width: float | None = None,
    normalise: Literal["layer", "image", "none"] | Limits = "layer",
    **style: Unpack[Style],
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
        normalise: The values over which the colours run, stated at the colour bar: ``"layer"``,
            the range of all maps, so that a word that looks nowhere in particular looks like it;
            ``"image"``, each map's own range, written under it; ``"none"``, from 0 to 1; or a pair
            (low, high).
        **style: ``cmap``, ``alpha``, ``interpolation``, ``stretch``, ``mean`` and ``std``, as for
            ``overlay``; by default, ``alpha`` is 0.6.

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
    told = read_words(image, words, maps, normalise=normalise, style=style)
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
            picture = told.pictures[place - 1]
            if normalise == "image":
                below, own = y + 1.5 * LINE + tall, span(told.scales[place - 1])
                sheet.write(own, x=middle, y=below, width=tile, size=SIZE - 1.5, align="center")
        else:
            picture = as_bytes(told.scene)
        sheet.picture(picture, x=x, y=y + LINE, width=tile, height=tall)
    y = top + -(-tiles // columns) * step
    told.key.draw(sheet, told.cmap, x=MARGIN, y=y, width=min(3.2, width - 2 * MARGIN))
    return sheet.figure


class Told(NamedTuple):
    """An image, its words, for each the picture of its map and its scale, and what colours mean."""

    scene: Any
    words: list[str]
    pictures: list[Picture]
    scales: list[Scale]
    key: Key
    cmap: str | Colormap


def read_words(
    image: Any, words: Sequence[str], maps: Any, *, normalise: object, style: Style
) -> Told:
    """Read and check an image with a map a word; see `word_strip`."""
    if isinstance(words, str) or not words:
        found = f"the single string {words!r}" if words else "none"
        raise ValueError(f"words must be a list of at least one word, not {found}")
    if len(maps) < len(words):
        raise ValueError(f"{len(words)} words, {len(maps)} maps: one a word was expected")
    style.setdefault("alpha", 0.6)
    painter = Painter(**style)
    scene = painter.scene(image)
    read = []
    for place, word in enumerate(words):
        with naming(f"word {place} ({word!r})"):
            read.append(painter.map(maps[place], scene))
    scales, key = scales_for(
        read,
        normalise,
        what="maps",
        own="each map over its own range",
        common=("layer", "all maps over one range"),
        words=("layer", "image", "none"),
    )
    pictures = [painter.lay(*pair, scene) for pair in zip(read, scales, strict=True)]
    return Told(scene, [str(word) for word in words], pictures, scales, key, painter.legend)
