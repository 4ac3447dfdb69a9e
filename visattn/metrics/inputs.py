"""Saliency maps and true masks as every localisation metric takes them, checked once."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

Negative = Literal["refuse", "clip"]


class Pixels(NamedTuple):
    """A batch of maps and masks with the pixels of each image in one row.

    Attributes:
        saliency: Values (N, P), finite; 0 where a pixel is ignored.
        mask: Foreground (N, P), boolean; False where a pixel is ignored.
        valid: Pixels that count (N, P), boolean.
    """

    saliency: Tensor
    mask: Tensor
    valid: Tensor

    def lowest(self) -> Tensor:
        """The smallest value of each image (N,), of the pixels that count."""
        return self.saliency.masked_fill(~self.valid, torch.inf).amin(1)

    def highest(self) -> Tensor:
        """The largest value of each image (N,), of the pixels that count."""
        return self.saliency.masked_fill(~self.valid, -torch.inf).amax(1)


def prepare(saliency: Tensor, mask: Tensor) -> Pixels:
    """Check a batch of maps (`read_maps`) against its masks (`foreground`), pixels in rows.

    Maps must be of their masks' size and finite at every pixel that counts.
    """
    saliency = read_maps(saliency, what="saliency")
    true, valid = foreground(mask)
    if saliency.shape[0] != true.shape[0]:
        raise ValueError(
            f"saliency has {saliency.shape[0]} maps, mask has {true.shape[0]} masks: "
            "one mask for each map was expected"
        )
    check_size(saliency, like=true, of="mask is")
    saliency, true, valid = (t.flatten(1) for t in (saliency, true.to(saliency.device), valid))
    valid = valid.to(saliency.device)
    saliency = saliency.masked_fill(~valid, 0)
    check_finite(saliency, what="saliency")
    return Pixels(saliency, true, valid)


def foreground(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Foreground (N, H, W) of true masks, and the pixels that count (N, H, W), both boolean.

    Masks are (N, H, W) or (N, 1, H, W): boolean, or values in [0, 1] with the foreground from 0.5
    on. NaN is a pixel to ignore; a mask of NaN alone is an image without a mask.

    Example:
        >>> true, valid = foreground(torch.tensor([[[1.0, 0.0, float("nan")]]]))
        >>> true.tolist(), valid.tolist()
        ([[[True, False, False]]], [[[True, True, False]]])
    """
    mask = _planes(mask, what="mask").detach()
    if mask.dtype == torch.bool:
        return mask, torch.ones_like(mask)
    mask = mask.float()
    valid = ~mask.isnan()
    known = mask.masked_fill(~valid, 0)
    low, high = (float(known.min()), float(known.max())) if known.numel() else (0.0, 0.0)
    if low < 0 or high > 1:
        raise ValueError(
            f"mask holds values from {low:g} to {high:g}; boolean masks or values in [0, 1] (NaN: "
            "ignored) were expected. Divide a mask of 0 and 255 by 255"
        )
    return (known >= 0.5) & valid, valid


def without_negatives(saliency: Tensor, *, negative: Negative) -> Tensor:
    """Refuse negative values (``"refuse"``) or set them to 0 (``"clip"``), whatever the shape."""
    if negative == "clip":
        return saliency.clamp(min=0)
    if negative != "refuse":
        raise ValueError(f"negative must be 'refuse' or 'clip', not {negative!r}")
    if saliency.numel() and float(saliency.min()) < 0:
        raise ValueError(
            f"saliency holds negative values (smallest {float(saliency.min()):g}), with which a "
            "share of its sum may leave [0, 1]; pass negative='clip' to count them as 0, or take "
            "the absolute values first"
        )
    return saliency


def resize_saliency(
    saliency: Tensor,
    *,
    size: tuple[int, int],
    interpolation: Literal["bilinear", "nearest"] = "bilinear",
) -> Tensor:
    """Bring maps to the size of the image that they belong to.

    Pixel centres are matched at half-pixel positions (``align_corners=False``), and shrinking
    averages (anti-aliasing), so a map lies on the picture as ``visattn.overlay`` draws it.

    Args:
        saliency: Maps (N, H, W) or (N, 1, H, W).
        size: Height and width to reach.
        interpolation: ``"bilinear"`` or ``"nearest"`` (each cell stays one flat patch).

    Returns:
        Maps (N, *size), floating point.

    Raises:
        TypeError: If ``saliency`` is no tensor.
        ValueError: If its shape is another, or the interpolation is unknown.

    Example:
        >>> resize_saliency(torch.tensor([[[0.0, 1.0]]]), size=(1, 4))
        tensor([[[0.0000, 0.2500, 0.7500, 1.0000]]])
    """
    maps = read_maps(saliency, what="saliency")[:, None].to(
        saliency.dtype if saliency.dtype.is_floating_point else torch.float32
    )
    if interpolation == "bilinear":
        return F.interpolate(maps, size=size, mode="bilinear", antialias=True)[:, 0]
    if interpolation == "nearest":
        return F.interpolate(maps, size=size, mode="nearest-exact")[:, 0]
    raise ValueError(f"interpolation must be 'bilinear' or 'nearest', not {interpolation!r}")


def read_maps(value: Tensor, *, what: str) -> Tensor:
    """Maps (N, H, W) or (N, 1, H, W) as (N, H, W), detached, in double precision.

    It is single precision where the device has no double; ``what`` is their name in errors.
    """
    planes = _planes(value, what=what).detach()
    if planes.dtype.is_complex:
        raise TypeError(f"{what} is complex ({planes.dtype}); real values were expected")
    return planes.to(torch.float32 if planes.device.type == "mps" else torch.float64)


def check_size(maps: Tensor, *, like: Tensor, of: str) -> None:
    """Raise a ValueError unless maps (N, H, W) have the last two axes of another tensor."""
    size = tuple(like.shape[-2:])
    if tuple(maps.shape[1:]) != size:
        raise ValueError(
            f"saliency is {maps.shape[1]} x {maps.shape[2]} and {of} {size[0]} x {size[1]} pixels "
            "(height x width): bring the map to that size first, for instance with "
            f"resize_saliency(saliency, size={size})"
        )


def check_finite(maps: Tensor, *, what: str) -> None:
    """Raise a ValueError that names the first of some maps (N, ...) with NaN or infinities."""
    finite = torch.isfinite(maps).flatten(1).all(1)
    if not finite.all():
        raise ValueError(
            f"{what} map {int((~finite).nonzero()[0])} holds NaN or infinite values; finite values "
            "were expected at every pixel that counts"
        )


def _planes(value: Tensor, *, what: str) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{what} must be a torch tensor, not {type(value).__name__}; "
            "torch.as_tensor makes one of an array"
        )
    if value.ndim == 4 and value.shape[1] == 1:
        value = value[:, 0]
    if value.ndim != 3:
        hint = f"; {what}[None] makes a batch of one map" if value.ndim == 2 else ""
        raise ValueError(
            f"{what} must be (N, H, W) or (N, 1, H, W), not {tuple(value.shape)}{hint}"
        )
    if 0 in value.shape[1:]:
        raise ValueError(f"{what} has no pixels: its shape is {tuple(value.shape)}")
    return value
