"""Outlook attention: each place says how the places around it read each other."""

import torch
from torch import Tensor, nn

from visattn.basics.checks import check_numbers
from visattn.blocks.checks import check_odd, head_count
from visattn.blocks.gates import Init, check_init
from visattn.blocks.scripting import unscriptable
from visattn.blocks.self_attention.positions import neighbour
from visattn.blocks.self_attention.readout import AddedAttention, Readout
from visattn.blocks.taps import Tap


@unscriptable("outlook attention")
class OutlookAttention(AddedAttention):
    r"""Outlook attention: each place says how the places around it read each other.

    For the window of 3x3 places around l, ``A_l = softmax(s W_a x_l)``, 9 x 9 weights in each head,
    from the place in its middle alone, without keys; ``o_lp = sum_q A_l[p, q] v_(l+q)`` for each
    place l + p of it, and ``y_i = x_i + BN(W sum_p o_(i-p)p)``: what i has got in all of the
    windows that it is in. s is ``1 / sqrt(C / heads)``. Beyond the map there are zeros.

    VOLO has windows 2 apart and a layer normalisation before; this is timm's module with a stride
    of 1, whose last layer starts at zero here.

    Args:
        channels: C of the map.
        heads: Their number, a divisor of ``channels``; 4 or the next smaller one if None.
        kernel_size: Side of the windows, odd; the weights of a place are its fourth power.
        norm: BN after the last convolution.
        init: ``"paper"`` or ``"identity"``, the same here: what is added starts at zero.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``spatial`` (N, H, W), how much of each place is
        read in all windows, the mean over the heads; 9 at most.

    Raises:
        ValueError: A number is below 1, the kernel is even, or the heads don't divide the channels.

    Example:
        >>> sum(p.numel() for p in OutlookAttention(256).parameters())
        215108

    Source: Yuan et al., VOLO: Vision Outlooker for Visual Recognition, arXiv:2106.13112.
    """

    def __init__(
        self,
        channels: int,
        *,
        heads: int | None = None,
        kernel_size: int = 3,
        norm: bool = True,
        init: Init = "paper",
    ) -> None:
        super().__init__()
        check_init(init)
        check_numbers("OutlookAttention", channels=channels)
        check_odd(kernel_size)
        self.heads = head_count("OutlookAttention", heads, channels=channels)
        self.side = kernel_size
        self.scale = (channels // self.heads) ** -0.5
        self.value = nn.Conv2d(channels, channels, 1, bias=False)
        self.weigh = nn.Conv2d(channels, self.heads * kernel_size**4, 1)
        self.tap = Tap("spatial")
        self.readout = Readout(channels, channels, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        """Add to each place of (N, C, H, W) what it gets in the windows that it is in."""
        places = self.side**2
        logits = self.weigh(x).unflatten(1, (self.heads, places, places))
        weights = (logits * self.scale).softmax(3)
        value = self.value(x).unflatten(1, (self.heads, -1))
        held = torch.stack([neighbour(value, q, side=self.side) for q in range(places)], 2)
        told = torch.einsum("nhpqyx,nhqdyx->nhpdyx", weights, held.to(weights.dtype))
        taken = weights.mean(1).sum(1)
        back = range(places - 1, -1, -1)  # what lies at +p of a window has it at -p
        seen = [neighbour(taken[:, q : q + 1], b, side=self.side) for q, b in enumerate(back)]
        self.tap(torch.stack(seen).sum(0))
        read = neighbour(told[:, :, 0], places - 1, side=self.side)
        for p in range(1, places):
            read = read + neighbour(told[:, :, p], places - 1 - p, side=self.side)
        return x + self.readout(read.flatten(1, 2))

    def extra_repr(self) -> str:
        """The heads and the window, for printing."""
        return f"heads={self.heads}, kernel_size={self.side}"
