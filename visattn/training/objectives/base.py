"""What every objective is: from a model, a batch and the progress to a loss."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Literal, final

from torch import Tensor, nn

_LONGEST = 2000
"""After so many images in vain it is not by chance: what 1 % of them have, once in 5e8."""


Batch = Mapping[str, Tensor]
Loss = tuple[Tensor, dict[str, Tensor]]
Need = Literal["mask", "box", "region", "background"]
"""Masks of some images; boxes, masks that are unknown inside; either; backgrounds of all images."""


class Objective(ABC):
    """Turns a batch into a loss; may pass the model several times, and may keep a state.

    A batch holds ``image`` (N, 3, H, W), normalised; ``label`` (N,); ``mask`` (N, 1, H, W) in
    [0, 1], NaN where unlabelled; ``background`` (N,), which background an image shows, -1 where
    that is unknown; ``index`` (N,), rows of the dataset. An objective's state is no part of a
    checkpoint.

    Attributes:
        needs: What the training data must have; without it the training is refused before its
            first step.
    """

    needs: tuple[Need, ...] = ()

    @abstractmethod
    def __call__(self, model: nn.Module, batch: Batch, progress: float) -> Loss:
        """Compute the loss of one step.

        Args:
            model: From images to logits.
            batch: As the data module gives it.
            progress: The share of the training that is done, in [0, 1].

        Returns:
            The loss, a scalar with a graph, and its parts by name, detached.
        """


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
