"""What `visattn.data.background_swap` computes with, for one picture as an array.

Pictures are float32 (H, W, 3), masks float32 (H, W). For one picture this is several times faster
than tensors are. The functions are those of `visattn.data.tensor_planes`.
"""

import numpy as np
import numpy.typing as npt

from visattn.data.optional import cv2

Floats = npt.NDArray[np.float32]


def sides(planes: Floats) -> tuple[int, int]:
    """Height and width."""
    return planes.shape[0], planes.shape[1]


def spread(mask: Floats) -> Floats:
    """(H, W) to (H, W, 3): NumPy is several times slower where it has to broadcast over that."""
    return cv2.merge([mask, mask, mask])


def largest(planes: Floats) -> np.float32:
    """The largest value."""
    return planes.max()


def chosen(condition: bool, one: Floats, other: Floats) -> Floats:
    """One or the other."""
    return one if condition else other


def within_range(planes: Floats, picture: Floats) -> Floats:
    """Values no lower and no higher than the picture's own in that channel; changed in place."""
    for channel in range(3):
        lowest, highest, _, _ = cv2.minMaxLoc(picture[..., channel])
        np.clip(planes[..., channel], lowest, highest, out=planes[..., channel])
    return planes


def plus_product(start: Floats, one: Floats, other: Floats) -> Floats:
    """Start + one * other, in the place of one."""
    one *= other
    one += start
    return one


def sums_of_four(planes: Floats) -> Floats:
    """Sums over blocks of 2 x 2: half the sides, rounded up."""
    height, width = planes.shape[:2]
    if height % 2 or width % 2:
        border = (0, height % 2, 0, width % 2)
        planes = cv2.copyMakeBorder(planes, *border, cv2.BORDER_CONSTANT, value=0)
    size = ((width + 1) // 2, (height + 1) // 2)
    return cv2.resize(planes, size, interpolation=cv2.INTER_AREA) * np.float32(4)


def doubled(planes: Floats, size: tuple[int, int]) -> Floats:
    """Twice the sides, bilinearly, cut to ``size``."""
    twice = (2 * planes.shape[1], 2 * planes.shape[0])
    return cv2.resize(planes, twice, interpolation=cv2.INTER_LINEAR)[: size[0], : size[1]]


def widened(mask: Floats, radius: int) -> Floats:
    """The largest value within ``radius`` pixels along both axes."""
    if radius == 0:
        return mask
    return cv2.dilate(mask, np.ones((2 * radius + 1, 2 * radius + 1), np.uint8))
