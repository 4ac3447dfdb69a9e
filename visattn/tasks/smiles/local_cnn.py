"""A small network that sees near things only, and answers at every place."""

import copy
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

LAYERS = ((12, 1), (24, 2), (48, 2), (16, 2))
"""Channels and stride of 3x3 convolutions that see 17 pixels and give a place for every 8."""


@final
class LocalCNN(nn.Module):
    """A few 3x3 convolutions, then 1x1 convolutions beside skips, and logits at every place.

    The answer is the mean of the logits over the places. A mean relates nothing to anything: what
    two things far from each other say together, no place knows and no sum of places tells, unless
    a block of attention stands in between. Its place is after ``local``; or ``relate.0``, for one
    that stands in for a convolution.

    With x the map of the 3x3 convolutions: ``y = x + BN(conv(x))``, from ``relate``; logits
    ``fc(y + mix(y))``.

    Args:
        num_classes: Number of logits.
        layers: Channels and stride of each 3x3 convolution.
        hidden: Channels between the two 1x1 convolutions of ``mix``.

    Shapes:
        (N, 3, H, W) to logits (N, num_classes).

    Example:
        >>> model = LocalCNN(2)
        >>> model(torch.randn(1, 3, 64, 64)).shape, model.places(torch.randn(1, 3, 64, 64)).shape
        (torch.Size([1, 2]), torch.Size([1, 2, 8, 8]))
    """

    def __init__(
        self,
        num_classes: int = 2,
        *,
        layers: Sequence[Sequence[int]] = LAYERS,
        hidden: int = 64,
    ) -> None:
        super().__init__()
        if not layers or any(len(layer) != 2 or min(layer) < 1 for layer in layers):
            raise ValueError(f"layers must be pairs of channels and stride, got {layers}")
        widths = [3, *(channels for channels, _ in layers)]
        self.local = nn.Sequential(
            *(
                _unit(taken, given, kernel_size=3, stride=stride)
                for taken, (given, stride) in zip(widths, layers, strict=False)
            )
        )
        width = widths[-1]
        self.relate = nn.Sequential(nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width))
        self.mix = nn.Sequential(
            _unit(width, hidden, kernel_size=1), _unit(hidden, width, kernel_size=1)
        )
        self.fc = nn.Conv2d(width, num_classes, 1)

    def places(self, images: Tensor) -> Tensor:
        """Logits at every place, (N, num_classes, h, w)."""
        seen = self.local(images)
        related = seen + self.relate(seen)
        logits: Tensor = self.fc(related + self.mix(related))
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """The mean over the places."""
        return self.places(images).mean((2, 3))


def _unit(taken: int, given: int, *, kernel_size: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(taken, given, kernel_size, stride, padding=kernel_size // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(given), nn.ReLU())


def receptive_field(model: nn.Module, *, size: int, channels: int = 3) -> tuple[int, int]:
    """Rows and columns of the image that one place of a map depends on: its receptive field.

    Traced by gradients: in a copy all weights are positive, so that nothing cancels out and no ReLU
    closes, and the pixels with a gradient are those that can change the place in the middle.

    Args:
        model: From images (1, channels, size, size) to a map (1, C, h, w), in any state. It stays
            as it is.
        size: Side of the images; the field is at most that.
        channels: Of the images.

    Raises:
        ValueError: The model gives no map.

    Example:
        >>> receptive_field(nn.Conv2d(3, 4, 5, padding=2), size=32)
        (5, 5)
    """
    double = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        for name, tensor in (*double.named_parameters(), *double.named_buffers()):
            if not tensor.is_floating_point():
                continue
            if name.endswith(("running_mean", "bias")):
                tensor.zero_()  # taken off, a mean could leave something negative
            elif tensor.ndim < 2:
                tensor.fill_(1.0)
            else:  # means of what goes in, so that no gate and no softmax saturates
                tensor.abs_().clamp_(min=1e-3)
                tensor.div_(tensor.flatten(1).sum(1).view(-1, *[1] * (tensor.ndim - 1)))
    with torch.enable_grad():
        image = torch.rand(1, channels, size, size, dtype=torch.double) + 0.5
        found = double(image.requires_grad_())
        if found.ndim != 4:
            raise ValueError(
                f"the model must give a map (1, C, h, w), it gave {tuple(found.shape)}"
            )
        middle = found[..., found.shape[2] // 2, found.shape[3] // 2].sum()
        (gradient,) = torch.autograd.grad(middle, image)
    seen = gradient[0].abs().sum(0) > 0
    rows, columns = (torch.nonzero(seen.any(axis)).flatten() for axis in (1, 0))
    return int(rows[-1] - rows[0] + 1), int(columns[-1] - columns[0] + 1)
