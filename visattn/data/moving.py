"""Pictures moved, with what lies beyond the border mirrored."""

import torch
from torch import Tensor


def moved(
    pictures: Tensor, *, generator: torch.Generator | None, flip: bool, shift: float
) -> Tensor:
    """Pictures mirrored left to right half the time and shifted, mirrored at the border."""
    count, _, height, width = pictures.shape
    if flip:
        mirrored = (torch.rand(count, generator=generator) < 0.5).to(pictures.device)
        pictures = pictures.clone()
        pictures[mirrored] = pictures[mirrored].flip(-1)
    if shift > 0:
        far = (int(shift * height), int(shift * width))
        steps = [torch.randint(-most, most + 1, (count,), generator=generator) for most in far]
        pictures = _shifted(pictures, steps[0], steps[1])
    return pictures


def moved_aside(
    pictures: Tensor,
    *,
    shift: tuple[float, float] = (0.35, 0.65),
    generator: torch.Generator | None = None,
) -> Tensor:
    """Pictures moved in any direction, mirrored at the border: what was in the middle is at a side.

    Args:
        pictures: (N, C, H, W).
        shift: Least and largest way, as a share of the sides, in [0, 1).
        generator: For repeatable draws.

    Example:
        >>> dot = torch.zeros(1, 1, 9, 9)
        >>> dot[..., 4, 4] = 1.0
        >>> moved_aside(dot)[..., 4, 4].item()
        0.0
    """
    count, _, height, width = pictures.shape
    angle = 2 * torch.pi * torch.rand(count, generator=generator)
    way = shift[0] + (shift[1] - shift[0]) * torch.rand(count, generator=generator)
    down, right = (way * angle.sin() * height).round(), (way * angle.cos() * width).round()
    return _shifted(pictures, down.long(), right.long())


def _shifted(pictures: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Each picture by its own pixels (N,), fewer than its sides, mirrored at the border."""
    for axis, steps in ((2, down), (3, right)):
        side = pictures.shape[axis]
        places = (torch.arange(side) + steps[:, None]).abs()
        places = torch.where(places >= side, 2 * (side - 1) - places, places)
        shape = [len(pictures), 1, 1, 1]
        shape[axis] = side
        index = places.clamp_(0, side - 1).view(shape).to(pictures.device)
        pictures = pictures.gather(axis, index.expand_as(pictures))
    return pictures
