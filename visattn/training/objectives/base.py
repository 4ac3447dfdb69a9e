"""What every objective is: from a model, a batch and the progress to a loss."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn


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


def check_share(name: str, value: float) -> None:
    """Refuse a share outside [0, 1)."""
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be in [0, 1), got {value}.")


def check_not_negative(**values: float) -> None:
    """Refuse values below 0."""
    for name, value in values.items():
        if value < 0:
            raise ValueError(f"{name} must be at least 0, got {value}.")


def zero_loss(output: Tensor) -> Tensor:
    """A loss of 0 with the graph of ``output``, for a step in which nothing can be learned yet."""
    return (output * 0).sum()
