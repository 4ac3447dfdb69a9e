"""What the modules of all these tasks have in common: AdamW, one share right, means by split."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torchmetrics import MeanMetric

from visattn.tasks.split_data import Batch
from visattn.tasks.split_means import Reductions, SplitMeans
from visattn.training.checks import check_in
from visattn.training.processes import allow_unused_parameters
from visattn.training.schedule import training_steps, warmup_cosine
from visattn.wrapping.finetuning import parameter_groups


class SequenceModule(L.LightningModule, ABC):
    """A module that logs ``train/loss``, a share of the validation split, and means of each test.

    It is trained by AdamW, with a warm-up and half a cosine.

    Args:
        learning_rate: Its highest value.
        weight_decay: On matrices only.
        warmup: Share of the training in which the learning rate rises.

    Attributes:
        validated: What is ``right``; the best epoch is that of the highest ``val/{validated}``.
        reductions: Of what the test measures, what isn't a mean.
    """

    validated: ClassVar[str]
    reductions: ClassVar[Reductions] = {}

    def __init__(self, *, learning_rate: float, weight_decay: float, warmup: float) -> None:
        super().__init__()
        self.schedule = (learning_rate, weight_decay, warmup)
        self.tests = SplitMeans(self.reductions)
        self.share = MeanMetric()

    @abstractmethod
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of a batch."""

    @abstractmethod
    def right(self, batch: Batch) -> Tensor:
        """Whether each of the things that are validated is right."""

    @abstractmethod
    def measures(self, batch: Batch) -> dict[str, Tensor]:
        """What the test measures, a value for each of what is counted."""

    def logged(self, loss: Tensor, *, count: int) -> Tensor:
        """Log a loss that is a mean over ``count``, and give it back."""
        options: dict[str, Any] = {"on_step": False, "on_epoch": True, "sync_dist": True}
        self.log("train/loss", loss.detach(), **options, batch_size=count)
        return loss

    def setup(self, stage: str) -> None:
        """Prepare for several processes."""
        allow_unused_parameters(self.trainer)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log the share that is right."""
        self.share(self.right(batch).float())
        self.log(f"val/{self.validated}", self.share, on_epoch=True, prog_bar=True)

    def on_test_start(self) -> None:
        """Begin anew."""
        self.tests.reset()

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Add to what was measured."""
        for measure, values in self.measures(batch).items():
            self.tests.add(dataloader_idx, measure, values)

    def on_test_epoch_end(self) -> None:
        """Log each split's means."""
        self.log_dict(self.tests.compute(self.trainer), sync_dist=True)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW, its learning rate by step.

        Raises:
            ValueError: A value is out of its range, or the training has no length.
        """
        learning_rate, weight_decay, warmup = self.schedule
        check_in("(0, inf)", learning_rate=learning_rate)
        groups = parameter_groups(self, learning_rate=learning_rate, weight_decay=weight_decay)
        optimizer = torch.optim.AdamW(groups, lr=learning_rate)
        factor = warmup_cosine(steps=training_steps(self.trainer), warmup=warmup)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
