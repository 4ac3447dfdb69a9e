"""Normalisation-based attention: the weights of a BN say which channels matter."""

from torch import Tensor, nn

from visattn.basics.checks import check_numbers
from visattn.blocks.batch_norm import SafeBatchNorm2d
from visattn.blocks.gates import Gate


class NormAttention(nn.Module):
    r"""Normalisation-based attention: the weights of a BN say which channels matter.

    ``y = x * sigmoid(w_c BN(x))`` with ``w_c = |gamma_c| / sum |gamma|``, gamma the weights of the
    BN: a channel that varies much has a large one, and a penalty on them prunes the rest.

    This is the channel gate, the only one that the official code has; the paper speaks of the same
    over places, too, which would fix the size of the map. There the weights aren't taken as
    absolute values.

    It has no ``init``: weights of zero have no shares.

    Args:
        channels: C of the map.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``gate`` (N, C, H, W), in (0, 1).

    Raises:
        ValueError: ``channels`` is below 1.

    Example:
        >>> sum(p.numel() for p in NormAttention(256).parameters())
        512

    Source: Liu et al., NAM: Normalization-based Attention Module, arXiv:2111.12419, and its
    official code.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        check_numbers(channels=channels)
        self.bn = SafeBatchNorm2d(channels)
        self.gate = Gate("gate", init="paper")

    def forward(self, x: Tensor) -> Tensor:
        """Gate every value of (N, C, H, W)."""
        size = self.bn.weight.abs().to(x.dtype)
        share = (size / size.sum()).unsqueeze(1).unsqueeze(2)
        return x * self.gate(self.bn(x) * share)
