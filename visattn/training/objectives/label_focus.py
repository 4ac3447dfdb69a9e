"""Learn the object's mask from labels alone, and the class behind that mask."""

import math
from collections.abc import Mapping
from typing import Any, final

import torch
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor, nn

from visattn.basics.modes import evaluating
from visattn.basics.processes import average, take_from_first
from visattn.training.checks import check_in
from visattn.training.losses.group_losses import generalised_cross_entropy
from visattn.training.objectives.base import Batch, Loss, Objective, Patience, no_loss
from visattn.training.objectives.contradictions import (
    LocalClassifier,
    contradicted_masks,
    contradictions,
)
from visattn.training.objectives.masked_focus import MaskedFocus


@final
class LabelFocus(Objective):
    """Learn where the object is from the images whose background contradicts their label.

    No mask is read, nor any label of a background. Training goes through

    1. *start*: a classifier of small windows, `LocalClassifier`, learns the labels from every
       place by itself, with the generalised cross-entropy, so that it learns the rule, here the
       background's, and not the exceptions (Learning from Failure, arXiv:2007.02561; here place
       by place). The network itself does not run.
    2. *contradictions*: an image that speaks for another class in many places, and little for its
       label, stands on that class's background. Its places that speak for that class are
       background, and so is the image's border; the rest is the object.
    3. *focus*: with these images in place of labelled ones everything goes on as in `MaskedFocus`:
       they teach the mask, the masks of all images are predicted, backgrounds are swapped, and the
       class is learned behind the mask.

    It takes a background that goes with the class but not always: where it always does, no image
    contradicts, and labels do not tell the object from the background. Where no background goes
    with the class, take `CrossEntropy`.

    Put the mask in with ``detach=True``, as for `MaskedFocus`. The local classifier is no part of
    the model, but of a checkpoint. On several processes it is one for all.

    Args:
        label_smoothing: Share of the target that is spread evenly over the classes, in [0, 1).
        start: Share of the training, in (0, 1), that the local classifier learns.
        warmup: Share of the rest in which only the mask learns.
        share: Least share of an image's places that speak for another class.
        border: Width of the image's border that is taken for background, as a share of the side,
            in [0, 0.5).
        power: Of the generalised cross-entropy, in (0, 1].
        learning_rate: Highest learning rate of the local classifier.
        options: Those of `MaskedFocus` but ``consistency_weight``; ``labelled`` are contradicted
            images.

    Raises:
        ValueError: If an argument is out of its range; in a step, if the model has no mask, or if
            none of the first 2,000 images after the start is contradicted.
    """

    def __init__(
        self,
        *,
        label_smoothing: float = 0.1,
        start: float = 0.2,
        warmup: float = 0.15,
        share: float = 1 / 3,
        border: float = 0.15,
        power: float = 0.7,
        learning_rate: float = 3e-3,
        **options: Any,
    ) -> None:
        check_in("(0, 1)", start=start)
        check_in("(0, 1]", share=share, power=power)
        check_in("[0, 0.5)", border=border)
        check_in("(0, inf)", learning_rate=learning_rate)
        self.start = start
        self.share = share
        self.border = border
        self.power = power
        self.learning_rate = learning_rate
        self.focus = MaskedFocus(
            label_smoothing=label_smoothing, warmup=warmup, consistency_weight=0.0, **options
        )
        self._local: LocalClassifier | None = None
        self._optimizer: torch.optim.Optimizer | None = None
        self._began: float | None = None
        self._waiting: dict[str, Any] = {}
        self._patience = Patience(
            "LabelFocus: none of {images} training images contradicts what its background says, so "
            "labels alone do not tell the object from the background. Give masks for some images "
            "and take MaskedFocus, or CrossEntropy if no background goes with a class."
        )

    def __call__(self, model: nn.Module, batch: Batch, progress: float) -> Loss:
        """See `Objective`."""
        self._restore(model, batch["image"])
        if self._began is None:
            self._began = progress
        done = (progress - self._began) / (1 - min(self._began, _LATEST))
        if done < self.start or self._local is None:
            return no_loss(model), {"local": self._learn(model, batch, done / self.start)}
        masks, share = self._contradicted(self._local, batch)
        bank = self.focus.supply.bank
        bank.add(batch["image"], masks, batch["index"])
        if not len(bank):
            self._patience.wait(len(masks))
        unlabelled = {**batch, "mask": torch.full_like(masks, torch.nan)}
        loss, parts = self.focus(model, unlabelled, (done - self.start) / (1 - self.start))
        return loss, {**parts, "contradicted": share}

    def _learn(self, model: nn.Module, batch: Batch, done: float) -> Tensor:
        """One step of the local classifier, which is so far with its training; its loss."""
        images = batch["image"]
        if self._local is None or self._optimizer is None:
            self.focus.step.check(model)  # an error or a warning now, not after the start
            self._local, self._optimizer = self._begin(model, images)
        for group in self._optimizer.param_groups:
            group["lr"] = self.learning_rate * (1 + math.cos(math.pi * done)) / 2
        self._local.train()
        with torch.autocast(images.device.type, enabled=False):
            logits = self._local(images.float())
            loss = generalised_cross_entropy(logits, batch["label"], power=self.power)
        self._optimizer.zero_grad()
        loss.backward()
        average(parameter.grad for parameter in self._local.parameters())
        self._optimizer.step()
        take_from_first(self._local)  # for the statistics
        return loss.detach()

    def _begin(
        self, model: nn.Module, images: Tensor
    ) -> tuple[LocalClassifier, torch.optim.Optimizer]:
        """A local classifier for the classes of a model, and its optimiser."""
        local = LocalClassifier(
            images.shape[1], num_classes=_classes(model, images), size=max(images.shape[-2:])
        ).to(images.device)
        take_from_first(local)
        return local, torch.optim.AdamW(local.parameters(), weight_decay=0.01)

    def state_dict(self) -> dict[str, Any]:
        """The bank, the local classifier with its optimiser, and when the training began."""
        return self._waiting or {**super().state_dict(), "began": self._began}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from an earlier state with the next batch, which says where tensors belong."""
        self._waiting = dict(state)

    def _restore(self, model: nn.Module, images: Tensor) -> None:
        state, self._waiting = self._waiting, {}
        if not state:
            return
        self._began = state.pop("began")
        if "_local" in state:
            with isolate_rng():
                self._local, self._optimizer = self._begin(model, images)
        super().load_state_dict(state)

    def _contradicted(self, local: LocalClassifier, batch: Batch) -> tuple[Tensor, Tensor]:
        """Masks of the contradicted images, NaN for the others, and their share."""
        images, labels = batch["image"], batch["label"]
        local.eval()
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            logits = local(images.float())
        against, backgrounds = contradictions(logits, labels, share=self.share)
        masks = contradicted_masks(logits, backgrounds, size=images.shape[-2:], border=self.border)
        masks = masks.masked_fill(~against.view(-1, 1, 1, 1), torch.nan)
        return masks, against.float().mean()


_LATEST = 0.99
"""A training that is resumed at its very end has a little left."""


def _classes(model: nn.Module, images: Tensor) -> int:
    """Number of logits of a model, which is left as it was."""
    with evaluating(model), torch.no_grad():
        return int(model(images[:1]).shape[1])
