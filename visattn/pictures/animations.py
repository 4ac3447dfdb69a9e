"""Moving pictures: masks while a network trains, and a caption word by word."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, Unpack

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from visattn.pictures.arrays import as_map
from visattn.pictures.layers import grid
from visattn.pictures.painter import Style
from visattn.pictures.scales import Limits, scale_over
from visattn.pictures.sheets import BAR, LINE, MARGIN, Sheet, tallness
from visattn.pictures.strips import read_words

Frames = NDArray[np.uint8]
"""Frames (T, H, W, 3), bytes; ``save(frames, "name.gif")`` writes them."""


def frames(pictures: Sequence[Figure | NDArray[np.uint8]], *, dpi: int = 120) -> Frames:
    """Put figures, or pictures of one size, one behind the other.

    Args:
        pictures: Matplotlib figures or arrays (H, W, 3) of bytes.
        dpi: Dots an inch of the figures.

    Returns:
        (T, H, W, 3); ``save`` writes it to a GIF.

    Raises:
        ValueError: If there is none, or they differ in size.

    Example:
        >>> frames([np.zeros((4, 6, 3), np.uint8), np.ones((4, 6, 3), np.uint8)]).shape
        (2, 4, 6, 3)
    """
    if len(pictures) == 0:
        raise ValueError("there is no picture to make frames of")
    drawn = [_pixels(p, dpi=dpi) if isinstance(p, Figure) else np.asarray(p) for p in pictures]
    sizes = list(dict.fromkeys(picture.shape for picture in drawn))
    if len(sizes) > 1:
        raise ValueError(f"frames must have one size, not {' and '.join(map(str, sizes[:3]))}")
    if drawn[0].dtype != np.uint8 or drawn[0].ndim != 3 or drawn[0].shape[2] != 3:
        raise ValueError(
            f"each frame must be (H, W, 3) of bytes, not {sizes[0]} of {drawn[0].dtype}"
        )
    return np.stack(drawn)


def training_frames(
    images: Any,
    history: Mapping[str, Mapping[str, Any]],
    *,
    captions: Sequence[str] | None = None,
    width: float | None = None,
    normalise: Literal["layer", "none"] | Limits = "layer",
    dpi: int = 120,
    **style: Unpack[Style],
) -> Frames:
    """Draw how the maps of the same images change while a network trains, a frame an epoch.

    A colour means the same value in all frames. ``history`` has for each frame its title, such as
    ``"epoch 3"``, and its maps by layer; the same layers in all. ``normalise`` is ``"layer"``, the
    range of each layer over the whole training; ``"none"``, from 0 to 1; or a pair (low, high). It
    is stated in every frame. ``dpi`` are dots an inch; the other arguments, those of ``style``
    too, are those of ``grid``.

    Returns:
        (T, H, W, 3).

    Raises:
        TypeError: As ``grid``.
        ValueError: As ``grid``; or if there is no frame, or frames differ in their layers.

    Example:
        >>> image = np.zeros((1, 8, 8, 3), dtype=np.uint8)
        >>> history = {f"epoch {n}": {"layer4": np.full((1, 2, 2), n)} for n in range(3)}
        >>> training_frames(image, history, dpi=50).shape[0]
        3
    """
    if not history:
        raise ValueError("there is no frame to draw: history is empty")
    first = list(next(iter(history.values())))
    for title, maps in history.items():
        if list(maps) != first:
            raise ValueError(
                f"frame {title!r} has the layers {', '.join(maps)}, the first frame"
                f" {', '.join(first)}: they must be the same"
            )
    ranges: Any = normalise
    if normalise == "layer":
        ranges = {}
        for layer in first:
            every = [as_map(m, what="map") for maps in history.values() for m in maps[layer]]
            found = scale_over(every)
            # A range of one value would show nothing; it gets the middle colour.
            wide = found.high > found.low
            ranges[layer] = (found.low, found.high) if wide else (found.low - 1, found.high + 1)
    same = partial(grid, captions=captions, width=width, normalise=ranges, **style)
    return frames([same(images, maps, title=title) for title, maps in history.items()], dpi=dpi)


def word_frames(
    image: Any,
    words: Sequence[str],
    maps: Any,
    *,
    width: float = 3.6,
    normalise: Literal["layer", "none"] | Limits = "layer",
    dpi: int = 120,
    **style: Unpack[Style],
) -> Frames:
    """Draw what each word of a sentence looks at, a frame a word.

    The arguments, those of ``style`` too, are those of ``word_strip``; a colour means the same
    value in all frames.

    Returns:
        (T, H, W, 3), a frame a word.

    Raises:
        TypeError: As ``word_strip``.
        ValueError: As ``word_strip``.

    Example:
        >>> image = np.zeros((8, 8, 3), dtype=np.uint8)
        >>> word_frames(image, ["a", "plate"], np.eye(4)[None].repeat(2, 0), dpi=50).shape[0]
        2
    """
    if normalise == "image":  # type: ignore[comparison-overlap]  # word_strip knows it
        raise ValueError(
            "normalise='image' would give every frame a range of its own: use 'layer', 'none' or a"
            " pair (low, high)"
        )
    told = read_words(image, words, maps, normalise=normalise, style=style)
    if width < 1:
        raise ValueError(f"width must be at least 1 inch, not {width}")
    inner = width - 2 * MARGIN
    tall = inner * tallness(told.scene)
    pictures = []
    for place, (word, picture) in enumerate(zip(told.words, told.pictures, strict=True)):
        sheet = Sheet(width=width, height=3 * MARGIN + 3 * LINE + tall + BAR)
        middle = MARGIN + 0.75 * LINE
        sheet.write(word, x=width / 2, y=middle, width=inner, size=11, bold=True, align="center")
        y = MARGIN + 1.6 * LINE
        sheet.picture(picture, x=MARGIN, y=y, width=inner, height=tall)
        said = " ".join(told.words[: place + 1])
        sheet.write(said, x=MARGIN, y=y + tall + 0.8 * LINE, width=inner)
        below = y + tall + 1.4 * LINE + MARGIN / 2
        told.key.draw(sheet, told.cmap, x=MARGIN, y=below, width=min(3.2, inner))
        pictures.append(sheet.figure)
    return frames(pictures, dpi=dpi)


def _pixels(figure: Figure, *, dpi: int) -> NDArray[np.uint8]:
    """A figure as it looks on paper, at that many dots an inch."""
    before, old = figure.canvas, figure.dpi
    try:
        canvas = FigureCanvasAgg(figure)
        figure.set_dpi(dpi)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()
    finally:
        figure.set_dpi(old)
        figure.set_canvas(before)
