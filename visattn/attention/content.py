"""Content addressing: a memory is read where its slots point in the direction of the query."""

from typing import final

import torch.nn.functional as F
from torch import Tensor

from visattn.attention.scores import Score


def cosine_scores(query: Tensor, key: Tensor, *, strength: Tensor | float = 1.0) -> Tensor:
    r"""``strength * cos(query, key)``, whatever the lengths of the vectors.

    Args:
        query: (..., T, D); a vector of zeros has a cosine of 0 with everything.
        key: (..., S, D).
        strength: Factor on the cosines, one number or (..., T), one for each query.

    Returns:
        (..., T, S), in [-strength, strength].

    Example:
        >>> import torch
        >>> cosine_scores(torch.tensor([[2.0, 0.0]]), torch.eye(2), strength=5.0)
        tensor([[5., 0.]])
    """
    cosines = F.normalize(query, dim=-1) @ F.normalize(key, dim=-1).transpose(-2, -1)
    return cosines * (strength.unsqueeze(-1) if isinstance(strength, Tensor) else strength)


@final
class CosineScore(Score):
    r"""``strength * cos(query, key)``, the score of reading a memory by content.

    With `softmax` it is the content-based read of the differentiable neural computer,
    ``softmax_s(strength cos(query, memory_s))``. The greater the strength, the nearer the read is
    to the one slot that is most alike.

    Args:
        strength: Factor on the cosines, above 0.

    Raises:
        ValueError: The strength isn't above 0.

    Example:
        >>> import torch
        >>> from visattn.attention import attend
        >>> memory = torch.eye(3)
        >>> found = attend(7 * memory[1:2], memory, score=CosineScore(strength=20.0))
        >>> found.context.round(decimals=3)
        tensor([[0., 1., 0.]])

    Source: Graves et al., Hybrid computing using a neural network with dynamic external memory,
    Nature 538, 2016. There the controller gives a strength with each query: `cosine_scores`.
    """

    def __init__(self, *, strength: float) -> None:
        super().__init__()
        if strength <= 0:
            raise ValueError(f"strength must be above 0, got {strength}")
        self.strength = strength

    def keys(self, key: Tensor) -> Tensor:
        """The keys, of length 1."""
        return F.normalize(key, dim=-1)

    def compare(self, query: Tensor, keys: Tensor) -> Tensor:
        """Cosines times the strength."""
        return self.strength * F.normalize(query, dim=-1) @ keys.transpose(-2, -1)
