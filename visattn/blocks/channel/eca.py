"""Efficient channel attention: a gate for each channel from its neighbours."""

import math
from typing import Literal, get_args

from torch import Tensor, nn

from visattn.basics.checks import check_choice, check_numbers
from visattn.blocks.checks import check_odd
from visattn.blocks.fused.choice import fusable
from visattn.blocks.fused.formulas import ByMean
from visattn.blocks.gates import Gate, Init, reduced_channels, zero_

Padding = Literal["zeros", "circular"]


@fusable(ByMean)
class ECA(nn.Module):
    r"""Efficient channel attention: a gate for each channel from its neighbours.

    ``y = x * sigmoid(conv1d(mean_hw(x)))``, a convolution along the channels, without a bias.

    The paper derives the kernel from C: the odd number next to ``(log2(C) + 1) / 2``, and its code
    and timm at least 3. The official checkpoints have kernels chosen by hand, one a stage, such
    as 3, 5, 5 and 7 for ResNet-50: give those by ``kernel_size``.

    With a ``reduction`` there are two convolutions, ``conv2(relu(conv(.)))`` with biases, of which
    the first, 1 wide, makes C / reduction values of each mean: timm's ``ecam``, an experiment of
    its own.

    Parameter names are those of the official code and of timm's ``EcaModule`` and ``CecaModule``.

    Args:
        channels: C of the map.
        kernel_size: Odd; from C if None.
        padding: At both ends of the channels: ``"zeros"`` as in the paper, or ``"circular"`` as in
            timm's ``ceca``, where the first and the last channel are neighbours.
        reduction: See above; ``ecam``'s is 8. None is the paper's single convolution.
        rd_divisor: Rounding of C / reduction, as in timm.
        init: With ``"identity"`` the kernel starts at zero; see `Gate`.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``channel`` (N, C), in (0, 1) or (0, 2).

    Raises:
        ValueError: A number is below 1, ``kernel_size`` is even or reaches around a circle of
            channels more than once, or a name is unknown.

    Example:
        >>> sum(p.numel() for p in ECA(256).parameters())
        5

    Source: Wang et al., ECA-Net, arXiv:1910.03151, and its official code.
    """

    __constants__ = ("deep",)
    deep = False  # of blocks that were pickled without it

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int | None = None,
        padding: Padding = "zeros",
        reduction: int | None = None,
        rd_divisor: int | None = None,
        init: Init = "paper",
    ) -> None:
        super().__init__()
        check_choice("padding", padding, get_args(Padding))
        check_numbers(channels=channels)
        size = eca_kernel_size(channels) if kernel_size is None else kernel_size
        check_odd(size)
        reach = size // 2
        if padding == "circular" and reach > channels:
            raise ValueError(
                f"kernel_size must be at most {2 * channels + 1} for {channels} channels in a"
                f" circle, got {size}."
            )
        wide = 1
        if reduction is not None:
            wide = reduced_channels(channels, reduction=reduction, rd_divisor=rd_divisor)
        last = nn.Conv1d(
            wide, 1, size, padding=reach, padding_mode=padding, bias=reduction is not None
        )
        self.conv = last if reduction is None else nn.Conv1d(1, wide, 1)
        self.deep = reduction is not None
        if reduction is not None:
            self.conv2 = last
        self.gate = Gate("channel", init=init)
        if init == "identity":
            zero_(last)

    def forward(self, x: Tensor) -> Tensor:
        """Gate each channel of (N, C, H, W)."""
        return x * self.of_mean(x.mean((2, 3), keepdim=True))

    def of_mean(self, mean: Tensor) -> Tensor:
        """Gates of the means, both (N, C, 1, 1)."""
        logits = self.conv(mean.flatten(1).unsqueeze(1))
        if self.deep:
            logits = self.conv2(logits.relu())
        return self.gate(logits.transpose(1, 2).unsqueeze(3))


def eca_kernel_size(channels: int) -> int:
    """The odd number next to ``(log2(channels) + 1) / 2``, rounded as in the paper's code, >= 3.

    Example:
        >>> [eca_kernel_size(c) for c in (1, 64, 128, 512, 2048)]
        [3, 3, 5, 5, 7]
    """
    size = int((math.log2(channels) + 1) / 2)
    return max(3, size if size % 2 else size + 1)
