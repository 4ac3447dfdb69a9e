"""Maps brought to a grid of another size, by matrices that exports take with open sizes."""

import torch
from torch import Tensor

from visattn.basics.leaves import leaf_function


@leaf_function
def bins(length: int, parts: int, like: Tensor) -> Tensor:
    """(parts, length): the means that adaptive average pooling takes along an axis.

    Part i is the mean of the places from ``floor(i length / parts)`` to
    ``ceil((i + 1) length / parts)``; with more parts than places a place is in several.

    Example:
        >>> x = torch.randn(2, 3, 9, 4)
        >>> pooled = bins(9, 5, x) @ x @ bins(4, 7, x).T
        >>> expected = torch.nn.functional.adaptive_avg_pool2d(x, (5, 7))
        >>> torch.allclose(pooled, expected, atol=1e-6)
        True
    """
    place = torch.arange(length, device=like.device)
    part = torch.arange(parts, device=like.device).unsqueeze(1)
    first, end = part * length // parts, ((part + 1) * length + parts - 1) // parts
    inside = (place >= first) & (place < end)
    return (inside / (end - first)).to(like.dtype)


def spread(gate: Tensor, channels: int) -> Tensor:
    """A gate for each group of channels, (N, G, H, W), as one for each, (N, channels, H, W)."""
    share = channels // gate.shape[1]
    return gate.unsqueeze(2).expand(-1, -1, share, -1, -1).flatten(1, 2)
