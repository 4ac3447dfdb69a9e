"""Automatic feature reweighting: the last layer refitted where the first training did badly."""

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visattn.training.checks import check_in
from visattn.training.objectives.base import Batch, Loss, Objective, no_loss
from visattn.training.objectives.last_layer import features_before, last_linear


@final
class AFR(Objective):
    r"""Automatic feature reweighting, without labels of groups.

    The images are parted once, by their rows. The first part, all but ``held_out``, trains the
    network by cross-entropy. From ``refit`` on everything but the last linear layer is frozen, in
    evaluation mode; the layer goes on from where it is, on the features of the held-out part, in
    which an image counts by

    .. math:: \mu_i \propto \beta_{y_i} e^{-\gamma \hat p_i},

    with p the probability of the label by the first training and beta one over the images of that
    class; to the weighted cross-entropy comes ``reg_coeff`` times the squared distance of the layer
    from its start. Features are kept as they are met, and each step is on all of them.

    Args:
        label_smoothing: Share of the target that is spread evenly over the classes, in [0, 1), of
            the first training.
        refit: Share of the training after which the last layer is refitted, in (0, 1).
        held_out: Share of the images for the refit, in (0, 1).
        gamma: How much less an image counts that is told rightly, at least 0.
        reg_coeff: Of the distance, the paper's lambda.

    Raises:
        ValueError: If an argument is out of its range; in a step, if the model has no linear layer.

    Source: Qiu et al., Simple and Fast Group Robustness by Automatic Feature Reweighting,
    arXiv:2306.11074.
    """

    def __init__(
        self,
        *,
        label_smoothing: float = 0.0,
        refit: float = 0.67,
        held_out: float = 0.2,
        gamma: float = 4.0,
        reg_coeff: float = 0.0,
    ) -> None:
        check_in("[0, 1)", label_smoothing=label_smoothing)
        check_in("(0, 1)", refit=refit, held_out=held_out)
        check_in("[0, inf)", gamma=gamma, reg_coeff=reg_coeff)
        self.label_smoothing = label_smoothing
        self.refit = refit
        self.stages = (refit,)
        self.held_out = held_out
        self.gamma = gamma
        self.reg_coeff = reg_coeff
        self._kept: dict[int, tuple[Tensor, int]] = {}
        self._first: dict[str, Tensor] = {}

    def __call__(self, model: nn.Module, batch: Batch, progress: float) -> Loss:
        """See `Objective`."""
        held = is_held_out(batch["index"], share=self.held_out)
        if progress < self.refit:
            losses = F.cross_entropy(
                model(batch["image"]),
                batch["label"],
                label_smoothing=self.label_smoothing,
                reduction="none",
            )
            loss = (losses * ~held).sum() / (~held).sum().clamp_min(1)
            return loss, {"cross_entropy": loss.detach()}
        layer = last_linear(model)
        if not self._first:
            self._first = {n: value.detach().clone() for n, value in layer.state_dict().items()}
        self._keep(model, layer, batch, held)
        if not self._kept:
            return no_loss(model), {}
        device = batch["label"].device
        features = torch.stack([feature for feature, _ in self._kept.values()]).to(device)
        labels = torch.tensor([label for _, label in self._kept.values()], device=device)
        first = {name: value.to(device) for name, value in self._first.items()}
        with torch.no_grad():
            before = F.linear(features, first["weight"], first.get("bias")).float().softmax(1)
        weights = reweighting(before, labels, gamma=self.gamma)
        entropy = (weights * F.cross_entropy(layer(features), labels, reduction="none")).sum()
        moved = sum(
            (value - first[name]).square().sum() for name, value in layer.named_parameters()
        )
        return entropy + self.reg_coeff * moved, {"refit": entropy.detach()}

    def state_dict(self) -> dict[str, Any]:
        """The last layer of the first training, and the features that are kept."""
        return {"kept": dict(self._kept), "first": self._first}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with these."""
        self._kept, self._first = dict(state["kept"]), dict(state["first"])

    def _keep(self, model: nn.Module, layer: nn.Linear, batch: Batch, held: Tensor) -> None:
        """Keep the features of held-out images that are new."""
        rows = batch["index"].tolist()
        new = [k for k, row in enumerate(rows) if bool(held[k]) and row not in self._kept]
        model.eval()
        if new:
            found = features_before(model, layer, batch["image"][new])
            for k, feature in zip(new, found, strict=True):
                self._kept[rows[k]] = (feature, int(batch["label"][k]))


def is_held_out(rows: Tensor, *, share: float) -> Tensor:
    """Whether rows (N,) of a data set are in the held-out part, the same in every epoch and run.

    Rows are spread by the golden ratio, so that the part is even over any order of the data.

    Example:
        >>> is_held_out(torch.arange(1000), share=0.2).sum().item()
        200
    """
    return (rows.double() * 0.6180339887498949) % 1 < share


def reweighting(probabilities: Tensor, labels: Tensor, *, gamma: float) -> Tensor:
    """How much images (N,) count, all together 1; see `AFR`.

    Args:
        probabilities: Of the classes (N, K), by the first training.
        labels: (N,).
        gamma: At least 0.

    Example:
        >>> sure = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
        >>> reweighting(sure, torch.tensor([0, 0, 1]), gamma=torch.log(torch.tensor(2.0)).item())
        tensor([0.1667, 0.1667, 0.6667])
    """
    right = probabilities.gather(1, labels[:, None]).squeeze(1)
    weights = torch.exp(-gamma * right) / labels.bincount()[labels]
    return weights / weights.sum()
