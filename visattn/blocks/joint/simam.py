"""SimAM: a gate for each value from its distance to its channel's mean, without parameters."""

from torch import Tensor, nn

from visattn.basics.checks import check_numbers
from visattn.blocks.fused.choice import fusable
from visattn.blocks.gates import Gate


@fusable()
class SimAM(nn.Module):
    r"""SimAM: a gate for each value from its distance to its channel's mean, without parameters.

    ``y = x * sigmoid(d / (4 (v + lambda)) + 1/2)``, with ``d = (x - mean_hw(x))^2`` and the
    channel's variance ``v = sum_hw(d) / (HW - 1)``, which is 0 for a single place.

    It has no ``init``: no layer of it could start at zero, and at a channel's mean the gate is
    ``sigmoid(1/2)``.

    Args:
        channels: C of the map; nothing depends on it.
        regularization: lambda, added to the variance.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``gate`` (N, C, H, W), in (0.62, 1).

    Raises:
        ValueError: ``channels`` is below 1, or ``regularization`` is not positive.

    Example:
        >>> import torch
        >>> SimAM(64)(torch.ones(1, 64, 1, 1)).unique()
        tensor([0.6225])

    Source: Yang et al., SimAM: A Simple, Parameter-Free Attention Module for Convolutional Neural
    Networks, ICML 2021, and its official code.
    """

    default_at = "conv"

    def __init__(self, channels: int, *, regularization: float = 1e-4) -> None:
        super().__init__()
        check_numbers(channels=channels)
        if regularization <= 0:
            raise ValueError(f"regularization must be positive, got {regularization}.")
        self.regularization = regularization
        self.gate = Gate("gate", init="paper")

    def forward(self, x: Tensor) -> Tensor:
        """Gate every value of (N, C, H, W)."""
        distance = (x - x.mean((2, 3), keepdim=True)).square()
        places = x.shape[2] * x.shape[3]
        # 1 // places is 1 for a single place only; a branch would fix the size in exports.
        variance = distance.mean((2, 3), keepdim=True) * (places / (places - 1 + 1 // places))
        return x * self.gate(distance / (4 * (variance + self.regularization)) + 0.5)

    def extra_repr(self) -> str:
        """The constant, for printing."""
        return f"regularization={self.regularization:g}"
