"""Taps: identity submodules through which a block passes every gate and map that it computes.

A tap says what passes through it; recording finds taps and knows no block. Without a recording a
tap costs one call of an identity.
"""

from typing import Any, Literal

from torch import Tensor, nn

from visattn.attention import PairwiseFunction
from visattn.basics.hooks import state_without_hooks
from visattn.basics.leaves import leaf_module
from visattn.blocks.scripting import unscriptable

TapKind = Literal["channel", "spatial", "gate", "spatial_logits", "class_logits"]


@leaf_module
class Tap(nn.Module):
    """Identity whose value can be recorded or, by a forward hook, replaced.

    Args:
        kind: What passes: ``"channel"``, a gate per channel (N, C, 1, 1); ``"spatial"``, a gate or
            mask per place (N, 1, H, W); ``"gate"``, one that is neither and broadcasts to
            (N, C, H, W); ``"spatial_logits"``, a mask before its sigmoid (N, 1, H, W);
            ``"class_logits"``, answers of a branch of the block's own (N, K).
    """

    def __init__(self, kind: TapKind) -> None:
        super().__init__()
        self.kind: TapKind = kind

    def forward(self, value: Tensor) -> Tensor:
        """Return ``value`` itself."""
        return value

    def __getstate__(self) -> dict[str, Any]:
        """Without the hooks of a recording that is going on."""
        return state_without_hooks(self)

    def extra_repr(self) -> str:
        """The kind, for printing."""
        return self.kind


@unscriptable("self-attention")
@leaf_module
class PairwiseTap(nn.Module):
    """Sees the queries and keys of a pairwise attention, from which any row of it follows.

    The weights themselves are never built here: a recording keeps queries and keys and computes
    the rows that are asked for.

    Args:
        function: The block's pairwise function, queries (N, heads, T, D) and keys
            (N, heads, S, D) to weights (N, heads, T, S).
    """

    def __init__(self, function: PairwiseFunction) -> None:
        super().__init__()
        self.function = function

    def forward(
        self, query: Tensor, key: Tensor, query_size: tuple[int, int], key_size: tuple[int, int]
    ) -> Tensor:
        """Return ``query`` itself.

        Args:
            query: (N, heads, T, D), places in row-major order.
            key: (N, heads, S, D).
            query_size: Height and width of the query grid, T = height * width.
            key_size: Height and width of the key grid, S = height * width.
        """
        return query

    def __getstate__(self) -> dict[str, Any]:
        """Without the hooks of a recording that is going on."""
        return state_without_hooks(self)

    def extra_repr(self) -> str:
        """The pairwise function's name, for printing."""
        function = getattr(self.function, "func", self.function)
        return getattr(function, "__name__", type(function).__name__)
