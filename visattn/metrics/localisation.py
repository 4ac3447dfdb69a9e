"""Does the map lie on the foreground? Overlap, energy and pointing.

Every function takes a saliency map S and a true mask M (see ``mask_iou``) and returns one
value an image, NaN where it is undefined; ``summarise`` averages them and counts what was left
out. Pixels where M is NaN are ignored. Beside each belongs ``chance_level``.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from visattn.metrics.inputs import Negative, Pixels, foreground, prepare, without_negatives


def chance_level(mask: Tensor, *, tolerance: float = 0) -> Tensor:
    """The mask's share of the image: what a map that knows nothing gets.

    It is the expected pointing hit, energy and rank accuracy of a random map. With a tolerance it
    is the share of the pixels that the pointing game would count as a hit.

    Args:
        mask: True masks (N, H, W) or (N, 1, H, W), boolean or in [0, 1], NaN to ignore.
        tolerance: As for ``pointing_game``.

    Returns:
        Shares (N,) in [0, 1]; NaN for an image without a pixel that counts.

    Example:
        >>> chance_level(torch.tensor([[[1.0, 0.0, 0.0, float("nan")]]]))
        tensor([0.3333], dtype=torch.float64)
    """
    true, valid = foreground(mask)
    near = (_within(true, tolerance=tolerance) & valid).flatten(1)
    return near.sum(1).double() / valid.flatten(1).sum(1)


def mask_iou(saliency: Tensor, mask: Tensor, *, threshold: float = 0.5) -> Tensor:
    r"""Intersection over union of the map at a threshold with the true mask.

    .. math:: |\{S \ge t\} \cap M| \; / \; |\{S \ge t\} \cup M|

    Args:
        saliency: Maps (N, H, W) or (N, 1, H, W), on the scale of the threshold.
        mask: True masks of the same size, boolean or in [0, 1], NaN to ignore; an image without a
            mask has NaN everywhere.
        threshold: From this value on a pixel belongs to the predicted mask.

    Returns:
        Values (N,) in [0, 1]; NaN where both masks are empty.

    Example:
        >>> saliency = torch.tensor([[[0.9, 0.8], [0.2, 0.1]]])
        >>> mask_iou(saliency, torch.tensor([[[1, 0], [0, 0]]]))
        tensor([0.5000], dtype=torch.float64)
    """
    pixels = prepare(saliency, mask)
    predicted = (pixels.saliency >= threshold) & pixels.valid
    intersection = (predicted & pixels.mask).sum(1).double()
    return intersection / (predicted | pixels.mask).sum(1)


def top_area_iou(saliency: Tensor, mask: Tensor) -> Tensor:
    r"""IoU of the :math:`|M|` highest pixels of the map with the true mask: no threshold.

    With :math:`I` of these pixels on M it is :math:`I / (2|M| - I)`. Pixels that tie for the last
    places share them evenly (each counts by the same fraction), so the value depends on no order
    of the pixels, and a flat map gets what chance gives, p / (2 - p) for a mask of share p.

    Maps and masks are as for ``mask_iou``; only the maps' order matters.

    Returns:
        Values (N,) in [0, 1]; NaN where M is empty, for then the top is empty too.

    Example:
        >>> saliency = torch.tensor([[[4.0, 3.0], [2.0, 1.0]]])
        >>> top_area_iou(saliency, torch.tensor([[[1, 0], [1, 0]]]))
        tensor([0.3333], dtype=torch.float64)
    """
    pixels = prepare(saliency, mask)
    intersection = top_area_hits(pixels)
    return intersection / (2 * pixels.mask.sum(1) - intersection)


def energy_pointing(saliency: Tensor, mask: Tensor, *, negative: Negative = "refuse") -> Tensor:
    r"""Share of the map's sum that lies on the true mask (energy-based pointing, mass inside).

    .. math:: \sum_{M} S \; / \; \sum S

    Wang et al., "Score-CAM", 2020, arXiv:1910.01279.

    Args:
        saliency: Maps (N, H, W) or (N, 1, H, W).
        mask: True masks of the same size, boolean or in [0, 1], NaN to ignore.
        negative: What to do with negative values, with which the share could leave [0, 1]:
            ``"refuse"`` or ``"clip"`` to 0.

    Returns:
        Values (N,) in [0, 1]; NaN where the map's sum is 0; 0 for an empty M otherwise.

    Raises:
        ValueError: If a value is negative and ``negative`` is ``"refuse"``.

    Example:
        >>> saliency = torch.tensor([[[3.0, 1.0], [0.0, 0.0]]])
        >>> energy_pointing(saliency, torch.tensor([[[1, 0], [0, 0]]]))
        tensor([0.7500], dtype=torch.float64)
    """
    pixels = prepare(saliency, mask)
    energy = without_negatives(pixels.saliency, negative=negative)
    # Relative to the maximum, so that neither tiny nor huge values leave the number range.
    energy = energy / energy.amax(1, keepdim=True)
    return (energy * pixels.mask).sum(1) / energy.sum(1)


def pointing_game(saliency: Tensor, mask: Tensor, *, tolerance: float = 0) -> Tensor:
    """Whether the maximum of the map lies on the true mask, or near it.

    A maximum hits if it lies on M or at a Euclidean distance *strictly* under ``tolerance`` pixels
    from a pixel of M. Where several pixels share the maximum, the value is the share of them that
    hit: the expected hit of a random choice among them. A flat map points nowhere and is no hit
    (0), whatever M is.

    Zhang et al., 2016, arXiv:1608.00507. TorchRay's protocol is ``tolerance=15`` on the image's
    own pixels; its code differs in that it takes the first of several maxima, lets a flat map hit,
    and never hits at a tolerance of 0. Report it with ``mean_over_classes``.

    Args:
        saliency: Maps (N, H, W) or (N, 1, H, W).
        mask: True masks of the same size, boolean or in [0, 1], NaN to ignore: an ignored pixel
            can neither be the maximum nor be near it.
        tolerance: In pixels, at least 0.

    Returns:
        Hits (N,) in [0, 1]; NaN where M is empty.

    Raises:
        ValueError: If ``tolerance`` is negative.

    Example:
        >>> saliency = torch.tensor([[[0.0, 0.0, 0.0, 0.7]]])
        >>> mask = torch.tensor([[[1, 1, 0, 0]]])
        >>> [pointing_game(saliency, mask, tolerance=t).item() for t in (0, 2, 2.5)]
        [0.0, 0.0, 1.0]
    """
    pixels = prepare(saliency, mask)
    true, _ = foreground(mask)
    near = _within(true, tolerance=tolerance).flatten(1).to(pixels.saliency.device)
    highest = pixels.highest()
    maxima = (pixels.saliency == highest[:, None]) & pixels.valid
    hits = (maxima & near).sum(1).double() / maxima.sum(1)
    hits = torch.where(highest > pixels.lowest(), hits, torch.zeros_like(hits))
    return torch.where(pixels.mask.any(1), hits, torch.full_like(hits, torch.nan))


def top_area_hits(pixels: Pixels) -> Tensor:
    """Number (N,) of the ``|M|`` highest pixels that lie on M, ties shared; NaN if M is empty."""
    area = pixels.mask.sum(1)
    values = pixels.saliency.masked_fill(~pixels.valid, -torch.inf)
    last = values.sort(1, descending=True).values.gather(1, (area - 1).clamp(min=0)[:, None])
    above = values > last
    tied = (values == last) & pixels.valid
    places = area - above.sum(1)
    on_mask = (tied & pixels.mask).sum(1).double() / tied.sum(1)
    hits = (above & pixels.mask).sum(1) + places * on_mask
    return torch.where(area > 0, hits, torch.full_like(hits, torch.nan))


def _within(true: Tensor, *, tolerance: float) -> Tensor:
    """Pixels of M and those at a distance strictly under the tolerance from one of them."""
    if not 0 <= tolerance < float("inf"):
        raise ValueError(f"tolerance must be a number of pixels, at least 0, not {tolerance}")
    reach = min(int(tolerance), max(true.shape[1:]))
    near = true.clone()
    padded = F.pad(true.float(), (reach, reach))[:, None]
    for rows in range(min(reach, true.shape[1] - 1) + 1):
        # Along the rows at this vertical distance a pixel reaches so far to both sides.
        left = [x for x in range(reach + 1) if rows**2 + x**2 < tolerance**2]
        if not left:
            break
        width = left[-1]
        inner = padded[..., reach - width : padded.shape[-1] - (reach - width)]
        wide = F.max_pool2d(inner, (1, 2 * width + 1), stride=1)[:, 0] > 0
        near[:, rows:] |= wide[:, : wide.shape[1] - rows]
        near[:, : near.shape[1] - rows] |= wide[:, rows:]
    return near
