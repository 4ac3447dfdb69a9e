"""Shuffle attention: in each group, half of the channels are gated as a whole, half by place."""

import math

import torch
from torch import Tensor, nn

from visattn.basics.checks import check_numbers
from visattn.blocks.gates import Gate, Init, check_init


class ShuffleAttention(nn.Module):
    r"""Shuffle attention: in each group half of the channels are gated as a whole, half by place.

    In each group, with the same weights for all: ``a = sigmoid(w1 mean_hw(x) + b1)`` for the first
    half of its channels, ``sigmoid(w2 norm(x) + b2)`` for the second, ``norm`` taking the mean and
    the standard deviation of each channel's places away. Then the channels are shuffled: of the two
    halves of all channels one each in turn.

    The official code's normalisation has weights of its own beside w2 and b2; they come to the
    same. With ``init="identity"`` the channels stay in their order, or nothing would be the same.

    Args:
        channels: C of the map. With an odd C the first part is one wider, there is one group, and
            no shuffle.
        groups: 64 as in the official code; fewer if twice their number doesn't divide C.
        init: Weights start at zero either way, and biases at 1 with ``"paper"``, at 0 with
            ``"identity"``; see `Gate`.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``gate`` (N, C, H, W), before the shuffle, in (0, 1)
        or (0, 2).

    Raises:
        ValueError: A number is below 1, or ``init`` is unknown.

    Example:
        >>> sum(p.numel() for p in ShuffleAttention(256).parameters())
        8

    Source: Zhang and Yang, SA-Net: Shuffle Attention for Deep Convolutional Neural Networks,
    arXiv:2102.00240, and its official code.
    """

    def __init__(self, channels: int, *, groups: int = 64, init: Init = "paper") -> None:
        super().__init__()
        check_init(init)
        check_numbers(channels=channels, groups=groups)
        even = channels % 2 == 0
        self.groups = math.gcd(groups, channels // 2) if even else 1
        self.shuffle = even and init == "paper"
        width = channels // self.groups
        self.first = (width + 1) // 2
        self.weight = nn.Parameter(torch.zeros(width, 1, 1))
        self.bias = nn.Parameter(torch.full((width, 1, 1), float(init == "paper")))
        self.gate = Gate("gate", init=init)

    def forward(self, x: Tensor) -> Tensor:
        """Gate every value of (N, C, H, W), and shuffle the channels."""
        groups = x.unflatten(1, (self.groups, -1))
        whole, placed = groups[:, :, : self.first], groups[:, :, self.first :]
        mean = whole.mean((3, 4), keepdim=True).expand_as(whole)
        centred = placed - placed.mean((3, 4), keepdim=True)
        variance = centred.square().mean((3, 4), keepdim=True)
        seen = torch.cat((mean, centred * (variance + 1e-5).rsqrt()), 2)
        logits = seen * self.weight.to(x.dtype) + self.bias.to(x.dtype)
        y = x * self.gate(logits.flatten(1, 2))
        return y.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2) if self.shuffle else y

    def extra_repr(self) -> str:
        """The groups, for printing."""
        return f"groups={self.groups}, shuffle={self.shuffle}"
