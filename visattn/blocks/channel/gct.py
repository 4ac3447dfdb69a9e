"""Gated channel transformation: channels compete or help each other by their norms."""

import torch
from torch import Tensor, nn

from visattn.basics.checks import check_numbers
from visattn.blocks.gates import Init, check_init
from visattn.blocks.taps import Tap


class GatedChannels(nn.Module):
    r"""Gated channel transformation: channels compete or help each other by their norms.

    ``s_c = alpha_c |x_c|``, with the L2 norm over the places, and
    ``y = x * (1 + tanh(gamma_c s_c / rms_c(s) + beta_c))``, with the root of the mean square over
    the channels. A positive gamma makes channels compete, a negative one brings them together.

    The paper adds 1e-5 under both roots; here norms below the root of it count as that, so that
    half precision squares nothing.

    Args:
        channels: C of the map.
        init: ``"paper"`` or ``"identity"``, the same here: gamma and beta start at zero.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``channel`` (N, C), in (0, 2).

    Raises:
        ValueError: ``channels`` is below 1, or ``init`` is unknown.

    Example:
        >>> sum(p.numel() for p in GatedChannels(256).parameters())
        768

    Source: Yang et al., Gated Channel Transformation for Visual Recognition, arXiv:1909.11519, and
    its official code.
    """

    def __init__(self, channels: int, *, init: Init = "paper") -> None:
        super().__init__()
        check_init(init)
        check_numbers(channels=channels)
        self.alpha = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.root = channels**0.5
        self.tap = Tap("channel")

    def forward(self, x: Tensor) -> Tensor:
        """Gate each channel of (N, C, H, W)."""
        least = 1e-5**0.5
        norm = torch.linalg.vector_norm(x, dim=(2, 3), keepdim=True).clamp(min=least)
        embedded = norm * self.alpha.to(x.dtype)
        rms = torch.linalg.vector_norm(embedded, dim=1, keepdim=True) / self.root
        share = embedded / rms.clamp(min=least)
        logits = share * self.gamma.to(x.dtype) + self.beta.to(x.dtype)
        return x * self.tap(1 + torch.tanh(logits))
