"""Strip attention: a gate for each value from its row and its column."""

from torch import Tensor, nn

from visattn.basics.checks import check_numbers
from visattn.blocks.checks import check_odd
from visattn.blocks.gates import Gate, Init, zero_


class StripAttention(nn.Module):
    r"""Strip attention: a gate for each value from its row and its column.

    ``y = x * sigmoid(conv_h(mean_w(x)) + conv_w(mean_h(x)))``, depthwise convolutions along the
    height and along the width, their sum spread over the map.

    This is timm's ``strip``, weights and names included. The strip pooling that it is made after
    has full convolutions with BN, and a ReLU and a 1x1 convolution between the sum and the sigmoid.

    Args:
        channels: C of the map.
        kernel_size: Of both, odd.
        bias: Biases on both.
        init: With ``"identity"`` both convolutions start at zero; see `Gate`.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``gate`` (N, C, H, W), in (0, 1) or (0, 2).

    Raises:
        ValueError: A number is below 1, the kernel is even, or ``init`` is unknown.

    Example:
        >>> sum(p.numel() for p in StripAttention(256).parameters())
        1536

    Source: timm's ``StripAttn``, after Hou et al., Strip Pooling, arXiv:2003.13328.
    """

    def __init__(
        self, channels: int, *, kernel_size: int = 3, bias: bool = False, init: Init = "paper"
    ) -> None:
        super().__init__()
        check_numbers(channels=channels)
        check_odd(kernel_size)
        reach = kernel_size // 2
        self.conv_h = nn.Conv2d(
            channels, channels, (kernel_size, 1), padding=(reach, 0), groups=channels, bias=bias
        )
        self.conv_w = nn.Conv2d(
            channels, channels, (1, kernel_size), padding=(0, reach), groups=channels, bias=bias
        )
        self.gate = Gate("gate", init=init)
        if init == "identity":
            zero_(self.conv_h, self.conv_w)

    def forward(self, x: Tensor) -> Tensor:
        """Gate every value of (N, C, H, W)."""
        rows, columns = x.mean(3, keepdim=True), x.mean(2, keepdim=True)
        return x * self.gate(self.conv_h(rows) + self.conv_w(columns))
