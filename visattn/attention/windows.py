"""Local attention: a window over the sources, at a place that moves with the target."""

from abc import ABC, abstractmethod
from typing import NamedTuple, final

import torch
from torch import Tensor, nn

from visattn.basics.checks import check_numbers


class Window(NamedTuple):
    """What local attention adds to the global one.

    Attributes:
        mask: Boolean, broadcastable to (..., T, S); True inside of the window.
        bias: Added to the scores, the same shape, or None.

    Example:
        >>> Window(torch.tensor([[True, True, False]])).bias is None
        True
    """

    mask: Tensor
    bias: Tensor | None = None


def window_mask(centre: Tensor, size: int, *, half_width: int) -> Tensor:
    """The sources at most ``half_width`` away from the centre.

    Args:
        centre: (..., T), in places of the source, 0 being the first.
        size: S.
        half_width: D; the window has up to 2 D + 1 places.

    Returns:
        (..., T, S).

    Example:
        >>> window_mask(torch.tensor([0.0, 2.0]), 4, half_width=1).int()
        tensor([[1, 1, 0, 0],
                [0, 1, 1, 1]], dtype=torch.int32)
    """
    places = torch.arange(size, device=centre.device)
    return (places - centre.detach().unsqueeze(-1)).abs() <= half_width


def gaussian_bias(centre: Tensor, size: int, *, sigma: float) -> Tensor:
    r"""``-(s - centre)^2 / (2 sigma^2)``: scores plus this favour what is near the centre.

    Args:
        centre: (..., T), in places of the source; gets a gradient.
        size: S.
        sigma: Standard deviation, in places.

    Returns:
        (..., T, S), at most 0.

    Example:
        >>> gaussian_bias(torch.tensor([1.0]), 4, sigma=1.0)
        tensor([[-0.5000, -0.0000, -0.5000, -2.0000]])
    """
    places = torch.arange(size, device=centre.device)
    return -(places - centre.unsqueeze(-1)).square() / (2 * sigma**2)


class LocalWindow(nn.Module, ABC):
    """Where each target looks.

    Example:
        >>> class FirstWords(LocalWindow):
        ...     def forward(self, query, lengths, size, *, start=0):
        ...         return Window(torch.arange(size) < 2)
        >>> FirstWords()(torch.zeros(1, 3, 8), torch.tensor([4]), 4).mask
        tensor([ True,  True, False, False])
    """

    @abstractmethod
    def forward(self, query: Tensor, lengths: Tensor, size: int, *, start: int = 0) -> Window:
        """The window of each query.

        Args:
            query: (N, T, D).
            lengths: (N,), of the sources.
            size: S.
            start: Which target the first query is.
        """


@final
class MonotonicWindow(LocalWindow):
    """Target t looks around source t ("local-m").

    ``p_t = t`` as in the paper, up to the last word of the source: the targets after it look around
    that word. The paper leaves open what they look at; around a place beyond the end the window
    would be empty and the context 0.

    Args:
        half_width: D, at least 0; the window has up to 2 D + 1 places.

    Raises:
        ValueError: ``half_width`` is below 0.

    Example:
        >>> MonotonicWindow(1)(torch.zeros(1, 3, 8), torch.tensor([2]), 4).mask.int()
        tensor([[[1, 1, 0, 0],
                 [1, 1, 1, 0],
                 [1, 1, 1, 0]]], dtype=torch.int32)

    Source: Luong et al., arXiv:1508.04025.
    """

    def __init__(self, half_width: int) -> None:
        super().__init__()
        check_numbers(least=0, half_width=half_width)
        self.half_width = half_width

    def forward(self, query: Tensor, lengths: Tensor, size: int, *, start: int = 0) -> Window:
        """The windows around ``start``, ``start + 1``, and so on, (N, T, S)."""
        targets = torch.arange(start, start + query.shape[-2], device=query.device)
        centre = torch.minimum(targets, lengths.unsqueeze(-1) - 1)
        return Window(window_mask(centre, size, half_width=self.half_width))


@final
class PredictiveWindow(LocalWindow):
    r"""The query says where to look ("local-p").

    ``p_t = (L - 1) sigmoid(v . tanh(W q_t))`` for a source of length L, and a Gaussian of standard
    deviation D / 2 around it. The paper multiplies the Gaussian to the normalised weights, whose
    sum is then below 1; here its logarithm is added to the scores, so that rows sum to 1 and can be
    sampled from. The paper's ``p_t`` lies in [0, L], counted from 1.

    Args:
        query_channels: Width of the queries.
        hidden: Width of W and v.
        half_width: D.

    Example:
        >>> window = PredictiveWindow(8, hidden=4, half_width=2)
        >>> found = window(torch.randn(1, 3, 8), torch.tensor([6]), 7)
        >>> found.mask.shape, found.bias.shape
        (torch.Size([1, 3, 7]), torch.Size([1, 3, 7]))

    Source: Luong et al., arXiv:1508.04025.
    """

    def __init__(self, query_channels: int, *, hidden: int, half_width: int) -> None:
        super().__init__()
        check_numbers(half_width=half_width)
        self.half_width = half_width
        self.place = nn.Sequential(
            nn.Linear(query_channels, hidden, bias=False),
            nn.Tanh(),
            nn.Linear(hidden, 1, bias=False),
        )

    def centre(self, query: Tensor, lengths: Tensor) -> Tensor:
        """Where each query (N, T, D) looks, (N, T), in [0, lengths - 1]."""
        return self.place(query).squeeze(-1).sigmoid() * (lengths.unsqueeze(-1) - 1)

    def forward(self, query: Tensor, lengths: Tensor, size: int, *, start: int = 0) -> Window:
        """The windows around the predicted places, (N, T, S)."""
        centre = self.centre(query, lengths)
        mask = window_mask(centre, size, half_width=self.half_width)
        return Window(mask, gaussian_bias(centre, size, sigma=self.half_width / 2))
