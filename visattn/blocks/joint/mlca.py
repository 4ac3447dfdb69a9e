"""Mixed local channel attention: neighbouring channels' gates, of the map and of its parts."""

from torch import Tensor, nn

from visattn.basics.checks import check_numbers
from visattn.blocks.channel.eca import eca_kernel_size
from visattn.blocks.gates import Init, check_init, zero_
from visattn.blocks.resampling import bins
from visattn.blocks.scripting import unscriptable
from visattn.blocks.taps import Tap


@unscriptable("mixed local channel attention")
class MixedLocalChannelAttention(nn.Module):
    r"""Mixed local channel attention: gates from neighbouring channels, of the map and its parts.

    The map is pooled to a grid of 5 x 5 means m. ``l = sigmoid(conv1d(m))`` along the channels of
    one part after those of the other, ``g = sigmoid(conv1d(mean(m)))`` along the channels, and
    ``y = x * unpool(w l + (1 - w) g)``, where the unpooling averages the parts that a place is in.

    So the convolution of the last channel of a part sees the first one of the next, as in the
    official code. The kernels are ECA's there without the least of 3 (here with it); its first
    version mixed up the images of a batch.

    Args:
        channels: C of the map.
        kernel_size: Odd; ECA's if None.
        grid: Parts along an axis.
        local: w.
        init: With ``"identity"`` both kernels start at zero and the gate is doubled; see `Gate`.

    Shapes:
        (N, C, H, W) to (N, C, H, W). Recorded: ``gate`` (N, C, H, W), in (0, 1) or (0, 2).

    Raises:
        ValueError: A number is out of its range, or ``init`` is unknown.

    Example:
        >>> sum(p.numel() for p in MixedLocalChannelAttention(256).parameters())
        10

    Source: Wan et al., Mixed local channel attention for object detection, Engineering Applications
    of Artificial Intelligence 123, 2023, and its official code.
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int | None = None,
        grid: int = 5,
        local: float = 0.5,
        init: Init = "paper",
    ) -> None:
        super().__init__()
        check_init(init)
        check_numbers(channels=channels, kernel_size=kernel_size, grid=grid)
        size = kernel_size or eca_kernel_size(channels)
        if size % 2 == 0 or not 0 <= local <= 1:
            raise ValueError(f"kernel_size must be odd and local in [0, 1], got {size}, {local}.")
        self.grid, self.share = grid, local
        self.whole = nn.Conv1d(1, 1, size, padding=size // 2, bias=False)
        self.local = nn.Conv1d(1, 1, size, padding=size // 2, bias=False)
        self.scale = 2.0 if init == "identity" else 1.0
        self.tap = Tap("gate")
        if init == "identity":
            zero_(self.whole, self.local)

    def forward(self, x: Tensor) -> Tensor:
        """Gate every value of (N, C, H, W)."""
        height, width = x.shape[2], x.shape[3]
        parts = bins(height, self.grid, x) @ x @ bins(width, self.grid, x).T
        of_whole = self.whole(parts.mean((2, 3)).unsqueeze(1)).sigmoid()
        in_line = parts.flatten(2).transpose(1, 2).flatten(1).unsqueeze(1)
        of_parts = self.local(in_line).sigmoid().unflatten(2, (self.grid**2, -1)).squeeze(1)
        mixed = self.scale * (of_whole + self.share * (of_parts - of_whole))
        mixed = mixed.transpose(1, 2).unflatten(2, (self.grid, self.grid))
        # Around 1, so that a gate of 1 stays exactly that.
        up, along = bins(self.grid, height, x), bins(self.grid, width, x)
        return x * self.tap(1 + up @ (mixed - 1) @ along.T)

    def extra_repr(self) -> str:
        """Grid and share, for printing."""
        return f"grid={self.grid}, local={self.share:g}"
