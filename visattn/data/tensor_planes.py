"""What `visattn.data.background_swap` computes with, for batches as tensors (N, C, H, W)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def sides(planes: Tensor) -> tuple[int, int]:
    """Height and width."""
    return planes.shape[-2], planes.shape[-1]


def spread(masks: Tensor) -> Tensor:
    """Masks for all channels: (N, 1, H, W) is broadcast."""
    return masks


def largest(planes: Tensor) -> Tensor:
    """Each picture's largest value (N, 1, 1, 1)."""
    return planes.flatten(1).amax(1).view(-1, 1, 1, 1)


def chosen(condition: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """For each picture (N, 1, 1, 1) one or the other."""
    return torch.where(condition, one, other)


def within_range(planes: Tensor, pictures: Tensor) -> Tensor:
    """Values no lower and no higher than a picture's own in that channel; changed in place."""
    lowest, highest = pictures.amin((2, 3), keepdim=True), pictures.amax((2, 3), keepdim=True)
    return planes.clamp_(lowest, highest)


def plus_product(start: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """Start + one * other."""
    return torch.addcmul(start, one, other)


def sums_of_four(planes: Tensor) -> Tensor:
    """Sums over blocks of 2 x 2: half the sides, rounded up."""
    height, width = planes.shape[-2:]
    planes = F.pad(planes, (0, width % 2, 0, height % 2)) if height % 2 or width % 2 else planes
    rows = planes[..., ::2, :] + planes[..., 1::2, :]
    return rows[..., ::2] + rows[..., 1::2]


def doubled(planes: Tensor, size: tuple[int, int]) -> Tensor:
    """Twice the sides, bilinearly (sample centres, as ``align_corners=False``), cut to ``size``."""
    count, channels, height, width = planes.shape
    with torch.autocast(planes.device.type, enabled=False):
        wide = planes @ _doubling_matrix(width, like=planes)  # several times faster than strides
    rows = wide.new_empty(count, channels, height, 2, 2 * width)
    above, below = rows[:, :, :, 0], rows[:, :, :, 1]
    above[:, :, 0], below[:, :, -1] = wide[:, :, 0], wide[:, :, -1]
    torch.lerp(wide[:, :, 1:], wide[:, :, :-1], 0.25, out=above[:, :, 1:])
    torch.lerp(wide[:, :, :-1], wide[:, :, 1:], 0.25, out=below[:, :, :-1])
    return rows.flatten(2, 3)[:, :, : size[0], : size[1]]


def _doubling_matrix(side: int, *, like: Tensor) -> Tensor:
    """(side, 2 side): entry 2 j is 3/4 of j and 1/4 of j - 1, entry 2 j + 1 with j + 1."""
    matrix = torch.zeros(side, side, 2, device=like.device, dtype=like.dtype)
    matrix.diagonal().fill_(0.75)
    matrix[:, :, 0].diagonal(1).fill_(0.25)
    matrix[:, :, 1].diagonal(-1).fill_(0.25)
    matrix[0, 0, 0] = matrix[-1, -1, 1] = 1.0
    return matrix.flatten(1)


def widened(masks: Tensor, radius: int) -> Tensor:
    """The largest value within ``radius`` pixels along both axes."""
    for _ in range(radius):
        for axis in (2, 3):
            side = masks.shape[axis]
            wider = masks.clone()
            head, tail = wider.narrow(axis, 0, side - 1), wider.narrow(axis, 1, side - 1)
            torch.maximum(head, masks.narrow(axis, 1, side - 1), out=head)
            torch.maximum(tail, masks.narrow(axis, 0, side - 1), out=tail)
            masks = wider
    return masks
