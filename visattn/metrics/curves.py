"""Deletion and insertion: what happens to a class as the marked pixels go or come.

Petsiuk et al., "RISE", 2018, arXiv:1806.07421.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from visattn.metrics.probing import Baseline, Model, Probe, baseline_images, falling_order

_STEPS = 32


@dataclass(frozen=True)
class Curve:
    """Probability of each image's class over the share of its pixels that are changed.

    Attributes:
        fractions: Shares of the pixels (T,), from 0 to 1.
        probabilities: At each share (N, T).
        classes: The class of each image (N,), fixed before anything was changed.
        baseline: What stood in the place of the pixels: its name, or ``"images"``.
    """

    fractions: Tensor
    probabilities: Tensor
    classes: Tensor
    baseline: str

    @property
    def area(self) -> Tensor:
        """Area under each curve (N,) by trapezoids over the true shares, in [0, 1]."""
        widths = self.fractions.diff()
        heights = (self.probabilities[:, 1:] + self.probabilities[:, :-1]) / 2
        return (heights * widths).sum(1)

    @property
    def drop(self) -> Tensor:
        """How far the class falls below its first value (N,), the mean over all later shares.

        Of a deletion it is the area over the perturbation curve of pixel flipping (AOPC; Samek et
        al., "Evaluating the visualization of what a deep neural network has learned", 2017,
        arXiv:1509.06321): high if the map marks what the class needs.
        """
        return (self.probabilities[:, :1] - self.probabilities[:, 1:]).mean(1)


def deletion(
    model: Model,
    images: Tensor,
    saliency: Tensor,
    *,
    classes: Tensor | None = None,
    baseline: Baseline | Tensor = "zero",
    step: int | None = None,
    multilabel: bool = False,
    batch_size: int = 64,
) -> Curve:
    r"""Replace pixels by a baseline in falling order of the map, and follow the class.

    A low area says that the pixels which the map marks carry the class. The images between are
    unlike any that the model was trained on, so an area says little alone: compare it with that of
    a random map, with the same baseline and step.

    The class is fixed from the whole image. The sort is stable: equal values, as in a hard mask, go
    in reading order. The curve has both ends, the whole image and the baseline alone. The last step
    takes what is left, and the area counts it by its true width; the authors' code counts all steps
    as equally wide.

    Args:
        model: Images (N, C, H, W) to logits (N, K), or to one logit (N, 1) or (N,) of a binary
            classifier, whose classes are 0 and 1 by its sigmoid; a module must be in evaluation
            mode.
        images: Images (N, C, H, W) as the model takes them.
        saliency: Maps (N, H, W) or (N, 1, H, W) of the images' size, finite; only their order
            matters.
        classes: Classes (N,) to follow; those that the model predicts if None.
        baseline: ``"zero"``, ``"mean"``, ``"blur"`` or images; see ``baseline_images``.
        step: Pixels a step; 1/32 of the image if None.
        multilabel: The logits are labels that hold each by itself: the probability is the sigmoid
            of the label's logit, and without ``classes`` the likeliest label is followed.
        batch_size: Images a call of the model.

    Returns:
        The curves; ``area`` is the metric, one value an image.

    Raises:
        TypeError: If an argument is of a type that cannot be read.
        ValueError: If shapes don't fit or a value is out of its range.

    Example:
        >>> model = lambda images: torch.stack([images[:, 0, 0, 0], 0 * images[:, 0, 0, 0]], 1)
        >>> images = torch.tensor([[[[4.0, 0.0]]]])
        >>> right, wrong = (torch.tensor([[row]]) for row in ([1.0, 0.0], [0.0, 1.0]))
        >>> [round(deletion(model, images, m, step=1).area.item(), 3) for m in (right, wrong)]
        [0.621, 0.862]
    """
    probe = Probe(model, images, saliency, batch_size=batch_size, multilabel=multilabel)
    return _curve(probe, "deletion", classes=classes, baseline=baseline, step=step)


def insertion(
    model: Model,
    images: Tensor,
    saliency: Tensor,
    *,
    classes: Tensor | None = None,
    baseline: Baseline | Tensor = "blur",
    step: int | None = None,
    multilabel: bool = False,
    batch_size: int = 64,
) -> Curve:
    """Reveal pixels on a baseline in falling order of the map, and follow the class.

    A high area says that the pixels which the map marks are enough for the class. All else,
    arguments, result and errors, as in ``deletion``.

    Shapes are images (N, C, H, W) and maps (N, H, W).

    Example:
        >>> model = lambda images: torch.stack([images[:, 0, 0, 0], 0 * images[:, 0, 0, 0]], 1)
        >>> images = torch.tensor([[[[4.0, 0.0]]]])
        >>> right, wrong = (torch.tensor([[row]]) for row in ([1.0, 0.0], [0.0, 1.0]))
        >>> more, less = (insertion(model, images, m, step=1).area for m in (right, wrong))
        >>> bool(more > less)
        True
    """
    probe = Probe(model, images, saliency, batch_size=batch_size, multilabel=multilabel)
    return _curve(probe, "insertion", classes=classes, baseline=baseline, step=step)


def _curve(
    probe: Probe,
    way: Literal["deletion", "insertion"],
    *,
    classes: Tensor | None,
    baseline: Baseline | Tensor,
    step: int | None,
) -> Curve:
    images, maps = probe.images, probe.maps
    pixels = maps.shape[1] * maps.shape[2]
    width = -(-pixels // _STEPS) if step is None else step
    if width < 1:
        raise ValueError(f"step must be at least 1 pixel, not {step}")
    other = baseline_images(images, baseline)
    start, end = (images, other) if way == "deletion" else (other, images)
    counts = torch.tensor([*range(0, pixels, width), pixels])
    places = falling_order(maps).view_as(maps)
    fixed, _ = probe.whole(classes)

    def build(pairs: Tensor) -> Tensor:
        rows, steps = pairs.to(images.device).unbind(1)
        changed = places[rows] < counts.to(images.device)[steps][:, None, None]
        return torch.where(changed[:, None], end[rows], start[rows])

    found = probe.changed(build, fixed, variants=len(counts))
    name = baseline if isinstance(baseline, str) else "images"
    return Curve(counts.double() / pixels, found, fixed, name)
