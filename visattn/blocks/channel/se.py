"""Squeeze-and-excitation: a gate for each channel."""

from torch import Tensor, nn

from visattn.blocks.fused.choice import fusable
from visattn.blocks.fused.formulas import ByMean
from visattn.blocks.gates import Gate, Init, reduced_channels, zero_


@fusable(ByMean)
class SE(nn.Module):
    r"""Squeeze-and-excitation: a gate for each channel.

    ``y = x * sigmoid(W2 relu(W1 mean_hw(x) + b1) + b2)``.

    Parameter names are those of timm's ``SEModule``, so weights move over as they are.

    Args:
        channels: C of the map.
        reduction: The hidden layer has C / reduction units.
        rd_divisor: Rounding of that number. None is the paper's and torchvision's
            ``C // reduction``; timm rounds to a multiple of 8, never below 8.
        bias: Biases on both layers: timm and torchvision have them, several ports don't.
        init: With ``"identity"`` the last layer starts at zero; see `Gate`.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``channel`` (N, C), in (0, 1) or (0, 2).

    Raises:
        ValueError: A number is below 1, or ``init`` is unknown.

    Example:
        >>> import torch
        >>> block = SE(64, init="identity")
        >>> x = torch.randn(2, 64, 7, 5)
        >>> torch.equal(block(x), x)
        True

    Source: Hu et al., Squeeze-and-Excitation Networks, arXiv:1709.01507.
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        rd_divisor: int | None = None,
        bias: bool = True,
        init: Init = "paper",
    ) -> None:
        super().__init__()
        hidden = reduced_channels(channels, reduction=reduction, rd_divisor=rd_divisor)
        self.fc1 = nn.Conv2d(channels, hidden, 1, bias=bias)
        self.activation = nn.ReLU(inplace=True)
        self.fc2 = nn.Conv2d(hidden, channels, 1, bias=bias)
        self.gate = Gate("channel", init=init)
        if init == "identity":
            zero_(self.fc2)

    def forward(self, x: Tensor) -> Tensor:
        """Gate each channel of (N, C, H, W)."""
        return x * self.of_mean(x.mean((2, 3), keepdim=True))

    def of_mean(self, mean: Tensor) -> Tensor:
        """Gates of the means, both (N, C, 1, 1)."""
        return self.gate(self.fc2(self.activation(self.fc1(mean))))
