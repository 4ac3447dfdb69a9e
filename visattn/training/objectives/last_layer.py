"""Train as usual, then refit the last layer on batches with as many images of every group."""

from collections import deque
from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visattn.basics.processes import take_from_first
from visattn.training.checks import check_in
from visattn.training.objectives.base import Batch, Loss, Objective
from visattn.training.objectives.groups import GroupNumbers


@final
class LastLayerRefit(Objective):
    """Cross-entropy at first, then a fresh last layer on features balanced over the groups.

    From ``refit`` on, the network is frozen, in evaluation mode, and its last linear layer begins
    anew, with a learning-rate schedule of its own. A step then takes the features of its batch into
    a store, a short queue for each group (class, background) seen in the refit, and trains the last
    layer on ``balanced`` features drawn evenly over these groups. The backgrounds of all training
    images must be known then.

    The paper refits on held-out images of every group; here it is on training images, which the
    paper compares too.

    Args:
        label_smoothing: Share of the target that is spread evenly over the classes, in [0, 1).
        refit: Share of the training after which the last layer is refitted, in (0, 1).
        balanced: Features in a step of the refit.
        kept: Most features of a group to hold.

    Raises:
        ValueError: If an argument is out of its range; in a step, if the model has no linear
            layer, or no background is known.

    Source: Kirichenko et al., Last Layer Re-Training is Sufficient for Robustness to Spurious
    Correlations (deep feature reweighting), arXiv:2204.02937.
    """

    needs = ("background",)

    def __init__(
        self,
        *,
        label_smoothing: float = 0.0,
        refit: float = 0.67,
        balanced: int = 256,
        kept: int = 64,
    ) -> None:
        check_in("[0, 1)", label_smoothing=label_smoothing)
        check_in("(0, 1)", refit=refit)
        check_in("[1, inf)", balanced=balanced, kept=kept)
        self.label_smoothing = label_smoothing
        self.refit = refit
        self.stages = (refit,)
        self.balanced = balanced
        self.kept = kept
        self.numbers = GroupNumbers()
        self._store: dict[int, deque[Tensor]] = {}
        self._classes: dict[int, int] = {}

    def __call__(self, model: nn.Module, batch: Batch, progress: float) -> Loss:
        """See `Objective`."""
        if progress < self.refit:
            logits = model(batch["image"])
            loss = F.cross_entropy(logits, batch["label"], label_smoothing=self.label_smoothing)
            return loss, {"cross_entropy": loss.detach()}
        layer = last_linear(model)
        groups = self.numbers(batch["label"], batch["background"]).tolist()
        if not self._store:
            layer.reset_parameters()
            take_from_first(layer)
        for feature, group, label in zip(
            features_before(model, layer, batch["image"]),
            groups,
            batch["label"].tolist(),
            strict=True,
        ):
            if group not in self._store:
                self._store[group] = deque(maxlen=self.kept)
                self._classes[group] = label
            self._store[group].append(feature)
        features, labels = self._draw(batch["label"])
        loss = F.cross_entropy(layer(features), labels, label_smoothing=self.label_smoothing)
        return loss, {"refit": loss.detach()}

    def state_dict(self) -> dict[str, Any]:
        """The groups, and the features that are kept of each."""
        kept = {group: torch.stack(tuple(found)) for group, found in self._store.items()}
        return {**super().state_dict(), "kept": kept, "classes": self._classes}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with these."""
        self._classes = dict(state["classes"])
        self._store = {g: deque(found, maxlen=self.kept) for g, found in state["kept"].items()}
        super().load_state_dict({"numbers": state["numbers"]})

    def _draw(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Features and labels, as many of each group as the count allows."""
        known = sorted(self._store)
        places = torch.randint(len(known), (self.balanced,)).tolist()
        chosen = [known[place] for place in places]
        features = [
            self._store[group][int(torch.randint(len(self._store[group]), ()))] for group in chosen
        ]
        return torch.stack([f.to(like.device) for f in features]), like.new_tensor(
            [self._classes[group] for group in chosen]
        )


def last_linear(model: nn.Module) -> nn.Linear:
    """The last linear layer of a model in the order of its modules, which gives the logits.

    Raises:
        ValueError: There is none.
    """
    found = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if not found:
        raise ValueError(f"{type(model).__name__} has no linear layer to refit.")
    return found[-1]


@torch.no_grad()
def features_before(model: nn.Module, layer: nn.Module, images: Tensor) -> Tensor:
    """What goes into a layer, (N, C), in evaluation mode; the model stays in that mode."""
    model.eval()
    return with_features(model, layer, images)[1].detach()


def with_features(model: nn.Module, layer: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Logits, and what goes into a layer on the way to them, (N, C)."""
    kept: list[Tensor] = []

    def keep(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        kept.append(arguments[0])

    handle = layer.register_forward_pre_hook(keep)
    try:
        logits = model(images)
    finally:
        handle.remove()
    return logits, kept[-1]
