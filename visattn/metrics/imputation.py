"""Filling removed pixels from their neighbours, so that what was removed leaves no trace.

Rong et al., "A consistent and efficient evaluation strategy for attribution methods", 2022,
arXiv:2202.00449.
"""

from typing import final

import torch
from torch import Tensor
from torch.nn import functional as F

_EDGE, _CORNER = 1 / 6, 1 / 12


def linear_imputation(images: Tensor, known: Tensor, *, tolerance: float = 1e-4) -> Tensor:
    """Give each removed pixel the weighted mean of its eight neighbours.

    Neighbours at an edge weigh 1/6, those at a corner 1/12; outside of the image there is none, and
    the rest weigh accordingly more. Removed pixels are neighbours of each other, so this is a
    system of linear equations. It is solved for all images at once, by conjugate gradients with a
    multigrid cycle as preconditioner.

    Args:
        images: Images (N, C, H, W), floating point.
        known: Pixels that stay (N, H, W), boolean, at least one an image.
        tolerance: The largest violation of an equation that is left, relative to the range of
            the image.

    Returns:
        Images (N, C, H, W); known pixels are unchanged.

    Raises:
        ValueError: If the shapes don't fit or an image has no known pixel.

    Example:
        >>> images = torch.tensor([[[[0.0, 9.0, 6.0]]]])
        >>> linear_imputation(images, torch.tensor([[[True, False, True]]]))
        tensor([[[[0., 3., 6.]]]])
    """
    if images.ndim != 4 or known.shape != (len(images), *images.shape[2:]):
        raise ValueError(
            "images must be (N, C, H, W) and known (N, H, W) of the same size, not "
            f"{tuple(images.shape)} and {tuple(known.shape)}"
        )
    known = known.to(images.device).bool()[:, None]
    if not known.flatten(1).any(1).all():
        raise ValueError("an image without a known pixel cannot be filled")
    levels = _coarsened(_Equations(known, like=images))
    equations = levels[0]
    scale = images.amax((2, 3), keepdim=True) - images.amin((2, 3), keepdim=True)
    filled = torch.where(known, images, _guess(images, known))
    residual = -equations(filled)
    direction, size = torch.zeros_like(images), torch.zeros_like(scale)
    for _ in range(known[0].numel()):
        if not (residual.abs() > tolerance * scale).any():
            break
        step = _cycle(residual, levels)
        previous, size = size, _dot(residual, step)
        direction = step + torch.where(previous > 0, size / previous, 0.0) * direction
        image = equations(direction)
        along = _dot(direction, image)
        share = torch.where(along > 0, size / along, 0.0)
        filled = filled + share * direction
        residual = residual - share * image
    return filled


@final
class _Equations:
    """The left side of the equations, degree * pixel - weighted sum of its neighbours."""

    def __init__(self, known: Tensor, *, like: Tensor) -> None:
        rows = [[_CORNER, _EDGE, _CORNER], [_EDGE, 0.0, _EDGE], [_CORNER, _EDGE, _CORNER]]
        self.kernel = like.new_tensor(rows)[None, None]
        degree = F.conv2d(like.new_ones(1, 1, *known.shape[2:]), self.kernel, padding=1)
        self.degree = degree.where(degree > 0, 1.0)
        self.removed = (~known).to(like.dtype)

    def __call__(self, planes: Tensor) -> Tensor:
        around = F.conv2d(planes.flatten(0, 1)[:, None], self.kernel, padding=1)
        return self.removed * (self.degree * planes - around.view(planes.shape))


def _coarsened(finest: _Equations) -> list[_Equations]:
    """The same equations on grids of half the size each, as long as whole cells are removed."""
    levels = [finest]
    while True:
        kept = F.max_pool2d(1 - levels[-1].removed, 2, ceil_mode=True) > 0
        if bool(kept.all()) or kept.shape == levels[-1].removed.shape:
            return levels
        levels.append(_Equations(kept, like=finest.removed))


def _cycle(residual: Tensor, levels: list[_Equations]) -> Tensor:
    """One V cycle: smooth, correct on the coarser grid, smooth."""
    equations, *coarser = levels
    found = residual / equations.degree
    if coarser:
        left = residual - equations(found)
        sums = F.avg_pool2d(left, 2, ceil_mode=True, divisor_override=1)
        correction = _cycle(coarser[0].removed * sums, coarser)
        wide = correction.repeat_interleave(2, 2).repeat_interleave(2, 3)
        found = found + wide[:, :, : residual.shape[2], : residual.shape[3]]
    return found + (residual - equations(found)) / equations.degree


def _dot(first: Tensor, second: Tensor) -> Tensor:
    return (first * second).sum((2, 3), keepdim=True)


def _guess(images: Tensor, known: Tensor) -> Tensor:
    """A smooth filling from coarser and coarser means of the known pixels, to begin with."""
    if bool(known.all()):
        return images
    weights = known.to(images.dtype)
    shares = F.avg_pool2d(weights, 2, ceil_mode=True)
    means = F.avg_pool2d(images * weights, 2, ceil_mode=True) / shares.where(shares > 0, 1.0)
    coarse = _guess(means, shares > 0)
    fine = F.interpolate(coarse, size=images.shape[2:], mode="bilinear")
    return torch.where(known, images, fine)
