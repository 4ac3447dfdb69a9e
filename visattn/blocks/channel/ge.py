"""Gather-excite: a gate for each channel from a neighbourhood, or from the whole map."""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visattn.basics.checks import check_choice, check_numbers
from visattn.blocks.batch_norm import SafeBatchNorm2d
from visattn.blocks.gates import Gate, Init, reduced_channels, zero_

Gather = Literal["mean", "conv"]


class GatherExcite(nn.Module):
    r"""Gather-excite: a gate for each channel from a neighbourhood, or from the whole map.

    ``y = x * sigmoid(up(excite(gather(x))))``, ``up`` the nearest value of the coarser map.

    - ``gather="conv"``: depthwise 3x3 convolutions of stride 2, each with BN, with a ReLU between
      them, as many as halve the map down to the extent; ``"mean"``: means over
      ``2 extent - 1`` places, ``extent`` apart.
    - ``excite``: two 1x1 convolutions with a ReLU between them, or nothing with ``mlp=False``.

    The paper's theta-minus is ``gather="mean", mlp=False``, theta ``mlp=False``, and theta-plus the
    default here. The mean of the whole map with an MLP, ``extent=0, gather="mean"`` and timm's
    default, is squeeze-and-excitation. timm 1.0.31 can't build its MLP or its convolutions.

    Args:
        channels: C of the map.
        extent: Side of the neighbourhood, a power of 2; 0 is the whole map, for ``"mean"`` alone.
        gather: ``"conv"`` or ``"mean"``, as above.
        mlp: With the two convolutions.
        reduction: Between them there are ``C // reduction`` channels, at least 1.
        init: With ``"identity"`` the last layer starts at zero, or without any layer a trained
            factor on the logits does; see `Gate`.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``gate`` (N, C, H, W), or ``channel`` (N, C) of the
        whole map, in (0, 1) or (0, 2).

    Raises:
        ValueError: A number is out of its range, or a name is unknown.

    Example:
        >>> sum(p.numel() for p in GatherExcite(256).parameters())
        14096

    Source: Hu et al., Gather-Excite, arXiv:1810.12348.
    """

    def __init__(
        self,
        channels: int,
        *,
        extent: int = 4,
        gather: Gather = "conv",
        mlp: bool = True,
        reduction: int = 16,
        init: Init = "paper",
    ) -> None:
        super().__init__()
        check_choice("gather", gather, get_args(Gather))
        check_numbers(least=0, extent=extent)
        if extent & (extent - 1) or extent == 1 or (gather == "conv" and not extent):
            raise ValueError(
                "extent must be a power of 2 from 2 on, or 0 with gather='mean' (a convolution"
                f" over the whole map would fix its size), got {extent} with {gather!r}."
            )
        hidden = reduced_channels(channels, reduction=reduction)
        self.extent = extent
        self.gather = nn.Sequential()
        if gather == "conv":
            for _ in range(extent.bit_length() - 1):
                layer = nn.Conv2d(
                    channels, channels, 3, stride=2, padding=1, groups=channels, bias=False
                )
                self.gather.extend([layer, SafeBatchNorm2d(channels), nn.ReLU()])
            del self.gather[-1]
        self.excite = nn.Sequential()
        if mlp:
            ends = nn.Conv2d(channels, hidden, 1), nn.Conv2d(hidden, channels, 1)
            self.excite = nn.Sequential(ends[0], nn.ReLU(), ends[1])
        layers = [*self.gather, *self.excite]
        still = init == "identity" and not layers
        self.strength = nn.Parameter(torch.zeros(1)) if still else None
        self.gate = Gate("gate" if extent else "channel", init=init)
        if init == "identity" and layers:
            zero_(layers[-1])

    def forward(self, x: Tensor) -> Tensor:
        """Gate each channel of (N, C, H, W), neighbourhood by neighbourhood."""
        if len(self.gather):
            seen = self.gather(x)
        elif self.extent:
            seen = F.avg_pool2d(
                x, 2 * self.extent - 1, self.extent, self.extent - 1, count_include_pad=False
            )
        else:
            seen = x.mean((2, 3), keepdim=True)
        logits = self.excite(seen)
        if self.strength is not None:
            logits = logits * self.strength.to(logits.dtype)
        if self.extent:
            logits = F.interpolate(logits, x.shape[2:])
        return x * self.gate(logits)

    def extra_repr(self) -> str:
        """The extent, for printing."""
        return f"extent={self.extent}"
