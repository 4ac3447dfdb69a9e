"""A loss that is no number ends a training with a word on what to do."""

from collections.abc import Mapping

import torch
from torch import Tensor


def check_finite(
    loss: Tensor, parts: Mapping[str, Tensor], *, epoch: int, batch: int, learning_rate: float
) -> None:
    """Refuse a loss that is NaN or infinite.

    Args:
        loss: The whole of it, one number.
        parts: Its parts by name, for the message.
        epoch: Where the training is.
        batch: The same, in the epoch.
        learning_rate: Its highest value, for the message.

    Raises:
        ValueError: If ``loss`` is not finite.
    """
    if torch.isfinite(loss):
        return
    found = ", ".join(f"{name} {value:.3g}" for name, value in parts.items())
    raise ValueError(
        f"the loss is {loss.item()} in epoch {epoch}, batch {batch}"
        f"{f' ({found})' if found else ''}: lower model.learning_rate (now {learning_rate}) or clip"
        " with trainer.gradient_clip_val, and look for NaN in the images"
    )
