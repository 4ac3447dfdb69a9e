"""What every objective is: from a model, a batch and the progress to a loss."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Literal, final

import torch
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
    that is unknown; ``index`` (N,), rows of the dataset.

    A checkpoint of `visattn.training.ImageClassifier` holds the objective's state, so that a
    training that is resumed goes on with it. What decides on several processes which parts of the
    model run must be the same on all of them, see `visattn.basics.processes.all_agree`.

    Attributes:
        needs: What the training data must have; without it the training is refused before its
            first step.
        stages: Shares of the training, rising, at which another training begins: there the
            learning rate's schedule and what the optimiser remembers begin anew.
        waits: Whether the model stands still until the first of these.

    Example:
        >>> from torch.nn.functional import cross_entropy
        >>> class Plain(Objective):
        ...     def __call__(self, model, batch, progress):
        ...         loss = cross_entropy(model(batch["image"]), batch["label"])
        ...         return loss, {"loss": loss.detach()}
        >>> batch = {"image": torch.zeros(2, 3), "label": torch.tensor([0, 1])}
        >>> Plain()(nn.Linear(3, 2), batch, 0.0)[0].ndim
        0
    """

    needs: tuple[Need, ...] = ()
    stages: tuple[float, ...] = ()
    waits: bool = False

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

    def prepare(self, *, learning_rate: float) -> None:
        """Hear, before a training, the highest learning rate of the model.

        It is passed on to all attributes that hear of it: networks that learn beside the model.
        """
        for part in vars(self).values():
            if hasattr(part, "prepare"):
                part.prepare(learning_rate=learning_rate)

    def state_dict(self) -> dict[str, Any]:
        """What later steps depend on: the states of all attributes that have one."""
        return states_of(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from an earlier state."""
        load_states(self, state)


def no_loss(model: nn.Module) -> Tensor:
    """A loss of 0 that reaches every parameter: the network waits."""
    trained = (parameter for parameter in model.parameters() if parameter.requires_grad)
    return torch.stack([parameter.sum() for parameter in trained]).sum() * 0.0


def states_of(whole: object) -> dict[str, Any]:
    """The states of an object's attributes, of those that have one."""
    parts = vars(whole).items()
    return {name: part.state_dict() for name, part in parts if hasattr(part, "state_dict")}


def load_states(whole: object, states: Mapping[str, Any]) -> None:
    """Give an object's attributes earlier states."""
    for name, state in states.items():
        getattr(whole, name).load_state_dict(state)


@final
class Patience:
    """Lets 2,000 images go by without what an objective cannot do without, then says so.

    Args:
        message: What to say, with ``{images}`` where their number belongs.
    """

    def __init__(self, message: str) -> None:
        self.message = message
        self._missed = 0

    def state_dict(self) -> dict[str, Any]:
        """How many went by."""
        return {"missed": self._missed}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on counting."""
        self._missed = state["missed"]

    def wait(self, images: int) -> None:
        """Count images that went by before the first one that has it.

        Raises:
            ValueError: They are 2,000 or more by now.
        """
        self._missed += images
        if self._missed >= _LONGEST:
            raise ValueError(self.message.format(images=self._missed))
