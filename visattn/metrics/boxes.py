"""Does a box around the map's highest part fit the object? MaxBoxAcc.

Choe et al., "Evaluating weakly supervised object localization methods right", 2020,
arXiv:2001.07437.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from visattn.metrics.inputs import foreground, prepare

BOX_OVERLAPS = (0.3, 0.5, 0.7)


@dataclass(frozen=True)
class BoxAccuracy:
    """Shares of images whose object a box of the map hits.

    Attributes:
        overlaps: The IoU that counts as a hit, ascending.
        accuracies: For each, the share of images at the best threshold.
        thresholds: For each, that threshold.
        images: How many images were counted.
        left_out: How many have no object and were left out.
    """

    overlaps: tuple[float, ...]
    accuracies: tuple[float, ...]
    thresholds: tuple[float, ...]
    images: int
    left_out: int

    @property
    def mean(self) -> float:
        """Mean of the accuracies over the overlaps."""
        return sum(self.accuracies) / len(self.accuracies)


def max_box_accuracy(
    saliency: Tensor,
    mask: Tensor,
    *,
    overlaps: Sequence[float] = BOX_OVERLAPS,
    thresholds: int = 100,
) -> BoxAccuracy:
    r"""Share of images with a box of IoU :math:`\ge \delta`, at the threshold that suits most.

    Each map is brought to [0, 1] by its own range and cut at a threshold; the connected parts of
    what lies above give a box each, and the best box of an image counts. For each overlap the
    threshold is the one, common to all images, at which most images hit. A flat map has no box.

    The true box is the one around the whole mask. A box of the whole image is a hit where the true
    box is that large: ``whole_image_accuracy`` is the level to beat.

    Args:
        saliency: Maps (N, H, W) or (N, 1, H, W).
        mask: True masks of the same size, boolean or in [0, 1], NaN to ignore.
        overlaps: The IoU that counts as a hit, each in (0, 1].
        thresholds: How many are tried, evenly from 0.

    Returns:
        The accuracies, NaN where no image has an object.

    Raises:
        TypeError: If an argument is no tensor.
        ValueError: If shapes don't fit or a value is out of its range.

    Example:
        >>> saliency = torch.tensor([[[0.9, 0.8, 0.0, 0.1]]])
        >>> max_box_accuracy(saliency, torch.tensor([[[1, 1, 1, 0]]])).accuracies
        (1.0, 1.0, 0.0)
    """
    return best_over_thresholds(
        box_hits(saliency, mask, overlaps=overlaps, thresholds=thresholds), overlaps=overlaps
    )


def whole_image_accuracy(mask: Tensor, *, overlaps: Sequence[float] = BOX_OVERLAPS) -> BoxAccuracy:
    """What a box of the whole image gets, in terms of ``max_box_accuracy``.

    Args:
        mask: True masks (N, H, W) or (N, 1, H, W), boolean or in [0, 1], NaN to ignore.
        overlaps: As for ``max_box_accuracy``.

    Example:
        >>> whole_image_accuracy(torch.tensor([[[1, 1, 0, 0]]])).accuracies
        (1.0, 1.0, 0.0)
    """
    true, _ = foreground(mask)
    sides = _box(true)[:, 2:] - _box(true)[:, :2] + 1
    found = sides.prod(1).double() / true[0].numel() if len(true) else sides.new_zeros(0).double()
    found = found.masked_fill(~true.flatten(1).any(1), torch.nan)
    return best_over_thresholds(_hits(found[:, None], overlaps), overlaps=overlaps)


def box_overlaps(saliency: Tensor, mask: Tensor, *, thresholds: int = 100) -> Tensor:
    """IoU of each map's best box with the true box, at each threshold.

    The T thresholds are 0, 1/T, 2/T, ... of each map's range, and a pixel has to lie above. Parts
    that touch at a corner are one. The arguments, and the errors, are those of
    ``max_box_accuracy``.

    Returns:
        Values (N, T) in [0, 1], 0 where there is no box; NaN for an image with an empty mask.

    Raises:
        ValueError: As by ``max_box_accuracy``.

    Example:
        >>> mask = torch.zeros(1, 1, 4, 4)
        >>> mask[..., 1:3, 1:3] = 1
        >>> box_overlaps(mask[:, 0], mask, thresholds=2)
        tensor([[1., 1.]], dtype=torch.float64)
    """
    if thresholds < 1:
        raise ValueError(f"thresholds must be at least 1, not {thresholds}")
    pixels = prepare(saliency, mask)
    true, _ = foreground(mask)
    true = true.to(pixels.saliency.device)
    lowest, highest = pixels.lowest()[:, None], pixels.highest()[:, None]
    shares = ((pixels.saliency - lowest) / (highest - lowest)).nan_to_num(0)
    shares = shares.masked_fill(~pixels.valid, 0).view(true.shape)
    levels = torch.arange(thresholds, device=true.device, dtype=shares.dtype) / thresholds
    counts = torch.searchsorted(levels, shares.contiguous())  # thresholds that a pixel lies above
    found = [
        _best_overlaps(image, box, thresholds=thresholds)
        for image, box in zip(counts.tolist(), _box(true).tolist(), strict=True)
    ]
    best = shares.new_tensor(found).view(len(true), thresholds)
    return best.masked_fill(~true.flatten(1).any(1)[:, None], torch.nan)


def box_hits(
    saliency: Tensor, mask: Tensor, *, overlaps: Sequence[float], thresholds: int
) -> Tensor:
    """Whether each image is hit, at each threshold and overlap; arguments of `max_box_accuracy`.

    Returns:
        1 or 0 (N, T, overlaps); NaN for an image with an empty mask.

    Example:
        >>> mask = torch.zeros(1, 1, 4, 4)
        >>> mask[..., 1:3, 1:3] = 1
        >>> box_hits(mask[:, 0], mask, overlaps=(0.5,), thresholds=2).flatten().tolist()
        [1.0, 1.0]
    """
    return _hits(box_overlaps(saliency, mask, thresholds=thresholds), overlaps)


def best_over_thresholds(hits: Tensor, *, overlaps: Sequence[float]) -> BoxAccuracy:
    """Share of images that are hit, for each overlap at its best common threshold.

    Args:
        hits: As ``box_hits`` gives them (N, T, overlaps).
        overlaps: The overlaps.

    Example:
        >>> hits = torch.tensor([[[0.0], [1.0]], [[1.0], [1.0]]])  # two images, two thresholds
        >>> found = best_over_thresholds(hits, overlaps=(0.5,))
        >>> found.accuracies, found.thresholds
        ((1.0,), (0.5,))
    """
    defined = ~hits.isnan().flatten(1).any(1)
    images = int(defined.sum())
    sums = hits[defined].sum(0)
    best, places = sums.double().max(0)
    shares = best / images if images else torch.full_like(best, torch.nan)
    return BoxAccuracy(
        overlaps=tuple(overlaps),
        accuracies=tuple(shares.tolist()),
        thresholds=tuple(place / len(sums) for place in places.tolist()),
        images=images,
        left_out=len(hits) - images,
    )


def _hits(found: Tensor, overlaps: Sequence[float]) -> Tensor:
    if not overlaps or not all(0 < overlap <= 1 for overlap in overlaps):
        raise ValueError(f"overlaps must be at least one, each in (0, 1], not {list(overlaps)}")
    needed = torch.tensor(overlaps, dtype=found.dtype, device=found.device)
    hits = (found[..., None] >= needed).to(found.dtype)
    return hits.masked_fill(found[..., None].isnan(), torch.nan)


def _best_overlaps(
    counts: list[list[int]], box: tuple[int, int, int, int], *, thresholds: int
) -> list[float]:
    """IoU of one map's best box with the true ``box`` (see `_box`), at each threshold.

    ``counts`` (H, W) says how many of the thresholds each pixel lies above. Thresholds fall, so
    parts only grow and join: each pixel is added once and joined with the parts of its neighbours
    (union-find), and each part carries its box.
    """
    width = len(counts[0]) + 2  # a border of pixels that are never added
    added: list[list[int]] = [[] for _ in range(thresholds + 1)]
    for y, row in enumerate(counts):
        for x, count in enumerate(row):
            added[count].append((y + 1) * width + x + 1)
    parent = [-1] * (width * (len(counts) + 2))
    around = (-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1)
    parts: dict[int, tuple[int, int, int, int]] = {}
    overlaps: dict[int, float] = {}
    best = [0.0] * thresholds
    for count in range(thresholds, 0, -1):
        grown = set()
        for pixel in added[count]:
            y, x = divmod(pixel, width)
            top, left, bottom, right = y - 1, x - 1, y - 1, x - 1
            parent[pixel] = pixel
            for offset in around:
                root = pixel + offset
                if parent[root] < 0:
                    continue
                while parent[root] != root:
                    parent[root] = parent[parent[root]]
                    root = parent[root]
                if root != pixel:
                    other = parts.pop(root)
                    overlaps.pop(root, None)
                    grown.discard(root)
                    parent[root] = pixel
                    top, left = min(top, other[0]), min(left, other[1])
                    bottom, right = max(bottom, other[2]), max(right, other[3])
            parts[pixel] = (top, left, bottom, right)
            grown.add(pixel)
        for root in grown:
            overlaps[root] = _overlap(parts[root], box)
        best[count - 1] = max(overlaps.values(), default=0.0)
    return best


def _box(true: Tensor) -> Tensor:
    """First row, first column, last row and last column (B, 4) of masks (B, H, W)."""
    rows, columns = true.any(2).long(), true.any(1).long()
    return torch.stack(
        [
            rows.argmax(1),
            columns.argmax(1),
            true.shape[1] - 1 - rows.flip(1).argmax(1),
            true.shape[2] - 1 - columns.flip(1).argmax(1),
        ],
        dim=1,
    )


def _overlap(first: Sequence[int], second: Sequence[int]) -> float:
    """IoU of two boxes, both ends included."""
    height = min(first[2], second[2]) - max(first[0], second[0]) + 1
    width = min(first[3], second[3]) - max(first[1], second[1]) + 1
    common = max(height, 0) * max(width, 0)
    areas = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (first, second)]
    return common / (sum(areas) - common)
