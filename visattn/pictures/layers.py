"""Overlays side by side: images down, layers (or models) across."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack

from matplotlib.figure import Figure

from visattn.pictures.arrays import naming
from visattn.pictures.blending import as_bytes, outline_field
from visattn.pictures.captions import captions_for
from visattn.pictures.keys import Key, own_key, scales_for
from visattn.pictures.painter import Painter, Style
from visattn.pictures.scales import Limits, Map, Scale, scale_between, scale_over
from visattn.pictures.sheets import (
    BAR,
    GAP,
    HEAD,
    LINE,
    MARGIN,
    SIZE,
    Sheet,
    outline,
    span,
    tallness,
)

Normalise = Literal["image", "layer", "global", "none"] | Limits | Mapping[str, Limits]


def grid(
    images: Any,
    maps: Mapping[str, Any],
    *,
    captions: Sequence[str] | None = None,
    notes: Mapping[str, Sequence[str]] | None = None,
    across: str = "layer",
    title: str | None = None,
    width: float | None = None,
    normalise: Normalise = "image",
    targets: Any = None,
    targets_are: str = "true mask",
    **style: Unpack[Style],
) -> Figure:
    """Draw overlays of several layers (or models): a row an image, a column a layer.

    Args:
        images: Pictures (N, 3, H, W) or (N, H, W, 3), or a sequence of pictures as ``overlay``
            takes them.
        maps: The maps of each layer by its name, each (N, h, w), (N, 1, h, w) or a sequence of
            maps; their resolutions may differ. After a recording it is
            ``maps.heats()``.
        captions: Words for each row.
        notes: Words under each map, by layer: what each of several models predicts, for instance.
        across: What stands side by side, for the words of the figure: ``"layer"`` or ``"model"``.
        title: A title above everything.
        width: Width of the figure in inches; by default 1.5 a column, 10 at most.
        normalise: The values over which the colours run, stated in the figure: ``"image"``, each
            map's own range, written under it; ``"layer"``, the range of each column, written
            under its name; ``"global"``, the range of all maps; ``"none"``, from 0 to 1, for gates
            and masks as they are; a pair (low, high); or such a pair for each layer by its name.
        targets: Masks (N, h, w), one an image, whose outlines to draw (white) in the image and
            over the maps.
        targets_are: What these are, for the words of the figure.
        **style: ``cmap``, ``alpha``, ``interpolation``, ``stretch``, ``mean`` and ``std``, as for
            ``overlay``.

    Returns:
        The figure; ``save`` writes it.

    Raises:
        TypeError: If images or maps cannot be read as numbers, or ``maps`` is no mapping.
        ValueError: If numbers or shapes do not fit, values are out of range, or an option is
            unknown. Layer and image are named.

    Example:
        >>> import numpy as np
        >>> images = np.zeros((2, 8, 8, 3), dtype=np.uint8)
        >>> maps = {"layer3": np.ones((2, 4, 4)), "layer4": np.zeros((2, 2, 2))}
        >>> len(grid(images, maps, normalise="none").axes)  # two rows of three, the colour bar
        7
    """
    painter = Painter(**style)
    scenes, read = _read(images, maps, painter)
    scales, key = _scales(read, normalise, across=across)
    words = captions_for(len(scenes), captions=captions)
    said = _notes(notes, layers=list(read), count=len(scenes))
    edges = _edges(targets, scenes, stretch=painter.stretch)
    if width is None:
        width = min(10.0, 1.5 * (1 + len(read)) + 2 * MARGIN)
    tile = (width - 2 * MARGIN - len(read) * GAP) / (1 + len(read))
    if tile < 0.3:
        raise ValueError(
            f"{1 + len(read)} columns do not fit {width} inches: fewer layers or a larger width"
        )
    talls = [tile * tallness(scene) for scene in scenes]
    above = LINE if any(words) else 0
    below = (LINE if said else 0) + (LINE if normalise == "image" else 0)
    by_layer = normalise == "layer" or isinstance(normalise, Mapping)
    heads = 2 * LINE if by_layer else LINE
    height = MARGIN + (HEAD if title else 0) + heads + BAR + 2 * MARGIN
    height += sum(talls) + (above + below + GAP) * len(scenes) + (LINE if edges else 0)
    sheet = Sheet(width=width, height=height)
    y = sheet.title(title)
    for column, name in enumerate(("image", *read)):
        x = MARGIN + column * (tile + GAP) + tile / 2
        sheet.write(name, x=x, y=y + LINE / 2, width=tile, size=SIZE - 1, align="center")
        if by_layer and column:
            own = span(scales[name][0])
            sheet.write(own, x=x, y=y + 1.5 * LINE, width=tile, size=6.5, align="center")
    y += heads
    for place, (scene, tall) in enumerate(zip(scenes, talls, strict=True)):
        if words[place]:
            sheet.write(words[place], x=MARGIN, y=y + LINE / 2, width=width - 2 * MARGIN)
        top = y + above
        shown = [sheet.picture(as_bytes(scene), x=MARGIN, y=top, width=tile, height=tall)]
        for column, (name, layer) in enumerate(read.items(), start=1):
            scale = scales[name][place]
            x = MARGIN + column * (tile + GAP)
            picture = painter.lay(layer[place], scale, scene)
            shown.append(sheet.picture(picture, x=x, y=top, width=tile, height=tall))
            lines = [said[name][place]] if said else []
            lines += [span(scale)] if normalise == "image" else []
            for row, line in enumerate(lines):
                middle = top + tall + (row + 0.5) * LINE
                sheet.write(line, x=x + tile / 2, y=middle, width=tile, size=6.5, align="center")
        for axes in shown if edges else ():
            outline(axes, edges[place], level=0.5, kind="target")
        y = top + tall + below + GAP
    key.draw(sheet, painter.legend, x=MARGIN, y=y + MARGIN, width=min(3.2, width - 4 * MARGIN))
    if edges:
        entry, below = [("target", targets_are)], y + MARGIN + BAR
        sheet.legend(entry, x=width - MARGIN, y=below, width=width - 2 * MARGIN)
    return sheet.figure


def _edges(targets: Any, scenes: Sequence[Any], *, stretch: bool) -> list[Map]:
    """Each target at its image's pixels; none at all without targets."""
    if targets is None:
        return []
    if len(targets) != len(scenes):
        raise ValueError(f"targets must be one an image: {len(targets)} for {len(scenes)} images")
    found = []
    for place, scene in enumerate(scenes):
        with naming(f"target {place}"):
            found.append(outline_field(targets[place], size=scene.shape[:2], stretch=stretch))
    return found


def _read(
    images: Any, maps: Mapping[str, Any], painter: Painter
) -> tuple[list[Any], dict[str, list[Map]]]:
    if not isinstance(maps, Mapping):
        raise TypeError(
            f"maps must be a mapping from a layer's name to its maps, not {type(maps).__name__}"
        )
    if len(images) == 0 or not maps:
        raise ValueError(f"there is nothing to draw: {len(images)} images, {len(maps)} layers")
    scenes = []
    for place in range(len(images)):
        with naming(f"image {place}"):
            scenes.append(painter.scene(images[place]))
    read: dict[str, list[Map]] = {}
    for name, layer in maps.items():
        if len(layer) != len(scenes):
            raise ValueError(
                f"layer {name!r} has {len(layer)} maps for {len(scenes)} images: one an image was "
                "expected"
            )
        read[str(name)] = []
        for place, scene in enumerate(scenes):
            with naming(f"layer {name!r}, image {place}"):
                read[str(name)].append(painter.map(layer[place], scene))
    return scenes, read


def _scales(
    read: dict[str, list[Map]], normalise: object, *, across: str
) -> tuple[dict[str, list[Scale]], Key]:
    if normalise == "layer":
        layers = {name: [scale_over(layer)] * len(layer) for name, layer in read.items()}
        return layers, own_key(f"each {across} over its own range, written above")
    if isinstance(normalise, Mapping):
        if set(normalise) != set(read):
            raise ValueError(
                f"normalise must have a pair (low, high) for each {across}, {', '.join(read)}; it"
                f" has {', '.join(map(str, normalise))}"
            )
        given = {name: scale_between(normalise[name], words=()) for name in read}
        found = {name: scale_over(layer) for name, layer in read.items()}
        clipped = any(
            found[name].low < given[name].low or found[name].high > given[name].high
            for name in read
        )
        label = f"each {across} over a given range, written above"
        spread = {name: [given[name]] * len(layer) for name, layer in read.items()}
        return spread, Key(label, Scale(0, 1), words=("low", "high"), clipped=clipped)
    every, key = scales_for(
        [values for layer in read.values() for values in layer],
        normalise,
        what="maps",
        own="each map over its own range, written under it",
        common=("global", "all maps over one range"),
        words=("image", "layer", "global", "none"),
    )
    scales = iter(every)
    return {name: [next(scales) for _ in layer] for name, layer in read.items()}, key


def _notes(
    notes: Mapping[str, Sequence[str]] | None, *, layers: Sequence[str], count: int
) -> dict[str, list[str]]:
    """The words under each map; none at all where there is no word."""
    if notes is None:
        return {}
    unknown = [str(name) for name in notes if name not in layers]
    if unknown:
        raise ValueError(f"notes are for {', '.join(unknown)}; there are {', '.join(layers)}")
    read = {name: captions_for(count, captions=notes.get(name)) for name in layers}
    return read if any(any(words) for words in read.values()) else {}
