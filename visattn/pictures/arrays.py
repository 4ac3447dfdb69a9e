"""Images and maps as people have them, read into NumPy arrays.

Tensors are read by what they offer (``detach``, ``cpu``, ``numpy``), so PyTorch is never imported
here: pictures need NumPy, Pillow and Matplotlib alone.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

IMAGENET: dict[str, tuple[float, float, float]] = {
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
}
"""The usual normalisation, for ``overlay(image, heat, **IMAGENET)``."""

Statistics = Sequence[float] | None

# Rounding and resampling leave [0, 1] by a little.
_SLACK = 0.01


def as_image(image: Any, *, mean: Statistics = None, std: Statistics = None) -> NDArray[np.float32]:
    """Read one picture as colours in [0, 1].

    With ``mean`` and ``std`` the picture is taken as normalised by them. Without, it is taken as
    it is if its values lie in [0, 1] or are bytes; as normalised by ImageNet's statistics if it
    has negative values, fits them, and leaves [-1, 1], so that the other usual normalisation (0.5)
    cannot be meant; anything else is an error that asks.

    Args:
        image: A picture as `channels_last` takes it; bytes, or floating point.
        mean: Mean of each channel by which the picture was normalised, one number for grey.
        std: Standard deviation of each channel, given together with ``mean``.

    Returns:
        The picture (H, W, 3).

    Example:
        >>> as_image(np.full((2, 4, 3), 255, dtype=np.uint8)).shape
        (2, 4, 3)
    """
    values = channels_last(image)
    if (mean is None) != (std is None):
        raise ValueError(
            "mean and std belong together: give both (for instance **visattn.pictures.IMAGENET, "
            "or mean and std of timm's data configuration) or none"
        )
    if values.dtype == np.uint8:
        if mean is not None:
            raise ValueError(
                "mean and std were given, but the image is of bytes (uint8), which is never "
                "normalised: leave them out"
            )
        values = values.astype(np.float32) / 255
    elif values.dtype.kind != "f":
        raise ValueError(
            f"an image of type {values.dtype} cannot be read: bytes (uint8) in 0 to 255, or "
            "floating point, was expected"
        )
    values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError("the image holds NaN or infinite values")
    if mean is not None and std is not None:
        values = _restored(values, mean, std)
    elif values.min() < -_SLACK or values.max() > 1 + _SLACK:
        values = _guessed(values)
    values = np.clip(values, 0, 1)
    return np.repeat(values, 3, axis=2) if values.shape[2] == 1 else values


def as_map(heat: Any, *, what: str = "heat") -> NDArray[np.float64]:
    """Read one map (H, W) or (1, H, W), of numbers or booleans, as (H, W).

    NaN is undefined; at least one value must be defined, and none infinite. ``what`` is its name in
    errors.

    Example:
        >>> as_map([[0, 1]])
        array([[0., 1.]])
    """
    values = as_numbers(heat, what=what)
    if values.ndim == 3 and values.shape[0] == 1:
        values = values[0]
    if values.ndim != 2 or 0 in values.shape:
        hint = ""
        if values.ndim in (3, 4) and 0 not in values.shape:
            hint = f"; one map of a batch is {what}[0]"
        raise ValueError(f"{what} must be one map (H, W), not {values.shape}{hint}")
    values = values.astype(np.float64)
    if np.isinf(values).any():
        raise ValueError(f"{what} holds infinite values")
    if np.isnan(values).all():
        raise ValueError(f"{what} is NaN everywhere: there is nothing to show")
    return values


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Errors inside begin with what they are about."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"{what}: {error}") from error


def as_numbers(value: Any, *, what: str) -> NDArray[Any]:
    """Read a tensor of any device, an array, a Pillow image or nested lists of real numbers."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if "bfloat16" in str(value.dtype):  # NumPy has no such type
            value = value.float()
        value = value.numpy()
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise TypeError(f"{what} cannot be read as an array: {error}") from error
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"{what} must be a tensor, an array or a picture of real numbers, not "
            f"{type(value).__name__} of {array.dtype}"
        )
    return array


def channels_last(image: Any) -> NDArray[Any]:
    """Read one picture as (H, W, 3) or (H, W, 1) with its own values.

    It is a tensor, array or Pillow image: (3, H, W), (H, W, 3), or grey (H, W), (1, H, W),
    (H, W, 1). Where both orders are possible, a tensor is read as channels first and an array as
    channels last.
    """
    values = as_numbers(image, what="image")
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim != 3 or 0 in values.shape:
        hint = "; one picture of a batch is images[0]" if values.ndim == 4 else ""
        raise ValueError(
            f"image must be one picture, (3, H, W), (H, W, 3) or grey (H, W), not "
            f"{values.shape}{hint}"
        )
    first, last = values.shape[0] in (1, 3), values.shape[2] in (1, 3)
    if not first and not last:
        hint = " (drop the alpha channel first)" if 4 in (values.shape[0], values.shape[2]) else ""
        raise ValueError(
            f"image of shape {values.shape} has no axis of 3 (or 1) channels, neither first nor "
            f"last{hint}"
        )
    if first and last:
        first = hasattr(image, "detach")
    return np.moveaxis(values, 0, 2) if first else values


def _restored(
    values: NDArray[np.float32], mean: Sequence[float], std: Sequence[float]
) -> NDArray[np.float32]:
    centre, width = np.asarray(mean, np.float32), np.asarray(std, np.float32)
    channels = values.shape[2]
    if centre.shape not in {(channels,), (1,)} or width.shape not in {(channels,), (1,)}:
        raise ValueError(
            f"mean and std must have {channels} numbers, one a channel, not {mean} and {std}"
        )
    values = values * width + centre
    # Half a byte either way comes from rounding; more means other statistics.
    if values.min() < -0.1 or values.max() > 1.1:
        raise ValueError(
            f"with mean {tuple(mean)} and std {tuple(std)} the image would have values from "
            f"{values.min():.2f} to {values.max():.2f} instead of 0 to 1: it was not normalised "
            "by them"
        )
    return values


def _guessed(values: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = float(values.min()), float(values.max())
    if low >= 0:
        raise ValueError(
            f"the image is of floating point with values from {low:.3g} to {high:.3g}; values in "
            "[0, 1] were expected. Divide by 255, or convert to uint8"
        )
    if values.shape[2] == 3 and (low < -1 - _SLACK or high > 1 + _SLACK):
        restored = values * np.asarray(IMAGENET["std"], np.float32)
        restored += np.asarray(IMAGENET["mean"], np.float32)
        if restored.min() >= -_SLACK and restored.max() <= 1 + _SLACK:
            return restored
    raise ValueError(
        f"the image has values from {low:.3g} to {high:.3g}: it was normalised, and by what cannot "
        "be told from them. Give mean and std, for instance **visattn.pictures.IMAGENET or "
        "mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)"
    )
