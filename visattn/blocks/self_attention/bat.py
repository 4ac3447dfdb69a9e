"""Bilinear attentional transform: one matrix mixes the rows of a map, another the columns."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visattn.attention import with_places
from visattn.basics.checks import check_numbers
from visattn.basics.leaves import leaf_function
from visattn.blocks.batch_norm import with_norm
from visattn.blocks.checks import check_groups
from visattn.blocks.gates import reduced_channels
from visattn.blocks.resampling import bins
from visattn.blocks.self_attention.readout import AddedAttention
from visattn.blocks.taps import PairwiseTap


class BilinearTransform(AddedAttention):
    r"""Bilinear attentional transform: rows are mixed by one matrix, columns by another.

    ``y = x + up(mix(P h Q))`` with ``h = down(x)``; down, mix and up are 1x1 convolutions with BN
    and ReLU. In each group of h's channels P comes from the maxima of ``parts`` bands of rows and
    Q from those of bands of columns, of a map of one channel a group: convolutions and a sigmoid
    give ``parts x parts`` numbers, normalised over what is read. P mixes the bands, place by place
    at the same depth of each band, so each place reads from up to ``parts x parts`` others.

    timm's refuses maps whose sides are no multiples of ``parts``. Here the last bands are then
    thinner, or missing, and what they lack is left out of the normalisation. In training timm
    drops a fifth of the channels of what is added, here a share of ``drop``.

    Args:
        channels: C of the map.
        parts: Bands of rows, and of columns.
        groups: Each has a P and a Q of its own; a divisor of h's channels.
        reduction: h has ``channels / reduction`` channels, to the nearest multiple of
            ``rd_divisor``.
        rd_divisor: ``groups`` if None; 8 in timm.
        drop: Share of the channels that are dropped in training, at least 0 and below 1.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``pairwise``, a head a group, query and key grid
        (H, W): the product of what P and Q read, whose rows sum to 1.

    Raises:
        ValueError: A number is out of its range, or the groups don't divide h's channels.

    Example:
        >>> sum(p.numel() for p in BilinearTransform(256).parameters())
        40704

    Source: Chi et al., Non-Local Neural Networks With Grouped Bilinear Attentional Transforms,
    CVPR 2020; timm's ``BatNonLocalAttn``.
    """

    timm_names: ClassVar[dict[str, str]] = {
        f"{theirs}.{part}.": f"{ours}.{index}."
        for theirs, ours in {
            "conv1": "down", "ba.conv1": "look", "ba.conv2": "mix", "conv2": "up",
        }.items()
        for index, part in enumerate(("conv", "bn"))
    } | {"ba.conv_p.": "rows.", "ba.conv_q.": "columns."}  # fmt: skip

    def __init__(
        self,
        channels: int,
        *,
        parts: int = 7,
        groups: int = 2,
        reduction: int = 4,
        rd_divisor: int | None = None,
        drop: float = 0.0,
    ) -> None:
        super().__init__()
        check_numbers("BilinearTransform", channels=channels, parts=parts, groups=groups)
        if not 0 <= drop < 1:
            raise ValueError(f"drop must be at least 0 and below 1, got {drop}.")
        width = reduced_channels(channels, reduction=reduction, rd_divisor=rd_divisor or groups)
        check_groups("BilinearTransform", groups, taken=width, given=width)
        self.parts, self.groups = parts, groups
        self.down = with_norm(nn.Conv2d(channels, width, 1, bias=False))
        self.look = with_norm(nn.Conv2d(width, groups, 1, bias=False))
        self.rows = nn.Conv2d(groups, groups * parts**2, (parts, 1))
        self.columns = nn.Conv2d(groups, groups * parts**2, (1, parts))
        self.mix = with_norm(nn.Conv2d(width, width, 1, bias=False))
        self.up = with_norm(nn.Conv2d(width, channels, 1, bias=False))
        self.drop = nn.Dropout2d(drop)
        self.tap = PairwiseTap(bilinear_weights)

    def forward(self, x: Tensor) -> Tensor:
        """Add to each place of (N, C, H, W) what it reads from all bands."""
        size = (x.shape[2], x.shape[3])
        held = self.down(x)
        look = self.look(held)
        of_rows = _maxima(look.amax(3), size[0], self.parts).unsqueeze(3)
        of_columns = _maxima(look.amax(2), size[1], self.parts).unsqueeze(2)
        grid = (self.groups, self.parts, self.parts)
        rows = _reads(self.rows(of_rows).flatten(1).unflatten(1, grid), size[0])
        columns = self.columns(of_columns).flatten(1).unflatten(1, grid).transpose(2, 3)
        columns = _reads(columns, size[1])
        asked = torch.cat(
            (
                rows.unsqueeze(3).expand(-1, -1, -1, size[1], -1),
                columns.unsqueeze(2).expand(-1, -1, size[0], -1, -1),
            ),
            -1,
        ).flatten(2, 3)
        self.tap(asked, with_places(asked[..., :1], size=size), size, size)
        left, right = rows.unsqueeze(2), columns.transpose(2, 3).unsqueeze(2)
        read = (left @ held.unflatten(1, (self.groups, -1)) @ right).flatten(1, 2)
        return x + self.drop(self.up(self.mix(read)))

    def extra_repr(self) -> str:
        """The bands and groups, for printing."""
        return f"parts={self.parts}, groups={self.groups}"


def bilinear_weights(query: Tensor, key: Tensor) -> Tensor:
    """Weights (..., T, S) from what each place reads of the rows and of the columns.

    Args:
        query: (..., T, H + W), those two side by side.
        key: (..., S, 3), the last two each place's row and column.
    """
    row, column = key.flatten(0, -3)[0, :, -2:].long().unbind(-1)
    return query[..., row] * query[..., row.amax() + 1 + column]


@leaf_function
def _maxima(x: Tensor, length: int, parts: int) -> Tensor:
    """(N, G, length) to (N, G, parts), as adaptive maximum pooling has them."""
    outside = bins(length, parts, x) == 0
    return x.unsqueeze(2).masked_fill(outside, -torch.inf).amax(3)


@leaf_function
def _reads(logits: Tensor, length: int) -> Tensor:
    """(N, G, parts, parts) between bands to (N, G, length, length) between places, rows sum to 1.

    A softmax of the sigmoid's logarithm is the sigmoid divided by its sum.
    """
    parts = logits.shape[3]
    thick = (length + parts - 1) // parts
    place = torch.arange(length, device=logits.device)
    band = place // thick
    depth = place - band * thick
    scores = F.logsigmoid(logits)[..., band, :][..., band]
    return scores.masked_fill(depth != depth[:, None], -torch.inf).softmax(3)
