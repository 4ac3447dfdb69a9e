"""From the features of a trained network to the logits of a mask as fine as the image."""

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FeatureBranch(nn.Module):
    r"""Logits of a mask from a trained network's features, which stay as they are.

    A feature pyramid (Lin et al., arXiv:1612.03144): each of the encoder's maps goes through a 1x1
    convolution to ``width`` channels, the coarsest first, is added to the coarser levels' sum,
    resized bilinearly, and smoothed by a 3x3 convolution. The finest is brought to the image's
    size, joined with ``width // 3`` channels of a 3x3 convolution of the image itself, so that
    edges are as fine as the image, and becomes logits by a 3x3 and a 1x1 convolution. All
    enlarging is bilinear: nothing has a period that could show as a checkerboard.

    With ``position``, each level is told where in the image each of its places is (CoordConv, Liu
    et al., arXiv:1807.03247): it tells the object in the middle from others like it at the side.

    The encoder is copied, its parameters become buffers, and it stays in evaluation mode: no
    optimiser and no loss ever changes it.

    Args:
        channels: C of the image.
        encoder: From an image to its maps, finest first, as a sequence or a mapping.
        widths: Channels of these maps.
        width: Channels of the pyramid.
        position: Whether the 1x1 convolutions see `coordinates` beside the maps.

    Shape:
        (N, C, H, W) to (N, 1, H, W).
    """

    def __init__(
        self,
        channels: int,
        *,
        encoder: nn.Module,
        widths: Sequence[int],
        width: int = 48,
        position: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = _frozen(encoder)
        self.position = position
        more = 3 if position else 0
        self.lateral = nn.ModuleList(nn.Conv2d(given + more, width, 1) for given in widths)
        self.smooth = nn.ModuleList(nn.Sequential(*convolution(width, width)) for _ in widths)
        self.edge = nn.Sequential(*convolution(channels, width // 3))
        self.head = nn.Sequential(
            *convolution(width + width // 3, width * 2 // 3), nn.Conv2d(width * 2 // 3, 1, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits for an image."""
        with torch.no_grad():
            given = self.encoder(x)
        levels = list(given.values() if isinstance(given, Mapping) else given)
        features: Tensor | None = None
        layers = zip(levels, self.lateral, self.smooth, strict=True)
        for level, lateral, smooth in reversed(list(layers)):
            here = lateral(torch.cat([level, coordinates(level)], 1) if self.position else level)
            features = smooth(here if features is None else here + _resized(features, level))
        assert features is not None
        return self.head(torch.cat([_resized(features, x), self.edge(x)], 1))

    def train(self, mode: bool = True) -> "FeatureBranch":
        """Set the mode of all but the encoder."""
        super().train(mode)
        self.encoder.eval()
        return self


def coordinates(x: Tensor) -> Tensor:
    """Where each place of a map (N, C, H, W) is: (N, 3, H, W).

    Down and right, of the place's middle, from -1 at one border of the map to 1 at the other, and
    the mean of their squares.

    Example:
        >>> coordinates(torch.zeros(1, 8, 1, 2)).flatten(2)
        tensor([[[ 0.0000,  0.0000],
                 [-0.5000,  0.5000],
                 [ 0.1250,  0.1250]]])
    """
    # counted, not given by arange: an exported program then takes any size
    ones = torch.ones_like(x[:, :1])
    down = (2 * ones.cumsum(2) - 1) / x.shape[2] - 1
    right = (2 * ones.cumsum(3) - 1) / x.shape[3] - 1
    return torch.cat([down, right, (down * down + right * right) / 2], 1)


def convolution(inputs: int, outputs: int, *, stride: int = 1) -> tuple[nn.Module, ...]:
    """3x3 convolution, normalisation by groups of the channels of one image, ReLU.

    Group normalisation works for a single image of a single pixel and is the same in training and
    evaluation.
    """
    groups = next(count for count in (4, 3, 2, 1) if outputs % count == 0 and outputs > count)
    return (
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.GroupNorm(groups, outputs),
        nn.ReLU(inplace=True),
    )


def _resized(features: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(features, size=like.shape[2:], mode="bilinear", align_corners=False)


def _frozen(encoder: nn.Module) -> nn.Module:
    """A copy with buffers for parameters: those of the model that it may be part of stay."""
    encoder = copy.deepcopy(encoder)
    for module in encoder.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, parameter.detach())
    return encoder.eval()
