"""Does the map rank the foreground first? Metrics that depend on the order of the pixels alone."""

import torch
from torch import Tensor

from visattn.metrics.inputs import prepare
from visattn.metrics.localisation import top_area_hits


def rank_accuracy(saliency: Tensor, mask: Tensor) -> Tensor:
    r"""Share of the :math:`|M|` highest pixels that lie on the true mask.

    Ties for the last places are shared evenly, so a flat map gets the chance level, M's share.
    Arras et al., "CLEVR-XAI", 2022, arXiv:2003.07258 (relevance rank accuracy).

    Maps and masks are as for ``mask_iou``; only the maps' order matters.

    Returns:
        Values (N,) in [0, 1]; NaN where M is empty.

    Example:
        >>> saliency = torch.tensor([[[4.0, 3.0], [2.0, 1.0]]])
        >>> rank_accuracy(saliency, torch.tensor([[[1, 0], [1, 0]]]))
        tensor([0.5000], dtype=torch.float64)
    """
    pixels = prepare(saliency, mask)
    return top_area_hits(pixels) / pixels.mask.sum(1)


def roc_auc(saliency: Tensor, mask: Tensor) -> Tensor:
    """Area under the ROC curve of the map as a detector of the mask's pixels, image by image.

    It is the probability that a pixel of M has a higher value than a pixel outside, a tie counting
    one half. Chance is 0.5, whatever M's share.

    Maps and masks are as for ``mask_iou``; only the maps' order matters.

    Returns:
        Values (N,) in [0, 1]; NaN where M is empty or covers every pixel that counts.

    Example:
        >>> saliency = torch.tensor([[[4.0, 3.0], [2.0, 1.0]]])
        >>> roc_auc(saliency, torch.tensor([[[1, 0], [1, 0]]]))
        tensor([0.7500], dtype=torch.float64)
    """
    pixels = prepare(saliency, mask)
    outside = pixels.valid & ~pixels.mask
    # Only pixels outside M are ranked against; the others stand behind every value.
    others = pixels.saliency.masked_fill(~outside, torch.inf).sort(1).values
    below = torch.searchsorted(others, pixels.saliency, right=False)
    not_above = torch.searchsorted(others, pixels.saliency, right=True)
    wins = ((below + not_above) * pixels.mask).sum(1).double() / 2
    return wins / (pixels.mask.sum(1) * outside.sum(1))


def pixel_average_precision(saliency: Tensor, mask: Tensor) -> float:
    r"""Average precision over the pixels of all images pooled (PxAP).

    .. math:: \sum_t P(t) \, (R(t) - R(t'))

    over the values t of the map in falling order, t' the value before, P the precision and R the
    recall of the pixels with :math:`S \ge t`. Because the images are pooled, one threshold has to
    serve them all: the maps must share a scale. Chance is the mask's share of all pixels.

    Choe et al., "Evaluating weakly supervised object localization methods right", 2020,
    arXiv:2001.07437; their code bins the values into 1000 thresholds, here each value is one.

    Maps and masks are as for ``mask_iou``.

    Returns:
        The average precision in [0, 1]; NaN where no pixel of the set is foreground.

    Example:
        >>> saliency = torch.tensor([[[4.0, 3.0], [2.0, 1.0]]])
        >>> round(pixel_average_precision(saliency, torch.tensor([[[1, 0], [1, 0]]])), 4)
        0.8333
    """
    pixels = prepare(saliency, mask)
    return average_precision(pixels.saliency[pixels.valid], pixels.mask[pixels.valid])


def average_precision(values: Tensor, foreground: Tensor) -> float:
    """Average precision of pooled pixels, values (P,) and whether each is foreground (P,)."""
    positives = foreground.sum()
    if positives == 0:
        return float("nan")
    order = values.argsort(descending=True)
    values, found = values[order], foreground[order].cumsum(0).double()
    # A threshold takes all pixels of one value together: only the last of each counts.
    last = torch.cat([values[1:] != values[:-1], torch.ones_like(foreground[:1])]).nonzero()[:, 0]
    precision, recall = found[last] / (last + 1), found[last] / positives
    return float((precision * recall.diff(prepend=recall.new_zeros(1))).sum())
