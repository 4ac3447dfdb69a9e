"""The four panels: what came in, the mask, what is left, and both together."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Unpack

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from visattn.pictures.arrays import as_numbers, naming
from visattn.pictures.blending import Picture, as_bytes, blend, outline_field
from visattn.pictures.captions import captions_for, sections_for
from visattn.pictures.keys import Key, scales_for
from visattn.pictures.painter import Painter, Style
from visattn.pictures.scales import Limits, Map, Scale
from visattn.pictures.sheets import BAR, GAP, HEAD, LINE, MARGIN, SIZE, Sheet, outline, tallness

PANELS = ("image", "mask", "masked image", "overlay")


def panels(
    images: Any,
    masks: Any,
    *,
    targets: Any = None,
    true: Sequence[str] | None = None,
    predicted: Sequence[str] | None = None,
    iou: Sequence[float] | None = None,
    captions: Sequence[str] | None = None,
    sections: Mapping[str, int] | None = None,
    title: str | None = None,
    columns: int = 1,
    width: float = 6.5,
    normalise: Literal["none", "image", "layer"] | Limits = "none",
    contour: float | None = None,
    **style: Unpack[Style],
) -> Figure:
    """Draw a row of four panels an image: image, mask, masked image, overlay.

    The masked image is the image times the mask, on black; a mask that leaves [0, 1] is scaled
    first, as its colours are. Show seeded random samples and the worst ones, not the best, and say
    which they are with ``sections``.

    Args:
        images: Pictures (N, 3, H, W) or (N, H, W, 3), or a sequence of pictures as ``overlay``
            takes them, which may differ in size.
        masks: Maps (N, h, w) or (N, 1, h, w), or a sequence of maps.
        targets: True masks, as ``masks``; boolean or in [0, 1]. An image without one has None or
            NaN everywhere. Their outline is drawn in white on the mask and the overlay.
        true: Name of the true class of each image.
        predicted: Name of the predicted class of each image; one that differs from the true class
            is marked as wrong, in words.
        iou: Overlap of mask and true mask of each image, for the caption; NaN is "undefined".
        captions: Further words for each image's caption.
        sections: Titles and how many rows stand under each, in order, such as
            ``{"8 random (seed 0)": 8, "the 4 worst": 4}``; the numbers must add up to N.
        title: A title above everything.
        columns: How many images stand side by side.
        width: Width of the figure in inches; 6.5 is a page's text, its height follows.
        normalise: The values over which the colours run, stated at the colour bar: ``"none"``,
            from 0 to 1, for masks as they are; ``"image"``, each mask's own range; ``"layer"``,
            the range of all masks shown (they are of one layer, so the range over all layers,
            "global", is ``grid``'s); or a pair (low, high).
        contour: A value of the mask at which to draw a dashed red line on mask and overlay.
        **style: ``cmap``, ``alpha``, ``interpolation``, ``stretch``, ``mean`` and ``std``, as for
            ``overlay``.

    Returns:
        The figure; ``save`` writes it.

    Raises:
        TypeError: If images or masks cannot be read as numbers.
        ValueError: If numbers of images, masks and words differ, shapes do not fit, values are out
            of range, or an option is unknown. The image is named by its place.

    Example:
        >>> images = np.zeros((2, 8, 8, 3), dtype=np.uint8)
        >>> masks = np.linspace(0, 1, 2 * 16).reshape(2, 4, 4)
        >>> figure = panels(images, masks, true=["buri", "ika"], predicted=["buri", "ebi"])
        >>> len(figure.axes)  # two rows of four panels, and the colour bar
        9
    """
    painter = Painter(**style)
    cases = _cases(images, masks, targets, painter)
    scales, key = _scales([case.mask for case in cases], normalise)
    words = captions_for(len(cases), true=true, predicted=predicted, iou=iou, captions=captions)
    groups = sections_for(len(cases), sections)
    if columns < 1:
        raise ValueError(f"columns must be at least 1, not {columns}")
    columns = min(columns, max(groups.values()))
    lines = []
    if any(case.target is not None for case in cases):
        lines.append(("target", "true mask"))
    if contour is not None:
        lines.append(("contour", f"mask at {contour:g}"))

    block = (width - 2 * MARGIN - (columns - 1) * 4 * GAP) / columns
    tile = (block - 3 * GAP) / 4
    if tile < 0.3:
        raise ValueError(
            f"{columns} columns of four panels do not fit {width} inches: fewer columns or a "
            "larger width"
        )
    caption = LINE if any(words) else 0
    rows = _rows(groups, columns=columns)
    talls = [max(tile * tallness(cases[place].scene) for place in row.places) for row in rows]
    height = MARGIN + (HEAD if title else 0) + BAR + 2 * MARGIN
    for row, tall in zip(rows, talls, strict=True):
        height += (1.5 * LINE if row.title else 0) + (LINE if row.first else 0)
        height += caption + tall + GAP
    sheet = Sheet(width=width, height=height)
    y = sheet.title(title)
    for row, tall in zip(rows, talls, strict=True):
        if row.title:
            middle = y + 0.75 * LINE
            sheet.write(row.title, x=MARGIN, y=middle, width=width - 2 * MARGIN, size=9, bold=True)
            y += 1.5 * LINE
        for column, place in enumerate(row.places):
            left = MARGIN + column * (block + 4 * GAP)
            top = y
            if row.first:
                _heads(sheet, x=left, y=top, tile=tile)
                top += LINE
            if words[place]:
                sheet.write(words[place], x=left, y=top + LINE / 2, width=block)
            for panel, picture in enumerate(_pictures(cases[place], scales[place], painter)):
                x = left + panel * (tile + GAP)
                axes = sheet.picture(picture, x=x, y=top + caption, width=tile, height=tall)
                if PANELS[panel] in ("mask", "overlay"):
                    _lines(axes, cases[place], contour=contour)
        y += (LINE if row.first else 0) + caption + tall + GAP
    key.draw(sheet, painter.cmap, x=MARGIN, y=y + MARGIN, width=min(3.2, 0.55 * width))
    sheet.legend(lines, x=width - MARGIN, y=y + MARGIN, width=0.4 * width - MARGIN)
    return sheet.figure


class _Case(NamedTuple):
    """A picture, its mask, both masks at the picture's pixels."""

    scene: Any
    mask: Map
    field: Map
    target: Map | None


class _Row(NamedTuple):
    title: str
    first: bool
    places: range


def _rows(groups: Mapping[str, int], *, columns: int) -> list[_Row]:
    rows, start = [], 0
    for title, number in groups.items():
        for first in range(0, number, columns):
            places = range(start + first, start + min(first + columns, number))
            rows.append(_Row(title if first == 0 else "", first == 0, places))
        start += number
    return rows


def _heads(sheet: Sheet, *, x: float, y: float, tile: float) -> None:
    for panel, name in enumerate(PANELS):
        middle = x + panel * (tile + GAP) + tile / 2
        sheet.write(name, x=middle, y=y + LINE / 2, width=tile, size=SIZE - 1, align="center")


def _pictures(case: _Case, scale: Scale, painter: Painter) -> tuple[Picture, ...]:
    scene, field, shares = case.scene, case.field, scale(case.field)
    factor = field if np.nanmin(field) >= 0 and np.nanmax(field) <= 1 else shares
    return (
        as_bytes(scene),
        blend(np.full_like(scene, 0.5), shares, cmap=painter.cmap, alpha=1.0),
        as_bytes(scene * np.nan_to_num(factor, nan=0.0)[..., None]),
        blend(scene, shares, cmap=painter.cmap, alpha=painter.alpha, fading=painter.fading),
    )


def _lines(axes: Axes, case: _Case, *, contour: float | None) -> None:
    if contour is not None:
        outline(axes, case.field, level=contour, kind="contour")
    if case.target is not None:
        outline(axes, case.target, level=0.5, kind="target")


def _cases(images: Any, masks: Any, targets: Any, painter: Painter) -> list[_Case]:
    number = len(images)
    if number == 0:
        raise ValueError("there is no image to draw")
    for name, values in (("masks", masks), ("targets", targets)):
        if values is not None and len(values) != number:
            raise ValueError(f"{number} images, {len(values)} {name}: one an image was expected")
    cases = []
    for place in range(number):
        with naming(f"image {place}"):
            scene = painter.scene(images[place])
            mask = painter.map(masks[place], scene, what="mask")
            target, outlined = None if targets is None else targets[place], None
            if target is not None and not np.isnan(as_numbers(target, what="target")).all():
                outlined = outline_field(target, size=scene.shape[:2], stretch=painter.stretch)
        cases.append(_Case(scene, mask, painter.field(mask, scene), outlined))
    return cases


def _scales(masks: list[Map], normalise: object) -> tuple[list[Scale], Key]:
    if normalise == "global":
        raise ValueError(
            "normalise='global' is the range over several layers, and these masks are of one: "
            "use 'layer', or a pair (low, high)"
        )
    return scales_for(
        masks,
        normalise,
        what="mask",
        own="mask, each from its own smallest to its own largest value",
        common=("layer", "mask, over the range of all masks shown"),
        words=("none", "image", "layer"),
    )
