"""Does a box around the map's highest part fit the object? MaxBoxAcc.

Choe et al., "Evaluating weakly supervised object localization methods right", 2020,
arXiv:2001.07437.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from visattn.metrics.inputs import foreground, prepare

BOX_OVERLAPS = (0.3, 0.5, 0.7)
_HELD = 2**20  # pixels of binary maps at a time


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
    return best_over_thresholds(whole_image_hits(mask, overlaps=overlaps), overlaps=overlaps)


def box_overlaps(saliency: Tensor, mask: Tensor, *, thresholds: int = 100) -> Tensor:
    """IoU of each map's best box with the true box, at each threshold.

    Args:
        saliency: Maps (N, H, W) or (N, 1, H, W).
        mask: True masks of the same size, boolean or in [0, 1], NaN to ignore.
        thresholds: T; the thresholds are 0, 1/T, 2/T, ... of each map's range, and a pixel has to
            lie above. Parts that touch at a corner are one.

    Returns:
        Values (N, T) in [0, 1], 0 where there is no box; NaN for an image with an empty mask.

    Raises:
        TypeError: If an argument is no tensor.
        ValueError: If shapes don't fit or there is no threshold.
    """
    if thresholds < 1:
        raise ValueError(f"thresholds must be at least 1, not {thresholds}")
    pixels = prepare(saliency, mask)
    true, _ = foreground(mask)
    true = true.to(pixels.saliency.device)
    lowest = pixels.saliency.masked_fill(~pixels.valid, torch.inf).amin(1, keepdim=True)
    highest = pixels.saliency.masked_fill(~pixels.valid, -torch.inf).amax(1, keepdim=True)
    shares = ((pixels.saliency - lowest) / (highest - lowest)).nan_to_num(0)
    shares = shares.masked_fill(~pixels.valid, 0).view(true.shape)
    boxes = _box(true)
    levels = torch.arange(thresholds, device=true.device, dtype=shares.dtype) / thresholds
    pairs = torch.cartesian_prod(torch.arange(len(true)), torch.arange(thresholds)).to(true.device)
    found = [shares.new_zeros(0)]
    for chosen in pairs.split(max(1, _HELD // true[0].numel() if len(true) else 1)):
        if len(chosen):
            rows, steps = chosen.unbind(1)
            above = shares[rows] > levels[steps][:, None, None]
            found.append(_best_overlap(above, boxes[rows]))
    best = torch.cat(found).view(len(true), thresholds)
    return best.masked_fill(~true.flatten(1).any(1)[:, None], torch.nan)


def box_hits(
    saliency: Tensor, mask: Tensor, *, overlaps: Sequence[float], thresholds: int
) -> Tensor:
    """Whether each image is hit, at each threshold and overlap.

    Args:
        saliency: Maps (N, H, W) or (N, 1, H, W).
        mask: True masks of the same size.
        overlaps: The IoU that counts as a hit, each in (0, 1].
        thresholds: How many.

    Returns:
        1 or 0 (N, T, overlaps); NaN for an image with an empty mask.
    """
    return _hits(box_overlaps(saliency, mask, thresholds=thresholds), overlaps)


def whole_image_hits(mask: Tensor, *, overlaps: Sequence[float]) -> Tensor:
    """Whether a box of the whole image hits: 1 or 0 (N, 1, overlaps), NaN for an empty mask.

    Args:
        mask: True masks (N, H, W) or (N, 1, H, W).
        overlaps: The IoU that counts as a hit, each in (0, 1].
    """
    true, _ = foreground(mask)
    found = _overlap(_box(torch.ones_like(true)), _box(true))
    found = found.masked_fill(~true.flatten(1).any(1), torch.nan)
    return _hits(found[:, None], overlaps)


def best_over_thresholds(hits: Tensor, *, overlaps: Sequence[float]) -> BoxAccuracy:
    """Share of images that are hit, for each overlap at its best common threshold.

    Args:
        hits: As ``box_hits`` gives them (N, T, overlaps).
        overlaps: The overlaps.
    """
    defined = ~hits.isnan().flatten(1).any(1)
    images = int(defined.sum())
    sums = hits[defined].sum(0)
    best, places = sums.double().max(0)
    shares = best / images if images else torch.full_like(best, torch.nan)
    return BoxAccuracy(
        overlaps=tuple(overlaps),
        accuracies=tuple(shares.tolist()),
        thresholds=tuple((places / len(sums)).tolist()),
        images=images,
        left_out=len(hits) - images,
    )


def _hits(found: Tensor, overlaps: Sequence[float]) -> Tensor:
    if not overlaps or not all(0 < overlap <= 1 for overlap in overlaps):
        raise ValueError(f"overlaps must be at least one, each in (0, 1], not {list(overlaps)}")
    needed = torch.tensor(overlaps, dtype=found.dtype, device=found.device)
    hits = (found[..., None] >= needed).to(found.dtype)
    return hits.masked_fill(found[..., None].isnan(), torch.nan)


def _best_overlap(above: Tensor, boxes: Tensor) -> Tensor:
    """IoU (B,) of the best box around a connected part of ``above`` (B, H, W)."""
    labels = _components(above)
    batch, height, width = above.shape
    rows = torch.arange(height, device=above.device)[:, None].expand(height, width)
    columns = torch.arange(width, device=above.device).expand(height, width)
    ends = []
    for values, how in ((rows, "amin"), (columns, "amin"), (rows, "amax"), (columns, "amax")):
        start = height * width if how == "amin" else -1
        flat = torch.full_like(labels.flatten(1), start)
        source = values.flatten().expand(batch, -1).where(above.flatten(1), start)
        ends.append(flat.scatter_reduce(1, labels.flatten(1), source, how))
    parts = torch.stack(ends, -1)
    found = _overlap(parts, boxes[:, None])
    return torch.where(parts[..., 2] >= 0, found, 0.0).amax(1)


def _components(above: Tensor) -> Tensor:
    """A label a pixel (B, H, W): the index of a pixel of its part, the same all over the part.

    Labels spread to the eight neighbours and then, by following labels as pointers, far in few
    rounds. Pixels outside have labels of their own.
    """
    batch, height, width = above.shape
    own = torch.arange(height * width, device=above.device).expand(batch, -1).contiguous()
    labels = own
    inside = above.flatten(1)
    while True:
        planes = torch.where(inside, labels, -1).view(batch, 1, height, width).double()
        spread = F.max_pool2d(planes, 3, stride=1, padding=1).flatten(1).long()
        spread = torch.where(inside, spread, own)
        spread = spread.gather(1, spread)
        if torch.equal(spread, labels):
            return labels.view(above.shape)
        labels = spread


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


def _overlap(first: Tensor, second: Tensor) -> Tensor:
    """IoU of boxes (..., 4) with both ends included."""
    top_left = torch.maximum(first[..., :2], second[..., :2])
    bottom_right = torch.minimum(first[..., 2:], second[..., 2:])
    common = (bottom_right - top_left + 1).clamp(min=0).prod(-1).double()
    areas = [(box[..., 2:] - box[..., :2] + 1).prod(-1) for box in (first, second)]
    return common / (areas[0] + areas[1] - common)
