"""What the modules of sequences have in common: AdamW, and a test of means by split."""

from abc import ABC, abstractmethod

import lightning as L
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from visattn.tasks.batched import Batch
from visattn.tasks.optimisation import adamw_with_cosine
from visattn.tasks.split_means import SplitMeans


class SequenceModule(L.LightningModule, ABC):
    """A module whose test steps add to ``tests``; their means are logged at the end.

    Args:
        learning_rate: Its highest value.
        weight_decay: On matrices only.
        warmup: Share of the training in which the learning rate rises.
    """

    def __init__(self, *, learning_rate: float, weight_decay: float, warmup: float) -> None:
        super().__init__()
        self.schedule = {
            "learning_rate": learning_rate,
            "weight_decay": weight_decay,
            "warmup": warmup,
        }
        self.tests = SplitMeans()

    @abstractmethod
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of a batch."""

    @abstractmethod
    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log what chooses the best epoch."""

    def on_test_start(self) -> None:
        """Begin anew."""
        self.tests.reset()

    @abstractmethod
    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Add to ``tests``."""

    def on_test_epoch_end(self) -> None:
        """Log each split's means."""
        self.log_dict(self.tests.compute(self.trainer))

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW, its learning rate by step."""
        return adamw_with_cosine(self, **self.schedule)
