"""From a picture file and its mask file to square uint8 arrays of one size, and a cache of them."""

import mmap
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from visattn.basics.checks import check_choice
from visattn.basics.squares import Fit, Interpolation
from visattn.data.background_swap import fill
from visattn.data.files.masks import read_mask_file
from visattn.data.files.names import shown
from visattn.data.files.pictures import Picture, read_picture
from visattn.data.layout import Item
from visattn.data.masks import SOFT, MaskValues

Bytes = npt.NDArray[np.uint8]
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


class Decoded(NamedTuple):
    """A picture and its mask as uint8 arrays.

    Args:
        image: RGB (H, W, 3).
        alpha: Soft mask (H, W), 255 is the object; None where there is no mask.
        unknown: (H, W), 255 where the mask says nothing and 0 elsewhere; None where no pixel is
            unknown. ``alpha`` holds a plausible value there, the mean of the nearest known ones.
    """

    image: Bytes
    alpha: Bytes | None = None
    unknown: Bytes | None = None


@dataclass(frozen=True)
class Decoder:
    """Reads the files of an item at one size.

    ``fit="crop"`` scales the short side to ``size`` and cuts out the centre; ``fit="stretch"``
    scales both sides to ``size``, whatever the shape. Picture and mask are resampled alike, with a
    filter that widens when shrinking (no aliasing), so that the mask stays the alpha of
    the picture; a picture that already has the size is left as it is. A mask pixel that covers
    unknown ones takes the mean of the known ones, and is unknown where these are fewer than half.
    The camera's orientation (EXIF) is applied to pictures, and to masks that have one of their own.
    Transparency is laid on white. What files are understood, `visattn.data.files` says.

    Args:
        size: Side of the square, in pixels.
        fit: How a picture of another shape becomes a square.
        interpolation: The filter: ``"bilinear"`` (a triangle) or ``"bicubic"`` (sharper, as most
            weights for ImageNet were trained with), both Pillow's.
        mask_values: What the values of the mask files mean, but for items that say it themselves.
    """

    size: int
    fit: Fit = "crop"
    interpolation: Interpolation = "bilinear"
    mask_values: MaskValues = SOFT

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size must be at least 1 pixel, got {self.size}")
        if self.fit not in ("crop", "stretch"):
            raise ValueError(f"fit must be 'crop' or 'stretch', got {self.fit!r}")
        check_choice("interpolation", self.interpolation, tuple(_FILTERS))

    def __call__(self, item: Item) -> Decoded:
        """Read the picture and, where the item has one, the mask.

        Raises:
            ValueError: A file cannot be read, or the mask has another size; it names the file.
        """
        picture = read_picture(item.path, least=self.size)
        image = np.array(self._resize(picture.image), dtype=np.uint8)
        if item.mask_path is None:
            return Decoded(image)
        meaning = item.mask_values or self.mask_values
        mask = read_mask(item.mask_path, meaning=meaning, beside=picture, picture_path=item.path)
        alpha, unknown = mask.alpha, mask.unknown
        if not unknown.any():
            return Decoded(image, to_bytes(self._resize_plane(alpha)))
        known = self._resize_plane((~unknown).astype(np.float32))
        weighted = self._resize_plane(alpha)  # alpha is 0 where unknown
        alpha = np.where(known > 0, weighted / np.maximum(known, 1e-6), 0.0)
        doubtful = known < 0.5
        if not doubtful.any():
            return Decoded(image, to_bytes(alpha))
        return Decoded(
            image,
            to_bytes(_filled_plane(alpha, known=~doubtful)),
            np.where(doubtful, np.uint8(255), np.uint8(0)),
        )

    def _resize(self, picture: Image.Image) -> Image.Image:
        target, (width, height) = (self.size, self.size), picture.size
        if picture.size == target:
            return picture
        side = min(width, height)
        left, top = ((width - side) / 2, (height - side) / 2) if self.fit == "crop" else (0, 0)
        box = (left, top, width - left, height - top)
        return picture.resize(target, _FILTERS[self.interpolation], box=box)

    def _resize_plane(self, plane: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
        resized = self._resize(Image.fromarray(plane.astype(np.float32)))
        return np.asarray(resized, dtype=np.float32)


class Mask(NamedTuple):
    """A mask file by its meaning, at the picture's size.

    Attributes:
        alpha: (H, W), in [0, 1], 0 where unknown.
        unknown: (H, W), where the mask says nothing.
        orientation: The file's own (EXIF), 1 for none.
    """

    alpha: npt.NDArray[np.float32]
    unknown: npt.NDArray[np.bool_]
    orientation: int


def read_mask(path: Path, *, meaning: MaskValues, beside: Picture, picture_path: Path) -> Mask:
    """Read a mask file and what it means for the picture beside it.

    Raises:
        ValueError: The file cannot be read, is of another size than its picture, or has values
            without a meaning; it names the file.
    """
    pixels = read_mask_file(path, channel=meaning.channel)
    if pixels.size != beside.size:
        (width, height), (wide, high) = pixels.size, beside.size
        advice = "; save it at the picture's size"
        if beside.orientation >= 5 and pixels.orientation == 1 and (width, height) == (high, wide):
            advice = (
                "; it fits the picture as it is stored, before the camera's orientation (EXIF "
                f"{beside.orientation}) is applied: give the mask that orientation, or turn it"
            )
        raise ValueError(
            f"{shown(path)}: the mask is {width} x {height} pixels, its picture "
            f"{shown(picture_path)} is {wide} x {high} (width x height){advice}"
        )
    try:
        alpha, unknown = meaning.read(pixels)
    except ValueError as error:
        raise ValueError(f"the mask {shown(path)}: {error}") from error
    return Mask(alpha, unknown, pixels.orientation)


class SharedCache:
    """Decoded pictures in one block of memory that forked worker processes share.

    Whoever decodes a picture first, the main process or a worker, stores it for all. Pages that
    nobody has written take no memory. Copied or sent to a process that is started afresh (the
    "spawn" method), a cache begins empty there.

    Args:
        count: Number of pictures.
        size: Side of the square, in pixels.
    """

    def __init__(self, count: int, *, size: int) -> None:
        self.count, self.size = count, size
        pixels, plane = count * size * size, (count, size, size)
        block = np.frombuffer(mmap.mmap(-1, max(1, 5 * pixels + count)), dtype=np.uint8)
        self._images = block[: 3 * pixels].reshape(*plane, 3)
        self._alphas = block[3 * pixels : 4 * pixels].reshape(plane)
        self._unknowns = block[4 * pixels : 5 * pixels].reshape(plane)
        # 0 nothing yet; else 1, + 2 with alpha, + 4 with unknown pixels. Written last.
        self._states = block[5 * pixels : 5 * pixels + count]

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(SharedCache, size=self.size), (self.count,)

    @property
    def filled(self) -> int:
        """How many pictures it holds by now."""
        return int(np.count_nonzero(self._states))

    def get(self, index: int) -> Decoded | None:
        """The picture at a row, or None where it was not decoded yet. Not to be written to."""
        state = int(self._states[index])
        if state == 0:
            return None
        return Decoded(
            self._images[index],
            self._alphas[index] if state & 2 else None,
            self._unknowns[index] if state & 4 else None,
        )

    def put(self, index: int, decoded: Decoded) -> None:
        """Store a picture."""
        state = 1
        self._images[index] = decoded.image
        if decoded.alpha is not None:
            self._alphas[index] = decoded.alpha
            state |= 2
        if decoded.unknown is not None:
            self._unknowns[index] = decoded.unknown
            state |= 4
        self._states[index] = state


def to_bytes(alpha: npt.NDArray[np.floating[Any]]) -> Bytes:
    """Values in [0, 1] as bytes."""
    return np.rint(np.clip(alpha, 0.0, 1.0) * 255.0).astype(np.uint8)


def _filled_plane(
    plane: npt.NDArray[np.floating[Any]], *, known: npt.NDArray[np.bool_]
) -> npt.NDArray[np.floating[Any]]:
    """The plane (H, W) with its unknown pixels taken from the known ones around them."""
    values = torch.from_numpy(np.ascontiguousarray(plane, dtype=np.float32))[None, None]
    weights = torch.from_numpy(known.astype(np.float32))[None, None]
    return fill(values, weights=weights)[0, 0].numpy()
