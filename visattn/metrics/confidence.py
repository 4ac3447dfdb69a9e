"""Average drop and increase: what is left of a class when only the marked part is shown.

Chattopadhay et al., "Grad-CAM++", 2018, arXiv:1710.11063.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from visattn.metrics.probing import Baseline, Model, Probe, baseline_images


@dataclass(frozen=True)
class MaskedConfidence:
    """Probability of each image's class before and after the image was masked by its map.

    Attributes:
        whole: On the whole image (N,).
        masked: On the masked image (N,); NaN where the map is flat and has no range.
        classes: The class of each image (N,).
    """

    whole: Tensor
    masked: Tensor
    classes: Tensor

    @property
    def drop(self) -> Tensor:
        r"""The share that is lost, :math:`\max(0, y - o) / y` (N,); NaN where y is 0."""
        return (self.whole - self.masked).clamp(min=0) / self.whole

    @property
    def increase(self) -> Tensor:
        """1 where the masked image has the higher probability, 0 where not (N,), or NaN."""
        higher = (self.masked > self.whole).double()
        return higher.masked_fill(self.masked.isnan(), torch.nan)


def masked_confidence(
    model: Model,
    images: Tensor,
    saliency: Tensor,
    *,
    classes: Tensor | None = None,
    baseline: Baseline | Tensor = "zero",
    normalise: Literal["image", "none"] = "image",
    multilabel: bool = False,
    batch_size: int = 64,
) -> MaskedConfidence:
    r"""Show the model the image times its map, and compare the class's probability.

    .. math:: o = p_c(S \cdot image + (1 - S) \cdot baseline), \quad y = p_c(image)

    The mean of ``drop`` is the average drop, that of ``increase`` the average increase. Both are
    easily won by a map that keeps much of the image: read them beside where the map lies.

    ``normalise="image"`` brings each map to [0, 1] by its own smallest and largest value;
    ``"none"`` takes it as it is, which must be in [0, 1]. The other arguments, and the errors, are
    those of ``deletion``.

    Returns:
        Both probabilities, from which ``drop`` and ``increase`` follow, one value an image.

    Raises:
        ValueError: As by ``deletion``; or unknown ``normalise``, or a map that is not in [0, 1].

    Example:
        >>> model = lambda images: torch.stack([images[:, 0, 0, 0], 0 * images[:, 0, 0, 0]], 1)
        >>> image = torch.tensor([[[[2.0, 0.0]]]])
        >>> masked_confidence(model, image, torch.tensor([[[0.0, 1.0]]])).drop
        tensor([0.4323], dtype=torch.float64)
    """
    probe = Probe(model, images, saliency, batch_size=batch_size, multilabel=multilabel)
    images, maps = probe.images, probe.maps
    other = baseline_images(images, baseline)
    flat = torch.zeros(len(maps), dtype=torch.bool)
    if normalise == "image":
        lowest, highest = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
        maps = (maps - lowest) / (highest - lowest)
        flat = maps.isnan().flatten(1).any(1).cpu()
        maps = maps.nan_to_num(0)
    elif normalise != "none":
        raise ValueError(f"normalise must be 'image' or 'none', not {normalise!r}")
    elif len(maps) and (float(maps.min()) < 0 or float(maps.max()) > 1):
        raise ValueError(
            f"saliency holds values from {float(maps.min()):g} to {float(maps.max()):g}; with "
            "normalise='none' it must be in [0, 1]"
        )
    shares = maps[:, None].to(images.dtype)
    fixed, whole = probe.whole(classes)

    def build(pairs: Tensor) -> Tensor:
        rows = pairs[:, 0].to(images.device)
        return shares[rows] * images[rows] + (1 - shares[rows]) * other[rows]

    masked = probe.changed(build, fixed, variants=1)[:, 0]
    return MaskedConfidence(whole, masked.masked_fill(flat, torch.nan), fixed)
