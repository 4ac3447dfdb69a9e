"""Does the edge of a mask show a checkerboard? The energy of period two along it."""

import torch
from torch import Tensor
from torch.nn import functional as F

from visattn.metrics.inputs import read_maps

LEAST_EDGE = 16
"""Pixels of edge from which on an image has a value."""


def edge_checkerboard(mask: Tensor) -> Tensor:
    r"""Share of a mask's energy at its edge that lies at the Nyquist frequency.

    Layers that enlarge by laying out channels as pixels (pixel shuffle, transposed convolution
    with stride 2) tend to leave a pattern that repeats every second pixel. With b the mask blurred
    by (1, 2, 1) / 4 along both axes, which takes away that frequency and it alone entirely,
    h = m - b keeps all of it. The pixels of the edge, where 0.1 < b < 0.9, fall into four phases
    by their row and column, even or odd. The value is the share of the variance of h between the
    phases, less what chance gives: with n pixels of edge, :math:`n_p` of them in phase p,

    .. math:: 1 - \frac{n - 1}{n - 4} (1 - \eta^2), \quad
              \eta^2 = \frac{\sum_p n_p (\bar h_p - \bar h)^2}{\sum (h - \bar h)^2}.

    The formula is epsilon squared of an analysis of variance (Kelley, An unbiased correlation
    ratio measure, 1935).

    Args:
        mask: Masks in [0, 1], (N, H, W) or (N, 1, H, W), soft or of 0 and 1.

    Returns:
        Values (N,) of at most 1: about 0 where there is no checkerboard (a little below is
        possible), 1 where all fine detail of the edge is one. NaN where the edge has fewer than
        16 pixels. Edges along the rows or columns, such as a box's, repeat too and may count.

    Example:
        >>> rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
        >>> disc = 5 * (20 - ((rows - 30.3) ** 2 + (columns - 31.6) ** 2).sqrt())
        >>> pattern = 4 * (1 - 2 * ((rows + columns) % 2))
        >>> soft = torch.stack([disc / 10, (disc + pattern) / 10]).sigmoid()
        >>> [round(value, 1) for value in edge_checkerboard(soft).tolist()]
        [-0.0, 0.9]
    """
    mask = read_maps(mask, what="mask")
    if min(mask.shape[1:]) < 3:
        return mask.new_full((len(mask),), torch.nan)
    weights = torch.tensor([1.0, 2.0, 1.0], dtype=mask.dtype, device=mask.device) / 4
    blurred = F.conv2d(mask[:, None], torch.outer(weights, weights)[None, None])[:, 0]
    fine = mask[:, 1:-1, 1:-1] - blurred
    edge = (blurred > 0.1) & (blurred < 0.9)
    count = edge.sum((1, 2)).to(mask.dtype)
    sums = _sum(fine, edge)
    total = _sum(fine.square(), edge) - sums.square() / count
    between = -sums.square() / count
    for row in (0, 1):
        for column in (0, 1):
            phase = (slice(None), slice(row, None, 2), slice(column, None, 2))
            here = edge[phase].sum((1, 2)).clamp_min(1)
            between = between + _sum(fine[phase], edge[phase]).square() / here
    value = 1 - (count - 1) / (count - 4) * (1 - between / total)
    return torch.where((count >= LEAST_EDGE) & (total > 0), value, torch.nan)


def _sum(values: Tensor, where: Tensor) -> Tensor:
    return (values * where).sum((1, 2))
