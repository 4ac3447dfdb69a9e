"""Several objectives at once."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, final

from torch import Tensor, nn

from visattn.training.checks import check_in
from visattn.training.objectives.base import Batch, Loss, Objective
from visattn.training.objectives.last_layer import LastLayerRefit


@final
class WeightedSum(Objective):
    r"""The sum of the losses of several objectives, each by its weight.

    .. math:: \sum_i w_i L_i

    Every L_i is all that the objective gives by itself, **its cross-entropy too**. To count that
    once, leave it in one of them, and give `EnergyInside` and `RightReasons` ``class_weight: 0``.

    The objectives pass the model one after the other, in their order and on the same batch: a step
    takes the time and the memory of all of them together. In training mode each pass normalises
    with the statistics of its own images, and the running statistics follow them all. A ``warmup``
    holds for its own objective only, and so does the start of `LabelFocus`: the others train the
    network meanwhile.

    Parts are called ``OBJECTIVE/PART``, such as ``MaskedFocus/mask``; a second objective of one
    class is ``OBJECTIVE_2``.

    Args:
        objectives: What is added up.
        weights: One w_i at least 0 for each of them; 1 for all if None.

    Raises:
        ValueError: If there is no objective, a weight is missing, too many or below 0, or one is
            `LastLayerRefit`, which freezes the network under the others; in a step, as they do.

    Example:
        >>> import torch
        >>> from visattn.training.objectives import CrossEntropy
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
        >>> batch = {"image": torch.randn(4, 3, 2, 2), "label": torch.tensor([0, 1, 0, 1])}
        >>> parts = [CrossEntropy(), CrossEntropy(label_smoothing=0.1)]
        >>> loss, found = WeightedSum(parts, weights=[1.0, 0.5])(model, batch, 0.0)
        >>> sorted(found)
        ['CrossEntropy/cross_entropy', 'CrossEntropy_2/cross_entropy']
    """

    def __init__(self, objectives: list[Objective], *, weights: list[float] | None = None) -> None:
        if not objectives:
            raise ValueError("WeightedSum: expected at least one objective, got none.")
        if weights is None:
            weights = [1.0] * len(objectives)
        if len(weights) != len(objectives):
            raise ValueError(
                f"WeightedSum: expected a weight for each of the {len(objectives)} objectives, got "
                f"{len(weights)}: {weights}."
            )
        for weight in weights:
            check_in("[0, inf)", weights=weight)
        if any(isinstance(objective, LastLayerRefit) for objective in objectives):
            raise ValueError(
                "WeightedSum: LastLayerRefit freezes the network and begins its last layer anew, "
                "so it cannot be added to another objective: take it alone."
            )
        self.objectives = objectives
        self.weights = weights
        self.needs = tuple(dict.fromkeys(need for each in objectives for need in each.needs))
        self.names = _numbered([type(objective).__name__ for objective in objectives])

    def prepare(self, *, learning_rate: float) -> None:
        """Pass it on."""
        for objective in self.objectives:
            objective.prepare(learning_rate=learning_rate)

    def __call__(self, model: nn.Module, batch: Batch, progress: float) -> Loss:
        """See `Objective`."""
        terms: list[Tensor] = []
        parts: dict[str, Tensor] = {}
        for name, objective, weight in zip(self.names, self.objectives, self.weights, strict=True):
            loss, own = objective(model, batch, progress)
            terms.append(weight * loss)
            parts |= {f"{name}/{part}": value for part, value in own.items()}
        return sum(terms[1:], start=terms[0]), parts

    def state_dict(self) -> dict[str, Any]:
        """Of each objective by its name."""
        found = zip(self.names, self.objectives, strict=True)
        return {name: objective.state_dict() for name, objective in found}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from an earlier state."""
        for name, objective in zip(self.names, self.objectives, strict=True):
            objective.load_state_dict(state[name])


def _numbered(names: list[str]) -> list[str]:
    """The names, from its second place on each with the number of the place."""
    seen: Counter[str] = Counter()
    numbered = []
    for name in names:
        seen[name] += 1
        numbered.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return numbered
