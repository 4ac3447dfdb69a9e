"""Global attention mechanism: a gate for each value from its place, then one from its plane."""

from torch import Tensor, nn

from visattn.blocks.batch_norm import SafeBatchNorm2d, with_norm
from visattn.blocks.checks import check_odd
from visattn.blocks.gates import Gate, Init, reduced_channels, zero_


class GlobalAttention(nn.Module):
    r"""Global attention mechanism: a gate for each value from its place, then from around it.

    ``y = x * sigmoid(W2 relu(W1 x))``, an MLP at each place, without a mean over the places; then
    ``y * sigmoid(BN(conv7x7(relu(BN(conv7x7(y))))))``, C / r channels between the convolutions.

    Many copies, and a first version of the official code, leave out the first sigmoid. The blocks
    are heavy; the official code offers groups for the convolutions.

    Args:
        channels: C of the map.
        reduction: r of both, ``C // reduction`` channels, at least 1.
        kernel_size: Of both convolutions, odd.
        init: With ``"identity"`` the MLP's last layer and the last BN start at zero; see `Gate`.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded as ``gate``: ``channel`` and ``spatial``, both
        (N, C, H, W), in (0, 1) or (0, 2).

    Raises:
        ValueError: A number is below 1, the kernel is even, or ``init`` is unknown.

    Example:
        >>> sum(p.numel() for p in GlobalAttention(256).parameters())
        1639680

    Source: Liu et al., Global Attention Mechanism, arXiv:2112.05561, and its official code.
    """

    def __init__(
        self, channels: int, *, reduction: int = 4, kernel_size: int = 7, init: Init = "paper"
    ) -> None:
        super().__init__()
        check_odd(kernel_size)
        hidden = reduced_channels(channels, reduction=reduction)
        reach = kernel_size // 2
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, channels, 1)
        self.channel = Gate("gate", init=init)
        self.reduce = with_norm(nn.Conv2d(channels, hidden, kernel_size, padding=reach))
        self.conv = nn.Conv2d(hidden, channels, kernel_size, padding=reach)
        self.bn = SafeBatchNorm2d(channels)
        self.spatial = Gate("gate", init=init)
        if init == "identity":
            zero_(self.fc2, self.bn)

    def forward(self, x: Tensor) -> Tensor:
        """Gate every value of (N, C, H, W), twice."""
        x = x * self.channel(self.fc2(self.fc1(x).relu()))
        return x * self.spatial(self.bn(self.conv(self.reduce(x))))
