"""What annotation files say of a picture: shapes with labels, and the mask that they make."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw

Bitmap = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]
"""Left, top, right and bottom, as shares of width and height."""
Path2D = Sequence[tuple[float, float]]
"""Corners (x, y) in pixels, (0, 0) being the picture's upper left corner."""

_FINER, _LARGEST = 8, 8192
"""How many times finer than the pixels paths are drawn, and up to which side."""


@dataclass(frozen=True)
class Shape:
    """One marked region; what has no area has neither paths nor a bitmap.

    Args:
        label: What it is, as the file says it; empty where it says nothing.
        paths: Closed outlines; a pixel is inside that an odd number of them goes around.
        bitmap: (h, w), true inside.
        left: Column of the picture at which the bitmap begins.
        top: Its row.
        box: Whether it is no more than a box around the object.
        kind: What the file calls it, for messages.
    """

    label: str
    paths: Sequence[Path2D] = ()
    bitmap: Bitmap | None = None
    left: int = 0
    top: int = 0
    box: bool = False
    kind: str = "polygon"

    @property
    def has_area(self) -> bool:
        """Whether there is anything inside, but for what is outside of the picture."""
        if self.bitmap is not None:
            return bool(self.bitmap.any())
        return any(len(path) >= 3 for path in self.paths)


@dataclass(frozen=True)
class AnnotatedPicture:
    """A picture as an annotation file names it, and its shapes.

    Args:
        name: Path or name of the picture.
        size: Width and height that the file says; None where it says nothing.
        shapes: What is marked in it.
        unknown: (H, W), true where the file says that nothing is known.
    """

    name: str
    size: tuple[int, int] | None = None
    shapes: Sequence[Shape] = field(default_factory=tuple)
    unknown: Bitmap | None = None


def box_path(left: float, top: float, right: float, bottom: float) -> Path2D:
    """The corners of a box, clockwise."""
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def ellipse_path(
    x: float, y: float, radius_x: float, radius_y: float, *, angle: float = 0.0, points: int = 90
) -> Path2D:
    """A polygon along an ellipse, turned by ``angle`` (degrees, clockwise on the screen)."""
    around = np.linspace(0, 2 * np.pi, points, endpoint=False)
    path = zip(x + radius_x * np.cos(around), y + radius_y * np.sin(around), strict=True)
    return turned(list(path), about=(x, y), angle=angle)


def turned(path: Path2D, *, about: tuple[float, float], angle: float) -> Path2D:
    """A path turned about a point, by degrees clockwise on the screen.

    Example:
        >>> [(round(x), round(y)) for x, y in turned([(2, 1)], about=(1, 1), angle=90)]
        [(1, 2)]
    """
    if not angle:
        return path
    cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    x, y = about
    return [
        (
            float(x + (px - x) * cosine - (py - y) * sine),
            float(y + (px - x) * sine + (py - y) * cosine),
        )
        for px, py in path
    ]


def drawn(shapes: Sequence[Shape], *, size: tuple[int, int]) -> Bitmap:
    """The mask (H, W) of all shapes together; what is outside of the picture is cut off.

    A pixel is inside a path that covers half of it.

    Args:
        shapes: The shapes.
        size: Width and height.

    Example:
        >>> square = Shape("cat", paths=[box_path(1, 0, 3, 2)])
        >>> drawn([square], size=(4, 3)).astype(int).tolist()
        [[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    """
    width, height = size
    mask = np.zeros((height, width), dtype=bool)
    for shape in shapes:
        if not shape.has_area:
            continue
        if shape.bitmap is not None:
            _paste(mask, shape.bitmap, left=shape.left, top=shape.top)
        else:
            _fill(mask, [path for path in shape.paths if len(path) >= 3])
    return mask


def bounds(bitmap: Bitmap) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom (not inside) of what is true; None where nothing is.

    Example:
        >>> bounds(np.array([[False, False], [False, True]]))
        (1, 1, 2, 2)
    """
    rows, columns = (np.flatnonzero(bitmap.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _paste(mask: Bitmap, bitmap: Bitmap, *, left: int, top: int) -> None:
    y, x = max(top, 0), max(left, 0)
    part = bitmap[y - top :, x - left :]
    place = mask[y : y + part.shape[0], x : x + part.shape[1]]
    place |= part[: place.shape[0], : place.shape[1]]


def _fill(mask: Bitmap, paths: Sequence[Path2D]) -> None:
    """Draw paths a few times finer than the pixels, within the box around them."""
    corners = np.concatenate([np.asarray(path, dtype=float) for path in paths])
    height, width = mask.shape
    left, top = np.clip(np.floor(corners.min(axis=0)), 0, (width, height)).astype(int)
    right, bottom = np.clip(np.ceil(corners.max(axis=0)), 0, (width, height)).astype(int)
    if right <= left or bottom <= top:
        return
    finer = int(np.clip(_LARGEST // max(right - left, bottom - top), 1, _FINER))
    fine = (int(right - left) * finer, int(bottom - top) * finer)
    whole = Image.new("1", fine)
    for path in paths:
        one = Image.new("1", fine)
        # Pillow's pixels have their centres at whole numbers.
        moved = (np.asarray(path, dtype=float) - (left, top)) * finer - 0.5
        ImageDraw.Draw(one).polygon([(float(x), float(y)) for x, y in moved], fill=1)
        whole = ImageChops.logical_xor(whole, one)
    share = np.asarray(whole.convert("L").reduce(finer))
    mask[top:bottom, left:right] |= share >= 128
