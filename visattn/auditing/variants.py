"""Making the variants of a picture from its mask: pure functions of pictures in [0, 1].

The names are those of Xiao et al., "Noise or signal: the role of image backgrounds in object
recognition", 2020, arXiv:2006.09994. Pictures are (N, C, H, W), masks (N, 1, H, W) in [0, 1].
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from visattn.data.background_swap import (
    LEAST_BACKGROUND,
    LEAST_FOREGROUND,
    fill,
    foreground_colours,
    remove_foreground,
)

ORIGINAL, MIXED_SAME, MIXED_RAND = "original", "mixed-same", "mixed-rand"
MIXED_NEXT, MIXED_NEW = "mixed-next", "mixed-new"
ONLY_FG, ONLY_BG_T, ONLY_BG_B, NO_FG = "only-fg", "only-bg-t", "only-bg-b", "no-fg"
PUT_BACK = "put-back"
MIXED = (MIXED_SAME, MIXED_RAND, MIXED_NEXT, MIXED_NEW)
# Pixels beside a lender's mask that are filled too, lest its object's edge remain: masks of real
# photos are a pixel or two off, and predicted ones a little more.
RIM, PREDICTED_RIM = 2, 3


class Cutouts(NamedTuple):
    """Foregrounds that can be laid on any background; made once, used for each of them.

    Attributes:
        colours: Their colour without the old background's share at soft edges (N, C, H, W).
        masks: Their alpha (N, 1, H, W).
    """

    colours: Tensor
    masks: Tensor

    def on(self, backgrounds: Tensor) -> Tensor:
        """Alpha F + (1 - alpha) B, on backgrounds (N, C, H, W) or one (C, H, W) for all."""
        return torch.addcmul(
            backgrounds.expand_as(self.colours), self.colours - backgrounds, self.masks
        )

    def rows(self, chosen: Tensor) -> "Cutouts":
        """Some of them, by a mask (N,) or by rows."""
        return Cutouts(self.colours[chosen], self.masks[chosen])


def cut_out(images: Tensor, masks: Tensor) -> Cutouts:
    """Cut the foregrounds of pictures out, as `visattn.data.composite` does.

    Example:
        >>> images, masks = torch.rand(2, 3, 8, 8), torch.zeros(2, 1, 8, 8)
        >>> masks[:, :, 2:6, 2:6] = 1
        >>> laid = cut_out(images, masks).on(torch.ones(3, 8, 8))
        >>> bool((laid[:, :, 0] == 1).all()), torch.allclose(laid[..., 4, 4], images[..., 4, 4])
        (True, True)
    """
    behind = remove_foreground(images, masks)
    return Cutouts(foreground_colours(images, masks, backgrounds=behind), masks)


def boxes(masks: Tensor) -> Tensor:
    """The boxes around the foregrounds: 1 inside, 0 outside; alpha counts from 0.5 on.

    A mask that reaches 0.5 nowhere has an empty box.

    Example:
        >>> mask = torch.tensor([[[[0.0, 1.0, 0.0], [0.0, 0.2, 0.6], [0.0, 0.0, 0.0]]]])
        >>> boxes(mask)[0, 0].tolist()
        [[0.0, 1.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    """
    inside = masks >= 0.5
    return (_between(inside.any(3, keepdim=True), 2) & _between(inside.any(2, keepdim=True), 3)).to(
        masks.dtype
    )


def only_background_filled(images: Tensor, masks: Tensor) -> Tensor:
    """Only-BG-T: the box of the foreground filled from the rest, so that its shape is gone too.

    Where Xiao et al. tile the rest of the picture over the box, it is continued smoothly here.
    """
    return fill(images, weights=1 - boxes(masks))


def only_background_boxed(images: Tensor, masks: Tensor) -> Tensor:
    """Only-BG-B: the box of the foreground is black."""
    return images * (1 - boxes(masks))


def no_foreground(images: Tensor, masks: Tensor) -> Tensor:
    """No-FG: the shape of the foreground is black."""
    return images * (1 - masks)


def noisy(images: Tensor, where: Tensor, *, noise: Tensor) -> Tensor:
    """Noise (N, C, H, W) added as far as ``where`` (N, 1, H, W) says; colours stay in [0, 1]."""
    return torch.addcmul(images, where, noise).clamp_(0, 1)


def row_noise(rows: Tensor, *, like: Tensor, deviation: float, seed: int) -> Tensor:
    """Gaussian noise (N, C, H, W) that depends on the row and the seed, not on the batch."""
    planes = [
        np.random.default_rng([seed, row]).standard_normal(like.shape[1:], dtype=np.float32)
        for row in rows.tolist()
    ]
    return torch.from_numpy(np.stack(planes)).to(like) * deviation


def has_foreground(masks: Tensor) -> Tensor:
    """Whether a mask marks anything (N,): a mean alpha of at least 0.001."""
    return masks.flatten(1).mean(1) >= LEAST_FOREGROUND


def has_background(masks: Tensor) -> Tensor:
    """Whether enough is left to lend as a background (N,): at least 5 % of the picture."""
    return (1 - masks).flatten(1).mean(1) >= LEAST_BACKGROUND


def leaves_background(masks: Tensor) -> Tensor:
    """Whether the box around the foreground leaves at least 5 % of the picture (N,)."""
    return (1 - boxes(masks)).flatten(1).mean(1) >= LEAST_BACKGROUND


def _between(hit: Tensor, dim: int) -> Tensor:
    """True from the first to the last hit along an axis."""
    after = hit.int().cummax(dim).values
    before = hit.int().flip(dim).cummax(dim).values.flip(dim)
    return (after & before).bool()
