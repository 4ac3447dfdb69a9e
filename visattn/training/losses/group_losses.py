"""Losses for biased data: the worst group counts most, or what breaks the rule counts little."""

import torch
from torch import Tensor
from torch.nn import functional as F


def group_means(losses: Tensor, groups: Tensor, *, count: int) -> tuple[Tensor, Tensor]:
    """The mean loss of each group, and how many images it has.

    Args:
        losses: (N,).
        groups: (N,), from 0 to ``count`` - 1.
        count: Number of groups.

    Returns:
        Means (count,), 0 for a group without images, with their graph; images (count,).

    Example:
        >>> group_means(torch.tensor([1.0, 3.0, 5.0]), torch.tensor([0, 0, 2]), count=3)
        (tensor([2., 0., 5.]), tensor([2., 0., 1.]))
    """
    images = torch.zeros(count, dtype=losses.dtype, device=losses.device)
    images = images.index_add(0, groups, torch.ones_like(losses))
    sums = torch.zeros_like(images).index_add(0, groups, losses)
    return sums / images.clamp_min(1), images


def raised_weights(weights: Tensor, losses: Tensor, *, step: float) -> Tensor:
    """The groups' weights after one step: q exp(step loss), normalised to a sum of 1.

    Shapes are (groups,).

    Example:
        >>> raised_weights(torch.tensor([0.5, 0.5]), torch.tensor([0.0, 1.0]), step=1.0)
        tensor([0.2689, 0.7311])

    Source: Sagawa et al., Distributionally Robust Neural Networks for Group Shifts,
    arXiv:1911.08731, algorithm 1.
    """
    return torch.softmax(weights.log() + step * losses, 0)


def generalised_cross_entropy(logits: Tensor, labels: Tensor, *, power: float = 0.7) -> Tensor:
    r"""(1 - p^q) / q of the labels' probabilities p, averaged over images and places.

    Cross-entropy as q goes to 0, mean absolute error at q = 1 (Zhang and Sabuncu,
    arXiv:1805.07836). Its gradient is p^q times that of cross-entropy: what the model cannot
    explain by its rule counts little, so the exceptions are not learned by heart (as in Nam et al.,
    Learning from Failure, arXiv:2007.02561).

    Args:
        logits: (N, K, ...).
        labels: (N,).
        power: q, in (0, 1].

    Example:
        >>> logits = torch.zeros(1, 4, 2, 2)
        >>> generalised_cross_entropy(logits, torch.tensor([3]), power=1.0).item()
        0.75
    """
    of_labels = F.log_softmax(logits.float().flatten(2), 1)
    of_labels = of_labels.gather(1, labels.view(-1, 1, 1).expand(-1, 1, of_labels.shape[2]))
    return -torch.expm1(power * of_labels).mean() / power
