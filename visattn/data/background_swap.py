r"""Putting a foreground on another background, with soft masks and without the old one's halo.

A picture is taken for a mixture of a foreground F and a background B by its mask,

.. math:: I = \alpha F + (1 - \alpha) B.

Both are estimated: B from the picture around the mask, F from its inside, so that the pixels of
the edge, which show the old background through, do not carry it along to the new one. Everything
here is a pure function of tensors (N, C, H, W), on any device, and the formulas of single pictures
serve float32 arrays (H, W, 3) with masks (H, W) too, for which NumPy and OpenCV are several times
faster than tensors; nothing is differentiable.
"""

from types import ModuleType
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from visattn.data import tensor_planes
from visattn.data.moving import moved

Planes = TypeVar("Planes", Tensor, npt.NDArray[np.float32])
"""Pictures or masks: a batch (N, C, H, W) or one picture (H, W, 3), one mask (H, W)."""

LEAST_FOREGROUND = 1e-3
"""Mean alpha from which on a mask marks anything."""

LEAST_BACKGROUND = 0.05
"""Share of a picture that must be background for it to lend one."""


@torch.no_grad()
def fill(values: Planes, *, weights: Planes) -> Planes:
    r"""Values where they are trusted, and a smooth continuation of them where not.

    Push and pull over a pyramid (Gortler et al., The Lumigraph, 1996): on the way down each
    level's value is the mean of the 2 x 2 below it, weighted by trust, and its trust is the sum of
    theirs, at most 1; on the way up each level's value is w v + (1 - w) u, with u the coarser
    level, resized bilinearly.

    Args:
        values: What to fill (N, C, H, W).
        weights: Trust in each place (N, 1, H, W), in [0, 1]; places of weight 1 keep their value.
            Where a picture has no trusted place at all, its mean is taken.

    Returns:
        The filled values (N, C, H, W).

    Example:
        >>> row = torch.tensor([[[[1.0, 1.0, 9.0, 3.0]]]])
        >>> fill(row, weights=torch.tensor([[[[1.0, 1.0, 0.0, 1.0]]]]))
        tensor([[[[1.0000, 1.0000, 2.5000, 3.0000]]]])
    """
    of = _operations(values)
    nothing = of.largest(weights) == 0
    weights = of.spread(of.chosen(nothing, weights + 1, weights))
    levels = [(values, weights)]
    while max(of.sides(values)) > 1:
        trust = of.sums_of_four(weights)
        values = of.sums_of_four(values * weights)
        values /= trust.clip(1e-12, None)
        weights = trust.clip(None, 1)
        levels.append((values, weights))
    filled = levels.pop()[0]
    while levels:
        values, weights = levels.pop()
        filled = _mixed(of.doubled(filled, of.sides(values)), values, weights)
    return filled


@torch.no_grad()
def remove_foreground(images: Planes, masks: Planes, *, rim: int = 1) -> Planes:
    """The pictures with their foreground filled from its surroundings.

    A pixel counts as background as far as 1 - 2 m is above 0, with m the largest alpha within
    ``rim`` pixels: half covered pixels and the edge itself are filled.

    Args:
        images: Pictures (N, C, H, W).
        masks: Alpha (N, 1, H, W) in [0, 1].
        rim: Pixels beside the mask that are not trusted to be background.

    Returns:
        Backgrounds (N, C, H, W). A picture without any background becomes its mean.

    Example:
        >>> images, masks = torch.full((1, 3, 8, 8), 0.5), torch.zeros(1, 1, 8, 8)
        >>> images[..., 3:5, 3:5], masks[..., 3:5, 3:5] = 1.0, 1.0
        >>> float(remove_foreground(images, masks).max()) < 0.51
        True
    """
    widened = _operations(images).widened(masks, rim)
    return fill(images, weights=(1 - 2 * widened).clip(0, None))


@torch.no_grad()
def foreground_colours(
    images: Planes, masks: Planes, *, backgrounds: Planes, rim: int = 1
) -> Planes:
    r"""The colour of the foreground alone, at the edge too.

    First the mixture is undone, (I - (1 - alpha) B) / alpha, within the picture's own range of
    colours; then, since this is not to be relied on where alpha is low, the edge is continued
    from the inside: with e the least alpha within ``rim`` pixels and t = 2 e - 1 (at least 0), a
    pixel is trusted by 3 t^2 - 2 t^3.

    Args:
        images: Pictures (N, C, H, W).
        masks: Alpha (N, 1, H, W) in [0, 1].
        backgrounds: What is behind the foreground (N, C, H, W), see `remove_foreground`.
        rim: Pixels inside the mask's edge whose colour is not trusted.

    Returns:
        Colours (N, C, H, W), meaningful where alpha is above 0.

    Example:
        >>> masks = torch.ones(1, 1, 1, 8)
        >>> masks[..., 6], masks[..., 7] = 0.5, 0.0  # the edge shows half of what is behind
        >>> images, behind = 0.8 * masks, torch.zeros(1, 1, 1, 8)
        >>> foreground_colours(images, masks, backgrounds=behind)[0, 0, 0, :7]
        tensor([0.8000, 0.8000, 0.8000, 0.8000, 0.8000, 0.8000, 0.8000])
    """
    of = _operations(images)
    alpha = of.spread(masks)
    unmixed = of.plus_product(images, alpha - 1, backgrounds)
    unmixed /= alpha.clip(1e-3, None)
    narrowed = -of.widened(-masks, rim)
    # A foreground thinner than the rim keeps what trust its own alpha gives.
    inside = of.chosen(of.largest(narrowed) < 0.75, masks, narrowed)
    inside = (2 * inside - 1).clip(0, None)
    weights = inside * inside * (3 - 2 * inside)
    return fill(of.within_range(unmixed, images), weights=weights)


@torch.no_grad()
def composite(images: Planes, masks: Planes, backgrounds: Planes, *, rim: int = 1) -> Planes:
    """The foregrounds of pictures on other backgrounds: alpha F + (1 - alpha) B.

    Args:
        images: Pictures (N, C, H, W).
        masks: Alpha (N, 1, H, W) in [0, 1].
        backgrounds: The new backgrounds (N, C, H, W).
        rim: Pixels on either side of the mask's edge whose colour is not trusted.

    Returns:
        Pictures (N, C, H, W).

    Example:
        >>> images, masks = torch.ones(1, 3, 8, 8), torch.zeros(1, 1, 8, 8)
        >>> masks[..., :4] = 1.0
        >>> composite(images, masks, torch.zeros(1, 3, 8, 8))[0, 0, 0]
        tensor([1., 1., 1., 1., 0., 0., 0., 0.])
    """
    old = remove_foreground(images, masks, rim=rim)
    colours = foreground_colours(images, masks, backgrounds=old, rim=rim)
    return _mixed(backgrounds, colours, _operations(images).spread(masks))


def _operations(planes: Any) -> ModuleType:
    """The module that computes with tensors, or that with arrays."""
    if isinstance(planes, Tensor):
        return tensor_planes
    from visattn.data import array_planes  # needs OpenCV

    return array_planes


def _mixed(start: Planes, end: Planes, weights: Planes) -> Planes:
    """Start + weights (end - start); ``torch.lerp`` takes twice the time where weights spread."""
    return _operations(start).plus_product(start, end - start, weights)


@torch.no_grad()
def swap_backgrounds(
    images: Tensor,
    masks: Tensor,
    *,
    generator: torch.Generator | None = None,
    backgrounds: Tensor | None = None,
    probability: float = 1.0,
    rim: int = 1,
    flip: bool = True,
    shift: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Put each picture's foreground on the background of another picture of the batch.

    Left as they are: pictures without a mask (NaN everywhere), pictures whose mask is empty (their
    mean alpha is under 0.001), and all where nobody else has a background. A picture whose
    background covers under 5 % of it gives none. Single NaN in a mask are filled from around them.
    The masks stay right: the foregrounds do not move.

    Args:
        images: Pictures (N, C, H, W), normalised or not.
        masks: Alpha (N, 1, H, W) in [0, 1], given or predicted; soft ones are used as they are.
        generator: Source of the random numbers, on the CPU; PyTorch's own by default.
        backgrounds: Pictures (M, C, H, W), normalised alike, to take instead of the batch's own.
        probability: How likely each picture is to get another background.
        rim: Pixels on either side of the mask's edge whose colour is not trusted: the
            foreground's is continued from the inside, the background's from the outside.
        flip: Whether a background is mirrored left to right half the time.
        shift: Largest shift of a background along each axis, as a share of the side; what would
            be empty is mirrored.

    Returns:
        The pictures (N, C, H, W), and the row (N,) that each one's background came from: of the
        batch (its own row where nothing changed), or of ``backgrounds`` (-1 where nothing changed).

    Raises:
        ValueError: Shapes that do not fit, or an option out of its range.

    Example:
        >>> images, masks = torch.rand(4, 3, 16, 16), torch.zeros(4, 1, 16, 16)
        >>> masks[:, :, 4:12, 4:12] = 1
        >>> swapped, source = swap_backgrounds(images, masks, rim=0)
        >>> bool((source != torch.arange(4)).all())
        True
        >>> torch.allclose(swapped[:, :, 4:12, 4:12], images[:, :, 4:12, 4:12], atol=1e-6)
        True
    """
    _check_batch(images, masks, backgrounds, probability=probability, shift=shift, rim=rim)
    count = len(images)
    device = images.device
    labelled = ~masks.isnan().flatten(1).all(1)
    masks = _without_nan(masks).to(images.dtype)
    receives = labelled & (masks.flatten(1).mean(1) >= LEAST_FOREGROUND)
    receives &= (torch.rand(count, generator=generator) < probability).to(device)
    if backgrounds is None:
        gives = labelled & ((1 - masks).flatten(1).mean(1) >= LEAST_BACKGROUND)
        source = _other_rows(gives, generator=generator)
        receives &= source >= 0
        unchanged = torch.arange(count, device=device)
    else:
        source = torch.randint(len(backgrounds), (count,), generator=generator).to(device)
        unchanged = torch.full((count,), -1, device=device)
    rows = receives.nonzero().flatten()
    if backgrounds is None:
        own = remove_foreground(images, masks, rim=rim)
        chosen, own = own[source[rows]], own[rows]
    else:
        chosen = backgrounds[source[rows]]
        own = remove_foreground(images[rows], masks[rows], rim=rim)
    chosen = moved(chosen, generator=generator, flip=flip, shift=shift)
    colours = foreground_colours(images[rows], masks[rows], backgrounds=own, rim=rim)
    result = images.clone()
    result[rows] = _mixed(chosen, colours, masks[rows])
    return result, torch.where(receives, source, unchanged)


def _without_nan(masks: Tensor) -> Tensor:
    """Masks with NaN filled from the known places around; masks of NaN alone become 0."""
    unknown = masks.isnan()
    if not unknown.any():
        return masks
    known = masks.nan_to_num(0.0)
    return fill(known, weights=(~unknown).to(masks.dtype)).clamp(0, 1)


def _other_rows(gives: Tensor, *, generator: torch.Generator | None) -> Tensor:
    """For each row another row, drawn evenly among those that give; -1 where there is none."""
    givers = gives.nonzero().flatten()
    position = gives.long().cumsum(0) - 1  # of each row among the givers
    others = len(givers) - gives.long()
    drawn = (torch.rand(len(gives), generator=generator).to(gives.device) * others).long()
    drawn = drawn.clamp_max((others - 1).clamp_min(0))
    drawn = drawn + (gives & (drawn >= position)).long()
    if len(givers) == 0:
        return torch.full_like(others, -1)
    return torch.where(others > 0, givers[drawn.clamp_max(len(givers) - 1)], -1)


def _check_batch(
    images: Tensor,
    masks: Tensor,
    backgrounds: Tensor | None,
    *,
    probability: float,
    shift: float,
    rim: int,
) -> None:
    if images.ndim != 4 or masks.shape != (len(images), 1, *images.shape[2:]):
        raise ValueError(
            "expected images (N, C, H, W) and masks (N, 1, H, W) of the same N, H and W, got "
            f"{tuple(images.shape)} and {tuple(masks.shape)}"
        )
    if backgrounds is not None and (
        backgrounds.ndim != 4 or len(backgrounds) == 0 or backgrounds.shape[1:] != images.shape[1:]
    ):
        raise ValueError(
            f"expected backgrounds (M, {', '.join(map(str, images.shape[1:]))}) with M at least "
            f"1, got {tuple(backgrounds.shape)}"
        )
    if not 0.0 <= probability <= 1.0:
        raise ValueError(f"probability must lie in [0, 1], got {probability}")
    if not 0.0 <= shift < 1.0:
        raise ValueError(f"shift is a share of the side in [0, 1), got {shift}")
    if rim < 0:
        raise ValueError(f"rim is a number of pixels, at least 0, got {rim}")
