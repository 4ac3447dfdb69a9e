"""Group distributionally robust optimisation: the worst group counts most."""

import torch
from torch import Tensor


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

    Example:
        >>> raised_weights(torch.tensor([0.5, 0.5]), torch.tensor([0.0, 1.0]), step=1.0)
        tensor([0.2689, 0.7311])

    Source: Sagawa et al., Distributionally Robust Neural Networks for Group Shifts,
    arXiv:1911.08731, algorithm 1.
    """
    return torch.softmax(weights.log() + step * losses, 0)
