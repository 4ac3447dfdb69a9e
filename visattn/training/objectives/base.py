"""What every objective is: from a model, a batch and the progress to a loss."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import final

from torch import Tensor, nn

_LONGEST = 2000
"""After so many images in vain it is not by chance: what 1 % of them have, once in 5e8."""


class Objective(ABC):
    """Turns a batch into a loss; may pass the model several times, and may keep a state.

    A batch holds ``image`` (N, 3, H, W), normalised; ``label`` (N,); ``mask`` (N, 1, H, W) in
    [0, 1], NaN where unlabelled; ``background`` (N,), which background an image shows, -1 where
    that is unknown; ``index`` (N,), rows of the dataset. An objective's state is no part of a
    checkpoint.
    """

    @abstractmethod
    def __call__(
        self, model: nn.Module, batch: Mapping[str, Tensor], progress: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of one step.

        Args:
            model: From images to logits.
            batch: As the data module gives it.
            progress: The share of the training that is done, in [0, 1].

        Returns:
            The loss, a scalar with a graph, and its parts by name, detached.
        """


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
    """
    low, high = (float(end) for end in interval[1:-1].split(","))
    for name, value in values.items():
        above = value > low or (value == low and interval[0] == "[")
        below = value < high or (value == high and interval[-1] == "]")
        if not (above and below):
            least = f"{'at least' if interval[0] == '[' else 'above'} {low:g}"
            range_ = f"in {interval}" if high < math.inf else least
            raise ValueError(f"{name} must be {range_}, got {value}.")


def zero_loss(output: Tensor) -> Tensor:
    """A loss of 0 with the graph of ``output``, for a step in which nothing can be learned yet."""
    return (output * 0).sum()


@final
class Patience:
    """Lets 2,000 images go by without what an objective cannot do without, then says so.

    Args:
        message: What to say, with ``{images}`` where their number belongs.
    """

    def __init__(self, message: str) -> None:
        self.message = message
        self._missed = 0

    def wait(self, images: int) -> None:
        """Count images that went by before the first one that has it.

        Raises:
            ValueError: They are 2,000 or more by now.
        """
        self._missed += images
        if self._missed >= _LONGEST:
            raise ValueError(self.message.format(images=self._missed))


def masks_must_come(objective: str, *, without: str, kind: str = "mask") -> Patience:
    """Patience for the first image with a mask.

    Args:
        objective: Which one needs it.
        without: What becomes of the training without any mask.
        kind: What it is called.
    """
    return Patience(
        f"{objective}: none of the first {{images}} training images has a {kind}, and without any "
        f"{without}. Give one to some of them (look at the data's folder of masks and at its share "
        "of masks), or take another objective, such as CrossEntropy."
    )
