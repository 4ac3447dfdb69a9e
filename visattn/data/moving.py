"""Backgrounds on their way to an object: moved, mirrored at the border; and one chosen of several."""

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


@torch.no_grad()
def hidden_share(backgrounds: Tensor, *, images: Tensor, masks: Tensor) -> Tensor:
    r"""How much of each object has the colour of what would be behind it: its camouflage.

    .. math:: h = \frac{\sum_p \alpha_p \exp(-d_p^2 / 2)}{\sum_p \alpha_p}

    over the pixels p, with :math:`d_p` the root mean square over the channels of the two colours'
    difference, in units of 0.3 standard deviations of all the images' values.

    Args:
        backgrounds: (N, C, H, W).
        images: The pictures of the objects (N, C, H, W), normalised alike.
        masks: Alpha of the objects (N, 1, H, W) in [0, 1].

    Returns:
        h (N,) in [0, 1]: 1 for an object that cannot be seen; 0 where the mask is empty.

    Example:
        >>> images = torch.tensor([[[[0.0, 1.0]]]])
        >>> hidden_share(torch.zeros_like(images), images=images, masks=torch.ones(1, 1, 1, 2))
        tensor([0.5000])
    """
    unit = 0.3 * images.std(correction=0).clamp_min(1e-6)
    alike = (((images - backgrounds) / unit).square().mean(1, keepdim=True) / -2).exp()
    return (masks * alike).flatten(1).sum(1) / masks.flatten(1).sum(1).clamp_min(1e-6)


def most_hiding(backgrounds: Tensor, *, images: Tensor, masks: Tensor) -> Tensor:
    """For each object, which of the backgrounds drawn for it hides most of it (`hidden_share`).

    A choice of hard examples, as in Shrivastava et al., Training Region-based Object Detectors with
    Online Hard Example Mining, arXiv:1604.03540, by their colours in place of their loss.

    Args:
        backgrounds: K for each of N objects, (K N, C, H, W), all first ones first.
        images: The pictures of the objects (N, C, H, W), normalised alike.
        masks: Alpha of the objects (N, 1, H, W) in [0, 1].

    Returns:
        Rows (N,) of ``backgrounds``.

    Example:
        >>> images, masks = torch.zeros(2, 3, 8, 8), torch.ones(2, 1, 8, 8)
        >>> images[1] = 1.0
        >>> backgrounds = torch.cat([torch.ones(2, 3, 8, 8), torch.zeros(2, 3, 8, 8)])
        >>> most_hiding(backgrounds, images=images, masks=masks)
        tensor([2, 1])
    """
    count = len(images)
    own = torch.arange(count, device=backgrounds.device)
    if len(backgrounds) == count:
        return own
    shares = [hidden_share(few, images=images, masks=masks) for few in backgrounds.split(count)]
    return torch.stack(shares).argmax(0) * count + own


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
