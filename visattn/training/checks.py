"""What a training refuses: options out of their range, and a loss that is no number."""

import math
from collections.abc import Mapping
from numbers import Real
from typing import final

import torch
from lightning.pytorch.strategies import Strategy
from torch import Tensor


def check_in(interval: str, **values: float) -> None:
    """Refuse options outside an interval.

    Args:
        interval: Such as ``"[0, 1)"``: square where the end is in it, round where it is not.
        values: Options by name.

    Raises:
        ValueError: One of them is outside, or no number.

    Example:
        >>> check_in("[0, 1)", warmup=0.2, label_smoothing=0.0)
        >>> check_in("[2, inf)", labelled=1)
        Traceback (most recent call last):
        ValueError: labelled must be at least 2, got 1.
        >>> check_in("[0, 1]", neighbours="0.5")
        Traceback (most recent call last):
        ValueError: neighbours must be a number in [0, 1], got '0.5'.
    """
    low, high = (float(end) for end in interval[1:-1].split(","))
    for name, value in values.items():
        number = isinstance(value, Real)
        above = number and (value > low or (value == low and interval[0] == "["))
        below = number and (value < high or (value == high and interval[-1] == "]"))
        if not (above and below):
            least = f"{'at least' if interval[0] == '[' else 'above'} {low:g}"
            range_ = f"in {interval}" if high < math.inf else least
            what = "" if number else "a number "
            raise ValueError(f"{name} must be {what}{range_}, got {value!r}.")


def check_one_shape(function: str, *, hint: str = "", **tensors: Tensor) -> None:
    """Refuse two tensors of different shapes.

    Args:
        function: Whose arguments they are, for the message.
        hint: What to do, the end of the message.
        tensors: Both of them by name.

    Raises:
        ValueError: Their shapes differ.
    """
    if len({tensor.shape for tensor in tensors.values()}) > 1:
        shapes = " and ".join(str(tuple(tensor.shape)) for tensor in tensors.values())
        names = " and ".join(tensors)
        raise ValueError(f"{function}: {names} must have one shape, got {shapes}{hint}.")


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


@final
class NotFinite:
    """Counts images whose logits are NaN or infinite: they would all be of the first class.

    Nothing is fetched from the device before `check`.
    """

    def __init__(self) -> None:
        self._images = 0
        self._found: Tensor | None = None

    def count(self, logits: Tensor) -> None:
        """Count those of a batch of logits (N, classes)."""
        found = (~torch.isfinite(logits.detach()).all(1)).sum()
        self._found = found if self._found is None else self._found + found
        self._images += len(logits)

    def check(self, split: str, *, strategy: Strategy) -> None:
        """Begin anew.

        Args:
            split: What the images are of, for the message.
            strategy: Of the trainer; the images of all processes count.

        Raises:
            ValueError: There was one.
        """
        if self._found is None:
            return
        counts = torch.stack([self._found, torch.full_like(self._found, self._images)])
        self._images, self._found = 0, None
        found, images = strategy.reduce(counts, reduce_op="sum").tolist()
        if found:
            raise ValueError(
                f"the network's answer is NaN or infinite for {found} of {images} images of the "
                f"{split}: look for NaN in the images; if it is all of them, in the weights"
            )
