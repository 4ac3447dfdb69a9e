"""The copying task: say again, in order, what was said; and four kinds of network for it."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal, final

import torch
from torch import Tensor, nn

from visattn.attention import MultiHeadAttention, sine_positions
from visattn.basics.suggestions import check_name

CopierName = Literal["feed_forward", "convolution", "recurrence", "attention"]
BLANK = 0
"""Number of the word that stands where a copy is to be put; symbols begin at 1."""


def copying_batch(
    count: int, *, length: int, symbols: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Random symbols with as many blanks after them, and the copy that belongs there.

    Args:
        count: N.
        length: How many symbols.
        symbols: How many different ones.
        generator: Of the random numbers; PyTorch's own if None.

    Returns:
        Input (N, 2 * length), `BLANK` in the second half, and target (N, length).

    Example:
        >>> given, wanted = copying_batch(2, length=3, symbols=8)
        >>> torch.equal(given[:, :3], wanted), given[0, 3:].tolist()
        (True, [0, 0, 0])
    """
    target = torch.randint(1, symbols + 1, (count, length), generator=generator)
    return torch.cat((target, torch.full_like(target, BLANK)), 1), target


class Copier(nn.Module, ABC):
    """A network from inputs (N, 2 * length) to logits of the copy (N, length, symbols + 1).

    Attributes:
        path: Layers, or steps, between a symbol and its copy.
    """

    path: int

    def __init__(self, symbols: int, *, length: int, channels: int) -> None:
        super().__init__()
        self.length = length
        self.embedding = nn.Embedding(symbols + 1, channels)

    @abstractmethod
    def forward(self, given: Tensor) -> Tensor:
        """Logits of the copy."""


@final
class FeedForwardCopier(Copier):
    """All symbols at once through one hidden layer, and so two layers; of a fixed length."""

    def __init__(self, symbols: int, *, length: int, channels: int) -> None:
        super().__init__(symbols, length=length, channels=channels)
        self.path = 2
        self.layers = nn.Sequential(
            nn.Linear(length * channels, 4 * channels),
            nn.ReLU(),
            nn.Linear(4 * channels, length * (symbols + 1)),
        )

    def forward(self, given: Tensor) -> Tensor:
        """Logits of the copy."""
        x = self.embedding(given[:, : self.length]).flatten(1)
        logits: Tensor = self.layers(x)
        return logits.unflatten(1, (self.length, -1))


@final
class ConvolutionCopier(Copier):
    """Residual convolutions, as many as it takes to reach from symbol to copy, or more.

    The path is as many layers as it takes to get there, however many there are.
    """

    def __init__(
        self,
        symbols: int,
        *,
        length: int,
        channels: int,
        kernel_size: int = 5,
        layers: int | None = None,
    ) -> None:
        super().__init__(symbols, length=length, channels=channels)
        if kernel_size < 3 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and at least 3, got {kernel_size}")
        reach = kernel_size // 2
        self.path = -(-length // reach)
        if layers is not None and layers < self.path:
            raise ValueError(
                f"{layers} layers of width {kernel_size} reach {layers * reach} places, the"
                f" copy lies {length} away: give at least {self.path} layers"
            )
        self.layers = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel_size, padding=reach)
            for _ in range(self.path if layers is None else layers)
        )
        self.out = nn.Linear(channels, symbols + 1)

    def forward(self, given: Tensor) -> Tensor:
        """Logits of the copy."""
        x = self.embedding(given).transpose(1, 2)
        for layer in self.layers:
            x = x + torch.relu(layer(x))
        logits: Tensor = self.out(x.transpose(1, 2)[:, self.length :])
        return logits


@final
class RecurrentCopier(Copier):
    """An LSTM that reads symbols and then blanks, a step a word."""

    def __init__(self, symbols: int, *, length: int, channels: int) -> None:
        super().__init__(symbols, length=length, channels=channels)
        self.path = length
        self.recurrent = nn.LSTM(channels, 2 * channels, batch_first=True)
        self.out = nn.Linear(2 * channels, symbols + 1)

    def forward(self, given: Tensor) -> Tensor:
        """Logits of the copy."""
        states, _ = self.recurrent(self.embedding(given))
        logits: Tensor = self.out(states[:, self.length :])
        return logits


@final
class AttentionCopier(Copier):
    """One layer of self-attention with sines of the place: one look."""

    def __init__(self, symbols: int, *, length: int, channels: int) -> None:
        super().__init__(symbols, length=length, channels=channels)
        self.path = 1
        self.attention = MultiHeadAttention(channels, heads=4)
        self.out = nn.Linear(channels, symbols + 1)

    def look(self, given: Tensor, *, need_weights: bool = True) -> tuple[Tensor, Tensor | None]:
        """Logits of the copy, and where each of its symbols looks, (N, heads, length, S)."""
        x = self.embedding(given)
        x = x + sine_positions(x.shape[1], x.shape[2]).to(x)
        read = self.attention(x[:, self.length :], x, need_weights=need_weights)
        return self.out(read.context), read.weights

    def forward(self, given: Tensor) -> Tensor:
        """Logits of the copy."""
        return self.look(given, need_weights=False)[0]


_COPIERS: dict[str, Callable[..., Copier]] = {
    "feed_forward": FeedForwardCopier,
    "convolution": ConvolutionCopier,
    "recurrence": RecurrentCopier,
    "attention": AttentionCopier,
}


def build_copier(
    kind: CopierName,
    *,
    symbols: int = 8,
    length: int = 20,
    channels: int = 64,
    kernel_size: int | None = None,
    layers: int | None = None,
) -> Copier:
    """A network for the copying task.

    Args:
        kind: ``"feed_forward"``, ``"convolution"``, ``"recurrence"`` or ``"attention"``.
        symbols: How many different symbols.
        length: How many there are to copy.
        channels: Width.
        kernel_size: Of the convolutions, odd; 5 if None. No other kind has one.
        layers: Number of convolutions; if None, as many as reach from symbol to copy. No other
            kind has a choice.

    Raises:
        ValueError: There is no such kind, or it has no such option, or the convolutions don't
            reach from symbol to copy.

    Example:
        >>> build_copier("convolution").path, build_copier("attention").path
        (10, 1)
    """
    check_name("kind", kind, names=_COPIERS)
    given = {"kernel_size": kernel_size, "layers": layers}
    options = {name: value for name, value in given.items() if value is not None}
    if options and kind != "convolution":
        raise ValueError(f"only the convolution has {' and '.join(options)}, not {kind}")
    return _COPIERS[kind](symbols, length=length, channels=channels, **options)
