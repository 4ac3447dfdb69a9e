"""ROAD: remove pixels, debias, and see whether the class goes with the marked ones.

Rong et al., "A consistent and efficient evaluation strategy for attribution methods", 2022,
arXiv:2202.00449.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from visattn.metrics.imputation import linear_imputation
from visattn.metrics.probing import Model, Probe, falling_order

ROAD_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Road:
    """Probability of each image's class with shares of its pixels removed.

    Attributes:
        shares: Shares of the pixels that were removed (T,).
        most_relevant: With the highest of the map removed (N, T).
        least_relevant: With the lowest of the map removed (N, T).
        classes: The class of each image (N,), fixed before anything was removed.
    """

    shares: Tensor
    most_relevant: Tensor
    least_relevant: Tensor
    classes: Tensor

    @property
    def combined(self) -> Tensor:
        """(least relevant first - most relevant first) / 2, mean over the shares (N,).

        In [-0.5, 0.5]; a map that knows nothing gets 0.
        """
        return ((self.least_relevant - self.most_relevant) / 2).mean(1)


def road(
    model: Model,
    images: Tensor,
    saliency: Tensor,
    *,
    classes: Tensor | None = None,
    shares: Sequence[float] = ROAD_SHARES,
    noise: float = 0.01,
    seed: int = 0,
    multilabel: bool = False,
    batch_size: int = 64,
) -> Road:
    r"""Remove the highest and the lowest pixels of a map, and compare the class's probability.

    Removed pixels are filled by noisy linear imputation from their neighbours (1/6 at an edge, 1/12
    at a corner), so that neither a hole nor its outline tells the model what was there. The lowest
    pixels are the end of the same order of which the highest are the beginning; equal values stand
    in reading order.

    ``shares`` are the shares of the pixels to remove, each in (0, 1); ``noise`` is the standard
    deviation of the noise on the filled pixels, in the images' units, and ``seed`` its seed: it is
    the same for every share. The other arguments, and the errors, are those of ``deletion``.

    Returns:
        The probabilities; ``combined`` is the metric, one value an image.

    Raises:
        ValueError: As by ``deletion``; or shares or noise out of range, or images of one pixel.

    Example:
        >>> model = lambda images: torch.stack([images[:, 0, 0, 0], 0 * images[:, 0, 0, 0]], 1)
        >>> image = torch.tensor([[[[2.0, 0.0, 0.0]]]])
        >>> right = torch.tensor([[[1.0, 0.0, 0.0]]])
        >>> road(model, image, right, shares=[0.34], noise=0).combined
        tensor([0.1904], dtype=torch.float64)
    """
    probe = Probe(model, images, saliency, batch_size=batch_size, multilabel=multilabel)
    images, maps = probe.images, probe.maps
    if not shares or not all(0 < share < 1 for share in shares):
        raise ValueError(f"shares must be at least one, each in (0, 1), not {list(shares)}")
    if noise < 0:
        raise ValueError(f"noise must be at least 0, not {noise}")
    pixels = maps.shape[1] * maps.shape[2]
    if pixels < 2:
        raise ValueError("an image of one pixel has no neighbours to fill it from")
    counts = torch.tensor([min(max(round(share * pixels), 0), pixels - 1) for share in shares])
    places = falling_order(maps).view_as(maps)
    generator = torch.Generator().manual_seed(seed)
    grain = noise * torch.randn(images.shape[1:], generator=generator).to(images)
    fixed, _ = probe.whole(classes)

    def build(pairs: Tensor) -> Tensor:
        rows, variants = pairs.to(images.device).unbind(1)
        removed = counts.to(images.device)[variants % len(counts)][:, None, None]
        highest = (variants < len(counts))[:, None, None]
        order = places[rows]
        known = torch.where(highest, order >= removed, order < pixels - removed)
        filled = linear_imputation(images[rows], known)
        return torch.where(known[:, None], filled, filled + grain)

    found = probe.changed(build, fixed, variants=2 * len(counts))
    most, least = found.split(len(counts), dim=1)
    return Road(torch.tensor(shares, dtype=torch.float64), most, least, fixed)
