"""A model with attention in it, to check."""

import copy
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from visattn.testing.outputs import enliven
from visattn.wrapping.insertion import wrap
from visattn.wrapping.planning import Block


@dataclass(frozen=True)
class ModelCase:
    """A block in a model to check.

    Attributes:
        plain: The model without attention, as training would leave it.
        images: (2, C, H, W).
        block: As for `wrap`.
        options: For `wrap`.
        start: The model with the block and ``init="identity"``, right after `wrap`.
        live: The model with the block and ``init="paper"``, its attention as training would leave
            it, its backbone that of ``plain``; in evaluation mode.
    """

    plain: nn.Module
    images: Tensor
    block: Block
    options: dict[str, Any] = field(default_factory=dict)
    start: nn.Module = field(init=False)
    live: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        live = enliven(self.wrapped("paper"), seed=1).eval()
        live.load_state_dict(self.plain.state_dict(), strict=False)
        object.__setattr__(self, "start", self.wrapped("identity"))
        object.__setattr__(self, "live", live)

    def wrapped(self, init: str) -> nn.Module:
        """A copy of the plain model with the block in it."""
        return wrap(copy.deepcopy(self.plain), self.block, **{**self.options, "init": init})
