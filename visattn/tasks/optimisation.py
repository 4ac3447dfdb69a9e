"""AdamW with a warm-up and half a cosine, for models that are small."""

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig

from visattn.training.schedule import training_steps, warmup_cosine
from visattn.wrapping.finetuning import parameter_groups


def adamw_with_cosine(
    module: L.LightningModule, *, learning_rate: float, weight_decay: float, warmup: float
) -> OptimizerLRSchedulerConfig:
    """What ``configure_optimizers`` returns.

    Args:
        module: With its trainer.
        learning_rate: The highest value.
        weight_decay: On matrices only.
        warmup: Share of the training in which the learning rate rises.

    Raises:
        ValueError: A value is out of its range, or the training has no length.
    """
    if learning_rate <= 0:
        raise ValueError(f"learning_rate must be above 0, got {learning_rate}")
    if weight_decay < 0:
        raise ValueError(f"weight_decay must be at least 0, got {weight_decay}")
    groups = parameter_groups(module, learning_rate=learning_rate, weight_decay=weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=learning_rate)
    factor = warmup_cosine(steps=training_steps(module.trainer), warmup=warmup)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
