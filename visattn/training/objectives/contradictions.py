"""Images whose background contradicts their label, and what they say about where the object is.

A classifier that sees small windows only judges every place of an image by itself. Where the
background mostly goes with the class, it learns to name the class from a patch of background just
as from a patch of the object. In the few images that stand against this rule the two disagree: the
places that speak for another class are background, those that speak for the label are the object.
"""

import math
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@final
class LocalClassifier(nn.Module):
    """Logits of the classes for every place, each from a window of about a sixth of the image.

    Two convolutions of 3 x 3 and as many of stride 2 as it takes to come to about ``grid`` places
    a side, then two of 1 x 1. Nothing in it looks beyond its window: batch normalisation takes
    fixed statistics at test time, where group normalisation would tell each place of the others.

    Args:
        channels: Channels of the images.
        num_classes: Number of logits.
        size: Side of the images, in pixels.
        grid: Places along a side.
        width: Channels within.

    Shape:
        (N, channels, H, W) to (N, num_classes, h, w).

    Example:
        >>> LocalClassifier(3, num_classes=8, size=64)(torch.randn(2, 3, 64, 64)).shape
        torch.Size([2, 8, 16, 16])
    """

    def __init__(
        self, channels: int, *, num_classes: int, size: int, grid: int = 16, width: int = 48
    ) -> None:
        super().__init__()
        halvings = max(1, round(math.log2(max(1, size / grid))))
        layers = [*_convolution(channels, width, kernel=3, stride=2)]
        layers += _convolution(width, width, kernel=3, stride=1)
        for _ in range(halvings - 1):
            layers += _convolution(width, width, kernel=3, stride=2)
        layers += _convolution(width, width, kernel=1, stride=1)
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, num_classes, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Logits of every place."""
        return self.layers(images)


def contradictions(
    logits: Tensor, labels: Tensor, *, share: float = 1 / 3
) -> tuple[Tensor, Tensor]:
    """Which images speak for another class than their label, and for which.

    A place speaks for a class that has more than half of its probability. With S_k the share of
    places for k and b the class other than the label y with the highest S, an image is
    contradicted if S_b is at least ``share`` and S_y less than half of S_b.

    Args:
        logits: Of every place (N, K, h, w).
        labels: (N,).
        share: Least share of the places for b.

    Returns:
        Whether each image is contradicted (N,), and its class b (N,).

    Example:
        >>> logits = torch.tensor([9.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(2, 3, 4, 4)
        >>> contradictions(logits, torch.tensor([0, 2]))
        (tensor([False,  True]), tensor([1, 0]))
    """
    shares = (logits.softmax(1) > 0.5).float().mean((2, 3))
    own = shares.gather(1, labels[:, None]).squeeze(1)
    other, background = shares.scatter(1, labels[:, None], -1.0).max(1)
    return (other >= share) & (own < other / 2), background


def contradicted_masks(
    logits: Tensor, backgrounds: Tensor, *, size: torch.Size, border: float = 0.15
) -> Tensor:
    """Where the object is in contradicted images: where nothing speaks for the background's class.

    A pixel is object, 1, if the probability of the background's class, of the logits resized to the
    image, is below 1/3 there, and it is not near the image's border; background, 0, otherwise. What
    speaks for the label would be less: only the telling parts of an object do.

    Args:
        logits: Of every place (N, K, h, w).
        backgrounds: The background's class (N,), as `contradictions` gives it.
        size: Height and width of the masks.
        border: Width of the border that is taken for background, as a share of the side.

    Returns:
        Masks (N, 1, H, W) of 0 and 1.

    Example:
        >>> logits = torch.zeros(1, 2, 4, 4)
        >>> logits[:, 1], logits[:, 0, 1:3, 1:] = 5.0, 9.0
        >>> size = torch.Size((4, 4))
        >>> contradicted_masks(logits, torch.tensor([1]), size=size, border=0.25)[0, 0]
        tensor([[0., 0., 0., 0.],
                [0., 1., 1., 0.],
                [0., 1., 1., 0.],
                [0., 0., 0., 0.]])
    """
    resized = F.interpolate(logits.float(), size=size, mode="bilinear", align_corners=False)
    rows = torch.arange(len(logits), device=logits.device)
    masks = (resized.softmax(1)[rows, backgrounds] < 1 / 3).float().unsqueeze(1)
    above, beside = (round(border * side) for side in size)
    inner = torch.zeros(size, device=logits.device)
    inner[above : size[0] - above, beside : size[1] - beside] = 1
    return masks * inner


def _convolution(inputs: int, outputs: int, *, kernel: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]
