"""Gaussian context: channels far from the mean of all are gated down, by a single number."""

import torch
from torch import Tensor, nn

from visattn.basics.checks import check_numbers
from visattn.blocks.gates import Init, check_init
from visattn.blocks.taps import Tap


class GaussianContext(nn.Module):
    r"""Gaussian context: channels far from the mean of all are gated down, by a single number.

    ``y = x * exp(-a v_c^2)`` with ``v_c = (z_c - mean(z)) / std(z)``, z the means over the places,
    mean and standard deviation over the channels. ``a = 1 / (2 c^2)`` is the block's only number:
    trained, as in the paper's GCT-B1; its GCT-B0 stays at c = 2, as this one does while frozen.

    Copies multiply by c where the paper divides by its square.

    Args:
        channels: C of the map.
        width: c at the start, above 0.
        init: With ``"identity"`` a starts at zero, a Gaussian without an end.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``channel`` (N, C), in (0, 1] while a is positive.

    Raises:
        ValueError: A number is out of its range, or ``init`` is unknown.

    Example:
        >>> GaussianContext(256).sharpness
        Parameter containing:
        tensor([0.1250], requires_grad=True)

    Source: Ruan et al., Gaussian Context Transformer, CVPR 2021.
    """

    def __init__(self, channels: int, *, width: float = 2.0, init: Init = "paper") -> None:
        super().__init__()
        check_init(init)
        check_numbers(channels=channels)
        if not width > 0:
            raise ValueError(f"width must be above 0, got {width}.")
        start = 0.0 if init == "identity" else 1 / (2 * width**2)
        self.sharpness = nn.Parameter(torch.full((1,), start))
        self.tap = Tap("channel")

    def forward(self, x: Tensor) -> Tensor:
        """Gate each channel of (N, C, H, W)."""
        mean = x.mean((2, 3), keepdim=True)
        centred = mean - mean.mean(1, keepdim=True)
        square = centred.square()
        spread = square / (square.mean(1, keepdim=True) + 1e-5)
        return x * self.tap(torch.exp(-self.sharpness.to(x.dtype) * spread))
