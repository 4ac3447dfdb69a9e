"""What is known of single training images, by their rows in the data set."""

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor


@final
class Remembered:
    """A table with a line for each image, NaN where nothing is known yet; it grows by itself.

    On several processes each knows the images that it has seen.

    Args:
        columns: Numbers a line.

    Example:
        >>> table = Remembered(1)
        >>> table.put(torch.tensor([2]), torch.tensor([[0.5]]))
        >>> table.get(torch.tensor([2, 7])).tolist()
        [[0.5], [nan]]
    """

    def __init__(self, columns: int) -> None:
        self.values = torch.empty(0, columns)

    def get(self, rows: Tensor) -> Tensor:
        """The lines (N, columns) of images."""
        self._reach(rows)
        return self.values[rows.cpu()].to(rows.device)

    def put(self, rows: Tensor, values: Tensor) -> None:
        """Set the lines of images."""
        self._reach(rows)
        self.values[rows.cpu()] = values.detach().float().cpu()

    @property
    def known(self) -> Tensor:
        """All lines (M, columns) of which something is known."""
        return self.values[~self.values.isnan().any(1)]

    def state_dict(self) -> dict[str, Any]:
        """The table."""
        return {"values": self.values}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with it."""
        self.values = state["values"].cpu()

    def _reach(self, rows: Tensor) -> None:
        lacking = int(rows.max()) + 1 - len(self.values) if len(rows) else 0
        if lacking > 0:
            size = (max(lacking, len(self.values)), self.values.shape[1])
            more = self.values.new_full(size, torch.nan)
            self.values = torch.cat([self.values, more])
