"""Masks from colour alone: GrabCut from a box, or from the picture's centre."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from visattn.annotation.shapes import Bitmap, Box, Pixels
from visattn.data.optional import cv2

_COARSE, _FINE = 96, 256
"""Longest sides, in pixels, at which starts are compared and the best one is refined."""
_RIM = 0.02
_STARTS = ((0.0, 0.85), (0.15, 0.85), (0.3, 0.7))
"""Diameters, as shares of the sides, of the ellipse that is surely and of that which is probably
the object."""
_LEAST, _MOST, _LEAST_WORTH = 0.01, 0.95, 0.02
_BINS = (6, 12, 12)


def grabcut_mask(picture: Pixels, *, box: Box | None = None) -> tuple[Bitmap, bool]:
    r"""Cut the object out of a picture by its colours (Rother et al., 2004).

    GrabCut fits colour mixtures to object and background in turn and cuts between them. It is
    started from several guesses on a small picture: an ellipse of different sizes in the middle of
    the box, the rest of it being probably background, what is outside surely. Of the results the
    one is refined with the largest

        (1 - Bhattacharyya coefficient of the colours inside and outside)
        · (1 - share of the picture's border that is inside) · sqrt(precision · coverage)

    where the last two are taken of a wide bell in the middle of the box: what stands out, in the
    middle, and does not run out of the picture.

    Args:
        picture: RGB (H, W, 3).
        box: Where the object is, nothing of it being outside; the whole picture if None, but for a
            narrow rim.

    Returns:
        The mask (H, W), and whether anything was found; if not, the mask is the ellipse in the
        middle.

    Raises:
        ValueError: The box is empty or outside of the picture.
    """
    height, width = picture.shape[:2]
    if box is not None and not (0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1):
        raise ValueError(f"a box is left, top, right, bottom as shares in [0, 1], got {box}")
    coarse = _shrunk(picture, _COARSE)
    bell = _bell(coarse.shape[:2], box)
    found = list(filter(_is_plausible(box), _candidates(coarse, box)))
    worths = [_worth(mask, coarse, bell=bell) for mask in found]
    if max(worths, default=0.0) < _LEAST_WORTH:
        return _ellipse((height, width), box, 0.75), False
    best = found[int(np.argmax(worths))]
    return _grown(_refined(best, _shrunk(picture, _FINE), box), (height, width)), True


def _candidates(picture: Pixels, box: Box | None) -> Iterator[Bitmap]:
    inside = _inside(picture.shape[:2], box)
    for sure, probable in _STARTS:
        seeds = np.full(picture.shape[:2], cv2.GC_PR_BGD, dtype=np.uint8)
        seeds[_ellipse(seeds.shape, box, probable)] = cv2.GC_PR_FGD
        if box is not None:
            seeds[inside] = cv2.GC_PR_FGD
        seeds[_ellipse(seeds.shape, box, sure)] = cv2.GC_FGD
        seeds[~inside] = cv2.GC_BGD
        yield _tidy(_cut(picture, seeds, rounds=3))


def _refined(mask: Bitmap, picture: Pixels, box: Box | None) -> Bitmap:
    """The same mask along the edges of a larger picture."""
    height, width = picture.shape[:2]
    whole = _grown(mask, (height, width))
    reach = max(1, round(0.04 * max(height, width)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    wide = cv2.dilate(whole.astype(np.uint8), kernel) > 0
    core = cv2.erode(whole.astype(np.uint8), kernel, borderValue=1) > 0
    seeds = np.where(whole, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    seeds[core] = cv2.GC_FGD
    seeds[~wide | ~_inside((height, width), box)] = cv2.GC_BGD
    cut = _tidy(_cut(picture, seeds, rounds=2))
    return cut if cut.any() else whole


def _cut(picture: Pixels, seeds: npt.NDArray[np.uint8], *, rounds: int) -> Bitmap:
    kinds = seeds & 1
    if kinds.all() or not kinds.any():
        return np.zeros(seeds.shape, dtype=bool)
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    smooth = np.ascontiguousarray(picture)
    cv2.grabCut(smooth, seeds, None, *models, rounds, cv2.GC_INIT_WITH_MASK)
    return (seeds & 1).astype(bool)


def _tidy(mask: Bitmap) -> Bitmap:
    """Without crumbs (parts under a fifth of the largest) and holes."""
    count, parts, facts, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if count < 2:
        return mask
    areas = facts[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    kept = np.isin(parts, np.flatnonzero(areas >= 0.2 * areas.max()))
    _, rest = cv2.connectedComponents(np.pad(~kept, 1, constant_values=True).astype(np.uint8))
    return np.asarray(rest != rest[0, 0])[1:-1, 1:-1]


def _worth(mask: Bitmap, picture: Pixels, *, bell: npt.NDArray[Any]) -> float:
    colours = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB)
    shares = []
    for part in (mask, ~mask):
        table = cv2.calcHist(
            [colours], [0, 1, 2], part.astype(np.uint8), _BINS, [0, 256, 0, 256, 0, 256]
        )
        shares.append(table / max(1.0, table.sum()))
    alike = float(np.sqrt(shares[0] * shares[1]).sum())
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).mean()
    inside = float(bell[mask].sum())
    return (1 - alike) * (1 - border) * inside / float(np.sqrt(mask.sum() * bell.sum()))


def _is_plausible(box: Box | None) -> Any:
    """Whether a mask covers enough of the picture, or of the box, and not nearly all of it."""
    area = 1.0 if box is None else (box[2] - box[0]) * (box[3] - box[1])
    most = _MOST if box is None else 1.0
    return lambda mask: _LEAST * area <= mask.mean() <= most


def _centred(size: tuple[int, ...], box: Box | None) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """How far right and below the box's middle each pixel is, in half sides of the box."""
    height, width = size
    left, top, right, bottom = box or (0.0, 0.0, 1.0, 1.0)
    y, x = (np.mgrid[0:height, 0:width] + 0.5) / np.array([height, width]).reshape(2, 1, 1)
    return (2 * x - left - right) / (right - left), (2 * y - top - bottom) / (bottom - top)


def _ellipse(size: tuple[int, ...], box: Box | None, diameter: float) -> Bitmap:
    x, y = _centred(size, box)
    return np.asarray(x**2 + y**2 < diameter**2)


def _bell(size: tuple[int, ...], box: Box | None) -> npt.NDArray[Any]:
    x, y = _centred(size, box)
    return np.asarray(np.exp(-(x**2 + y**2) / (2 * 0.6**2)))


def _inside(size: tuple[int, ...], box: Box | None) -> Bitmap:
    """What is not surely background: the box, or all but the rim of the picture."""
    x, y = _centred(size, box)
    reach = 1.0 if box is not None else 1.0 - 2 * _RIM
    return np.asarray(np.maximum(abs(x), abs(y)) <= reach)


def _shrunk(picture: Pixels, side: int) -> Pixels:
    height, width = picture.shape[:2]
    share = side / max(height, width)
    if share >= 1:
        return picture
    size = (max(1, round(width * share)), max(1, round(height * share)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _grown(mask: Bitmap, size: tuple[int, int]) -> Bitmap:
    if mask.shape == size:
        return mask
    plane = cv2.resize(mask.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(plane >= 0.5)
