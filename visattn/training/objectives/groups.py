"""Numbers of the groups (class, background), as they come."""

from collections.abc import Mapping
from typing import Any, final

from torch import Tensor

from visattn.basics.processes import from_all


@final
class GroupNumbers:
    """Gives each pair of a class and a background a number, from 0, in the order they come in.

    On several processes it is one order for all: within a step, that of the processes.

    Example:
        >>> import torch
        >>> numbers = GroupNumbers()
        >>> numbers(torch.tensor([0, 1, 0]), torch.tensor([5, 5, 5])).tolist(), len(numbers)
        ([0, 1, 0], 2)
    """

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def state_dict(self) -> dict[str, Any]:
        """The pairs in the order of their numbers."""
        return {"pairs": list(self._numbers)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Number these pairs."""
        self._numbers = {(int(a), int(b)): number for number, (a, b) in enumerate(state["pairs"])}

    def __call__(self, labels: Tensor, backgrounds: Tensor) -> Tensor:
        """The groups (N,) of images.

        Args:
            labels: Classes (N,).
            backgrounds: (N,), -1 where unknown, which counts as one background more.

        Raises:
            ValueError: If the background of no image is known.
        """
        if (backgrounds < 0).all():
            raise ValueError(
                "groups of class and background need the images' backgrounds, and none of this "
                "batch is known: give them in the column 'style' of the data's metadata.csv "
                "(columns split, class, id, style), or take another objective."
            )
        own = list(zip(labels.tolist(), backgrounds.tolist(), strict=True))
        for pairs in from_all(own):
            for pair in pairs:
                self._numbers.setdefault(pair, len(self._numbers))
        return labels.new_tensor([self._numbers[pair] for pair in own])
