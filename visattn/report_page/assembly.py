"""From models and images to a page."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visattn.recording.activation.methods import TITLES
from visattn.recording.cam import Method
from visattn.report_page.contents import LARGEST_SIDE, Contents, Picture, shrunk
from visattn.report_page.model_views import view_of
from visattn.report_page.opening import focus_of, opening_layer, opening_picture
from visattn.report_page.page import Report
from visattn.report_page.subjects import Scenes, Subject


def report(
    models: nn.Module | Mapping[str, nn.Module | Subject],
    images: Tensor,
    *,
    masks: Tensor | None = None,
    labels: Tensor | Sequence[int] | None = None,
    classes: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    backgrounds: Tensor | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    cam: bool | Literal["auto"] | Method = "auto",
    curves: bool = True,
    title: str = "Where the network looks",
    note: str = "",
    batch_size: int = 16,
) -> Report:
    """Make a page to explore what networks look at: one HTML file that needs no server.

    It shows every gate, map and attention row that `visattn.record` finds, from the class token of
    a transformer, too, Grad-CAM for a model
    without, the true masks, the predictions with and without the background, and deletion and
    insertion. Nothing is loaded from elsewhere, and the page may load nothing.

    Args:
        models: A model, or models by name; images (N, 3, H, W) to logits (N, K). Those that take
            their images in different ways, or whose logits are labels that hold each by itself, are
            given as `visattn.report_page.Subject`.
        images: (N, 3, H, W) in [0, 1]; ``mean`` and ``std`` are applied here.
        masks: True masks (N, H, W) or (N, 1, H, W), boolean or in [0, 1]; NaN for pixels that
            nothing is known about, and everywhere for an image without a mask.
        labels: True classes (N,), -1 where unknown.
        classes: Names of the classes.
        names: Names of the images.
        backgrounds: The images without their objects (N, 3, H, W) in [0, 1]; the objects are
            blacked out if None.
        mean: Per channel, taken off the images for the models; nothing if None. A `Subject` goes by
            its own.
        std: Per channel, divided by after that.
        cam: Whether to add Grad-CAM; ``"auto"`` for a model that has no map of its own; or another
            method of `visattn.class_activation`, such as ``"layercam"``.
        curves: Whether to follow deletion and insertion, 17 passes each for every map.
        title: Heading of the page.
        note: Where the images come from, in a few words.
        batch_size: Images a pass.

    Returns:
        `Report`: ``save(path)``, ``html``, and a frame in notebooks.

    Raises:
        TypeError: If an argument is of another type, or a model returns no logits.
        ValueError: If shapes, lengths or values don't fit.

    Example:
        >>> import timm, torch, visattn
        >>> model = visattn.wrap(timm.create_model("resnet10t", num_classes=4), "cbam", stages=[4])
        >>> page = visattn.report(model, torch.rand(2, 3, 64, 64), curves=False)
        >>> page.html.startswith("<!doctype html>")
        True
    """
    if (mean is None) != (std is None):
        raise ValueError("mean and std belong together: give both or none")
    statistics = () if mean is None or std is None else (mean, std)
    found = {"model": models} if isinstance(models, nn.Module) else dict(models)
    subjects = {}
    for name, model in found.items():
        if not isinstance(model, (nn.Module, Subject)):
            raise TypeError(f"models[{name!r}] must be a torch module, not {type(model).__name__}")
        subjects[str(name)] = model if isinstance(model, Subject) else Subject(model, *statistics)
    if not subjects:
        raise ValueError("a report needs at least one model, got none")
    if cam not in (True, False, "auto", *TITLES):
        raise ValueError(f"cam must be True, False, 'auto' or one of {[*TITLES]}, got {cam!r}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    scenes = _scenes(images, masks=masks, labels=labels, backgrounds=backgrounds)
    count = len(scenes.images)
    if names is not None and len(names) != count:
        raise ValueError(f"names must be one an image: {count} images, {len(names)} names")
    if classes is not None and int(scenes.labels.max()) >= len(classes):
        raise ValueError(
            f"labels go up to {int(scenes.labels.max())}, but classes has {len(classes)} names"
        )
    size = shrunk(*scenes.size, side=LARGEST_SIDE)
    views = [
        view_of(
            name,
            subject,
            scenes,
            cam=cam,
            curves=curves,
            batch_size=batch_size,
            largest=size,
            models=len(subjects),
        )
        for name, subject in subjects.items()
    ]
    called = [f"image {row + 1}" for row in range(count)] if names is None else map(str, names)
    return Report(
        Contents(
            title=title,
            note=note,
            pictures=_pictures(scenes, names=list(called), size=size),
            models=views,
            classes=classes,
            opening=opening_picture(views, scenes.labels.tolist()),
            layers=[opening_layer(view.layers) for view in views],
        )
    )


def build_report(subjects: Mapping[str, Subject], images: Tensor, **options: Any) -> Report:
    """Make the page for models that take their images in different ways; see `report`.

    Args:
        subjects: The models by name, each with its own normalisation.
        images: As for `report`.
        **options: The other arguments of `report`.
    """
    return report(subjects, images, **options)


def _scenes(
    images: Tensor,
    *,
    masks: Tensor | None,
    labels: Tensor | Sequence[int] | None,
    backgrounds: Tensor | None,
) -> Scenes:
    """Check what was given."""
    images = _pictures_in_range(images, what="images")
    count, _, height, width = images.shape
    unknown = torch.full((count, height, width), torch.nan)
    given = torch.as_tensor(unknown if masks is None else masks).detach().cpu().float()
    if given.ndim == 4 and given.shape[1] == 1:
        given = given[:, 0]
    if given.shape != unknown.shape:
        raise ValueError(
            f"masks must be one an image and of its size, {tuple(unknown.shape)}, not"
            f" {tuple(given.shape)}"
        )
    known = given[~given.isnan()]
    if len(known) and not 0 <= float(known.min()) <= float(known.max()) <= 1:
        raise ValueError(
            f"masks must be boolean or in [0, 1], but hold values from {float(known.min()):g}"
            f" to {float(known.max()):g}; divide a mask of 0 and 255 by 255"
        )
    numbers = torch.full((count,), -1) if labels is None else torch.as_tensor(labels).cpu()
    if numbers.shape != (count,) or numbers.dtype.is_floating_point:
        raise ValueError(
            f"labels must be one whole number an image, ({count},), not {tuple(numbers.shape)} of"
            f" {numbers.dtype}"
        )
    alpha = given.nan_to_num(0.0)[:, None]
    rest = images * (1 - alpha)
    if backgrounds is not None:
        rest = _pictures_in_range(backgrounds, what="backgrounds")
    if rest.shape != images.shape:
        raise ValueError(
            f"backgrounds must be one an image and of its size, {tuple(images.shape)}, not"
            f" {tuple(rest.shape)}"
        )
    return Scenes(images, given, numbers.long(), images * alpha, rest, focus_of(given))


def _pictures_in_range(images: Tensor, *, what: str) -> Tensor:
    if not isinstance(images, Tensor) or not images.dtype.is_floating_point:
        kind = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise TypeError(f"{what} must be a tensor of floating point in [0, 1], not {kind}")
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape:
        raise ValueError(f"{what} must be (N, 3, H, W), not {tuple(images.shape)}")
    images = images.detach().cpu().float()
    low, high = float(images.min()), float(images.max())
    if not -0.01 <= low <= high <= 1.01:
        raise ValueError(
            f"{what} must lie in [0, 1], but hold values from {low:.3g} to {high:.3g}: give them"
            " before they are normalised, and the normalisation as mean and std"
        )
    return images.clamp(0, 1)


def _pictures(scenes: Scenes, *, names: Sequence[str], size: tuple[int, int]) -> list[Picture]:
    """The pictures of the page, at its size."""
    found = []
    for row, (name, (y, x)) in enumerate(zip(names, scenes.focus.tolist(), strict=True)):
        mask = _mask(scenes.masks[row], size=size) if scenes.masked[row] else None
        label = int(scenes.labels[row])
        found.append(
            Picture(
                name=name,
                pixels=_bytes(scenes.images[row], size=size),
                mask=mask,
                focus=(y, x),
                label=label if label >= 0 else None,
                background=None if mask is None else _bytes(scenes.backgrounds[row], size=size),
            )
        )
    return found


def _bytes(image: Tensor, *, size: tuple[int, int]) -> np.ndarray:
    if tuple(image.shape[1:]) != size:
        image = F.interpolate(image[None], size=size, mode="bilinear", antialias=True)[0]
    pixels: np.ndarray = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    return pixels


def _mask(mask: Tensor, *, size: tuple[int, int]) -> np.ndarray:
    if tuple(mask.shape) != size:
        planes = torch.stack([mask.nan_to_num(0.0), (~mask.isnan()).float()])[:, None]
        alpha, known = F.interpolate(planes, size=size, mode="bilinear", antialias=True)[:, 0]
        alpha = (alpha / known.clamp(min=1e-6)).clamp(0, 1)
        mask = torch.where(known >= 0.5, alpha, torch.nan)
    values: np.ndarray = mask.numpy().astype(np.float32)
    return values
