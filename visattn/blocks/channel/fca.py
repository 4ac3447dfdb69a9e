"""Frequency channel attention: squeeze-and-excitation with a frequency for each channel."""

import math

import torch
from torch import Tensor, nn

from visattn.basics.checks import check_numbers
from visattn.basics.leaves import leaf_module
from visattn.blocks.gates import Gate, Init, reduced_channels, zero_
from visattn.blocks.resampling import bins
from visattn.blocks.scripting import unscriptable

FREQUENCIES = (
    (0, 0), (0, 1), (6, 0), (0, 5), (0, 2), (1, 0), (1, 2), (4, 0),
    (5, 0), (1, 6), (3, 0), (0, 4), (0, 6), (0, 3), (3, 5), (2, 2),
)  # fmt: skip
"""The 16 pairs (in rows, in columns) that the paper found best one by one, best first."""


@unscriptable("frequency channel attention")
class FrequencyChannelAttention(nn.Module):
    r"""Frequency channel attention: squeeze-and-excitation with a frequency for each channel.

    ``y = x * sigmoid(W2 relu(W1 z))`` with ``z_c = sum_hw p_c(h, w) b_u(h) b_v(w)``: p is the map,
    pooled to ``grid x grid`` places, and ``b_u(h) = cos(pi u (h + 1/2) / grid) / sqrt(grid)``,
    times sqrt(2) if u > 0, the basis of the discrete cosine transform. The channels are shared out
    evenly, in their order, among the frequencies (u, v); squeeze-and-excitation is (0, 0) for all,
    but for a factor of ``grid``.

    The official code pools only maps of another size than its own; pooling a map to its own size
    changes nothing, so this is the same. Its ResNets have a grid of 56, 28, 14 and 7 in the four
    stages, with the frequencies of 7 stretched by grid / 7.

    Args:
        channels: C of the map.
        reduction: The hidden layer has ``C // reduction`` units, at least the 4 of the paper's
            narrowest map: without biases a single one may never open.
        frequencies: How many of the best 16; fewer if they don't divide C.
        grid: As above, a multiple of 7.
        init: With ``"identity"`` the last layer starts at zero; see `Gate`.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``channel`` (N, C), in (0, 1) or (0, 2).

    Raises:
        ValueError: A number is out of its range, or ``init`` is unknown.

    Example:
        >>> sum(p.numel() for p in FrequencyChannelAttention(256).parameters())
        8192

    Source: Qin et al., FcaNet: Frequency Channel Attention Networks, arXiv:2012.11879, and its
    official code.
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        frequencies: int = 16,
        grid: int = 7,
        init: Init = "paper",
    ) -> None:
        super().__init__()
        check_numbers(frequencies=frequencies, grid=grid)
        if frequencies > len(FREQUENCIES) or grid % 7:
            raise ValueError(
                f"frequencies must be at most {len(FREQUENCIES)} and grid a multiple of 7, got"
                f" {frequencies} and {grid}."
            )
        hidden = max(4, reduced_channels(channels, reduction=reduction))
        self.squeeze = Frequencies(math.gcd(frequencies, channels), grid=grid)
        self.fc1 = nn.Conv2d(channels, hidden, 1, bias=False)
        self.activation = nn.ReLU(inplace=True)
        self.fc2 = nn.Conv2d(hidden, channels, 1, bias=False)
        self.gate = Gate("channel", init=init)
        if init == "identity":
            zero_(self.fc2)

    def forward(self, x: Tensor) -> Tensor:
        """Gate each channel of (N, C, H, W)."""
        return x * self.gate(self.fc2(self.activation(self.fc1(self.squeeze(x)))))


@leaf_module
class Frequencies(nn.Module):
    """The share of a frequency in each channel, (N, C, H, W) to (N, C, 1, 1)."""

    def __init__(self, count: int, *, grid: int) -> None:
        super().__init__()
        self.count, self.grid = count, grid

    def forward(self, x: Tensor) -> Tensor:
        """Pooling and transform are one matrix for each axis."""
        rows, columns = (self._waves(axis, x) for axis in (0, 1))
        down = rows @ bins(x.shape[2], self.grid, x)
        across = columns @ bins(x.shape[3], self.grid, x)
        shares = x.unflatten(1, (self.count, -1))
        seen = (shares * down[:, None, :, None] * across[:, None, None]).sum((3, 4))
        return seen.flatten(1).unsqueeze(2).unsqueeze(3)

    def _waves(self, axis: int, like: Tensor) -> Tensor:
        """(count, grid), the basis along an axis; nothing that a file of weights could lack."""
        chosen = [pair[axis] * (self.grid // 7) for pair in FREQUENCIES[: self.count]]
        number = torch.tensor(chosen, device=like.device).unsqueeze(1)
        place = (torch.arange(self.grid, device=like.device) + 0.5) / self.grid
        waves = torch.cos(math.pi * number * place) * self.grid**-0.5
        return torch.where(number > 0, waves * 2**0.5, waves).to(like.dtype)

    def extra_repr(self) -> str:
        """Frequencies and grid, for printing."""
        return f"frequencies={self.count}, grid={self.grid}"
