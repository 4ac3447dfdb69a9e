"""External attention: places read from a small memory that all images share."""

from torch import Tensor, nn

from visattn.basics.checks import check_numbers
from visattn.blocks.gates import Init, check_init
from visattn.blocks.self_attention.readout import AddedAttention, Readout
from visattn.blocks.taps import Tap


class ExternalAttention(AddedAttention):
    r"""External attention: places read from a small memory that all images share.

    ``y = x + BN(W (M_v a))``: with q from a 1x1 convolution, ``s = softmax_i(M_k q_i)`` over the
    places for each of S learned vectors, and ``a`` is s divided by its sum over the vectors, for
    each place. The cost is linear in the number of places.

    Many copies take the softmax over the vectors and the sum over the places. The official code has
    a ReLU after the addition, which the network around it has here, and starts M_v as the transpose
    of M_k.

    Args:
        channels: C of the map.
        memory: S.
        norm: BN after the last convolution.
        init: ``"paper"`` or ``"identity"``, the same here: what is added starts at zero.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``spatial`` (N, H, W), the mean of s over the
        vectors, which sums to 1.

    Raises:
        ValueError: A number is below 1, or ``init`` is unknown.

    Example:
        >>> sum(p.numel() for p in ExternalAttention(256).parameters())
        164864

    Source: Guo et al., Beyond Self-attention: External Attention using Two Linear Layers,
    arXiv:2105.02358, and its official code.
    """

    def __init__(
        self, channels: int, *, memory: int = 64, norm: bool = True, init: Init = "paper"
    ) -> None:
        super().__init__()
        check_init(init)
        check_numbers("ExternalAttention", channels=channels, memory=memory)
        self.query = nn.Conv2d(channels, channels, 1)
        self.key = nn.Conv2d(channels, memory, 1, bias=False)
        self.value = nn.Conv2d(memory, channels, 1, bias=False)
        self.value.weight.data.copy_(self.key.weight.data.transpose(0, 1))
        self.tap = Tap("spatial")
        self.readout = Readout(channels, channels, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        """Add to each place of (N, C, H, W) what it reads from the memory."""
        seen = self.key(self.query(x)).flatten(2).softmax(2).unflatten(2, x.shape[2:])
        self.tap(seen.mean(1, keepdim=True))
        shares = seen / seen.sum(1, keepdim=True).clamp(min=1e-7)
        return x + self.readout(self.value(shares))
