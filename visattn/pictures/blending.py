"""A map laid over its image, and lines around regions."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from contourpy import contour_generator
from matplotlib.colors import Colormap
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from visattn.pictures.arrays import Statistics, as_image
from visattn.pictures.scales import (
    Interpolation,
    Limits,
    Map,
    Scale,
    colours,
    fitting_map,
    resize,
    scale_as_is,
    scale_between,
    scale_over,
)

Picture = NDArray[np.uint8]

TARGET_COLOUR = (255, 255, 255)
CONTOUR_COLOUR = (255, 85, 0)
CASING_COLOUR = (0, 0, 0)


def overlay(
    image: Any,
    heat: Any,
    *,
    cmap: str | Colormap = "viridis",
    alpha: float = 0.5,
    fading: bool = False,
    normalise: Literal["image", "none"] | Limits = "image",
    interpolation: Interpolation = "bilinear",
    contour: float | Sequence[float] | None = None,
    target: Any = None,
    stretch: bool = False,
    mean: Statistics = None,
    std: Statistics = None,
) -> Picture:
    r"""Lay a map over its image as colours.

    .. math:: (1 - \alpha) \cdot image + \alpha \cdot colour(heat)

    or, fading, with the map's share of its range times :math:`\alpha` for :math:`\alpha`.

    The colours run over the map's own range unless told otherwise, so a gate between 0.49 and 0.51
    looks as decided as one between 0 and 1: compare pictures only with a common ``normalise``. The
    array has no room to say which was used; ``grid`` draws the colour bar and says it.

    Args:
        image: One picture, tensor (any device) or array: (3, H, W) or (H, W, 3), bytes, values in
            [0, 1], or as the model takes it (see ``mean``).
        heat: One map (h, w), tensor or array, of any resolution; it covers the whole image. Where
            it is NaN the image shows as it is. A constant map has one colour, the middle one;
            fading, a map of zeros has none.
        cmap: Colour map; the default is perceptually uniform and safe for colour-blind readers.
        alpha: Opacity of the colours, in [0, 1]: at 0 there is only the image, at 1 only the map.
        fading: Let the colours fade where the map is low, so that the image stays recognisable.
        normalise: The values over which the colours run: ``"image"``, from this map's smallest to
            its largest; ``"none"``, from 0 to 1, for a gate or mask as it is; or a pair (low,
            high), for pictures to be compared. The ranges over a layer and over everything need
            other maps than this one: ``grid`` has them.
        interpolation: ``"bilinear"``, or ``"nearest"`` to show the map's own cells.
        contour: A value of the map, or several, around which to draw a line (red).
        target: A true mask (h, w), boolean or in [0, 1], whose outline to draw (white).
        stretch: Accept a map of another aspect ratio, for a model that saw the image squeezed.
        mean: Mean of each channel by which the image was normalised, for instance from
            ``visattn.pictures.IMAGENET`` or timm's data configuration. Without it, ImageNet's
            normalisation is recognised where the values leave no doubt.
        std: Standard deviation of each channel, given together with ``mean``.

    Returns:
        The picture (H, W, 3), bytes.

    Raises:
        TypeError: If the image or the map cannot be read as numbers.
        ValueError: If shapes do not fit, values are out of range, or an option is unknown.

    Example:
        >>> image = np.zeros((8, 8, 3), dtype=np.uint8)
        >>> heat = np.array([[0.0, 1.0], [0.0, 1.0]])
        >>> picture = overlay(image, heat, alpha=1.0, interpolation="nearest")
        >>> picture.shape, picture[0, 0].tolist(), picture[0, 7].tolist()
        ((8, 8, 3), [68, 1, 84], [253, 231, 37])
    """
    scene = as_image(image, mean=mean, std=std)
    values = fitting_map(heat, image=scene.shape[:2], what="heat", stretch=stretch)
    field = resize(values, size=scene.shape[:2], interpolation=interpolation)
    shares = _scale(values, normalise)(field, fading=fading)
    picture = blend(scene, shares, cmap=cmap, alpha=alpha, fading=fading)
    if contour is not None:
        for level in np.atleast_1d(np.asarray(contour, dtype=np.float64)):
            picture = draw_contour(picture, field, level=float(level), colour=CONTOUR_COLOUR)
    if target is not None:
        edge = outline_field(target, size=scene.shape[:2], stretch=stretch)
        picture = draw_contour(picture, edge, level=0.5, colour=TARGET_COLOUR)
    return picture


def blend(
    scene: NDArray[np.float32],
    shares: Map,
    *,
    cmap: str | Colormap,
    alpha: float,
    fading: bool = False,
) -> Picture:
    """Mix a map's colours, from values in [0, 1], into a scene (H, W, 3), which stays at NaN."""
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is the opacity of the map's colours, in [0, 1], not {alpha}")
    known = ~np.isnan(shares)
    shares = np.where(known, shares, 0.0)
    tints = colours(cmap)(shares)[..., :3]
    opacity = (alpha * known * (np.clip(shares, 0, 1) if fading else 1))[..., None]
    return as_bytes(scene * (1 - opacity) + tints * opacity)


def as_bytes(picture: NDArray[Any]) -> Picture:
    """Round colours in [0, 1], of any shape, to bytes."""
    return np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def outline_field(target: Any, *, size: tuple[int, int], stretch: bool = False) -> Map:
    """Bring a true mask to the image's pixels; its outline is the line at 0.5."""
    mask = fitting_map(target, image=size, what="target", stretch=stretch)
    if np.nanmin(mask) < 0 or np.nanmax(mask) > 1:
        raise ValueError(
            f"target is a true mask, boolean or in [0, 1], but holds values from "
            f"{np.nanmin(mask):g} to {np.nanmax(mask):g}; divide a mask of 0 and 255 by 255"
        )
    return resize(mask, size=size, interpolation="bilinear")


def draw_contour(
    picture: Picture, field: Map, *, level: float, colour: tuple[int, int, int]
) -> Picture:
    """A picture with the line where a field (H, W) crosses a level; none runs through NaN."""
    if min(field.shape) < 2:
        return picture
    lines = contour_generator(z=np.ma.masked_invalid(field)).lines(level)
    return draw_lines(picture, lines, colour=colour)


def draw_lines(picture: Picture, lines: Sequence[Any], *, colour: tuple[int, int, int]) -> Picture:
    """A picture with lines, whose dark rims show them on any ground.

    A line is a sequence of points (x, y); (0, 0) is the centre of the first pixel.
    """
    size = picture.shape[0], picture.shape[1]
    width = max(1.0, min(size) / 200)
    rim = _strokes(lines, size=size, width=width * 2.2)[..., None] * 0.6
    core = _strokes(lines, size=size, width=width)[..., None]
    mixed = picture / 255 * (1 - rim) + np.asarray(CASING_COLOUR) / 255 * rim
    return as_bytes(mixed * (1 - core) + np.asarray(colour) / 255 * core)


def _strokes(lines: Sequence[Any], *, size: tuple[int, int], width: float) -> Map:
    """Coverage (H, W) in [0, 1] of lines given by pixel coordinates (x, y), smooth at the edges."""
    finer = 4
    canvas = Image.new("L", (size[1] * finer, size[0] * finer))
    pen = ImageDraw.Draw(canvas)
    for line in lines:
        points = [((x + 0.5) * finer, (y + 0.5) * finer) for x, y in line]
        pen.line(points, fill=255, width=max(1, round(width * finer)), joint="curve")
    coverage = canvas.resize((size[1], size[0]), Image.Resampling.BOX)
    return np.asarray(coverage, dtype=np.float64) / 255


def _scale(values: Map, normalise: object) -> Scale:
    if normalise == "image":
        return scale_over([values])
    if normalise == "none":
        return scale_as_is([values])
    if normalise in ("layer", "global"):
        raise ValueError(
            f"normalise={normalise!r} takes its range from other maps too, and one map knows none: "
            "give the range, normalise=(low, high), or draw them together with "
            "visattn.pictures.grid"
        )
    return scale_between(normalise, words=("image", "none"))
