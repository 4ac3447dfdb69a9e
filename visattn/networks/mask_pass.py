"""Passes of a model for its spatial mask: with the prediction, or for the mask alone."""

import torch
from torch import Tensor, nn

from visattn.basics.hooks import hooked, uncompiled
from visattn.basics.suggestions import did_you_mean
from visattn.blocks import Tap
from visattn.blocks.masks.spatial_mask import SpatialMask
from visattn.recording import find_taps, record


def find_mask_tap(model: nn.Module, *, site: str | None = None) -> tuple[str, Tap]:
    """The one place of a model where a mask with logits is estimated.

    Args:
        model: A model with a spatial mask in it.
        site: Its site, where there are several masks.

    Returns:
        The site, as a recording names it, and the tap of the logits.

    Raises:
        ValueError: If there is no such mask, no such site, or several and none is named.
    """
    taps = {
        found: tap
        for found, _, tap in find_taps(model)
        if isinstance(tap, Tap) and tap.kind == "spatial_logits"
    }
    if not taps:
        raise ValueError(
            f"{type(model).__name__} has no spatial mask to train: put one in with "
            'visattn.wrap(model, "spatial_mask", at="image", init="paper"), or in a recipe with '
            "attention: {block: spatial_mask, at: image, init: paper}."
        )
    if site is None and len(taps) > 1:
        raise ValueError(f"The model has several spatial masks; name the site of one: {list(taps)}")
    if site is None:
        site = next(iter(taps))
    if site not in taps:
        hint = did_you_mean(site, names=taps, count=1, cutoff=0.6)
        raise ValueError(f"There is no spatial mask at {site!r}.{hint} Sites: {', '.join(taps)}.")
    return site, taps[site]


def find_mask_block(model: nn.Module, *, site: str | None = None) -> SpatialMask | None:
    """The block of the mask that `find_mask_tap` finds; None if it is no `SpatialMask`.

    Raises:
        ValueError: See there.
    """
    _, tap = find_mask_tap(model, site=site)
    blocks = (module for module in model.modules() if isinstance(module, SpatialMask))
    return next((block for block in blocks if block.spatial_logits is tap), None)


def predict_with_mask(
    model: nn.Module, images: Tensor, *, site: str | None = None
) -> tuple[Tensor, Tensor]:
    """A model's prediction and its mask's logits, (N, 1, h, w), both with their graph."""
    site, _ = find_mask_tap(model, site=site)
    with record(model, graph=True) as maps:
        logits = model(images)
    return logits, maps[site].spatial_logits.unsqueeze(1)


def predict_mask(model: nn.Module, images: Tensor, *, site: str | None = None) -> Tensor:
    """A mask's logits (N, 1, h, w) with their graph; what comes after the mask does not run.

    A mask on the image costs its own branch only, whatever the backbone. The model's pass is left
    by an exception as soon as the logits are there, so do not call it on a wrapper that must see
    passes end (``DistributedDataParallel``), but on the module within.
    """
    _, tap = find_mask_tap(model, site=site)

    def leave(module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        raise _Reached(output)

    with uncompiled(), hooked([(tap, leave)]):
        try:
            model(images)
        except _Reached as reached:
            return reached.logits
    raise RuntimeError("The model's pass did not come by its spatial mask.")


def set_leaks(model: nn.Module, *, leak: float) -> None:
    """Set the leak of every annealed mask."""
    for module in model.modules():
        if isinstance(module, SpatialMask) and module.form == "annealed":
            module.set_leak(leak)


def sharpened(logits: Tensor) -> Tensor:
    """Masks sharp enough to cut out with: sigmoid(4 z) of the logits in place of sigmoid(z).

    Example:
        >>> sharpened(torch.tensor([-0.5, 0.0, 0.5]))
        tensor([0.1192, 0.5000, 0.8808])
    """
    return torch.sigmoid(4.0 * logits)


class _Reached(Exception):  # noqa: N818 - no error but the end of a pass
    """Carries the logits out of a pass."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits
