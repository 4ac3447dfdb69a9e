"""AdamW with a warm-up and half a cosine, for models that are small."""

import math

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig

from visattn.training.schedule import parameter_groups, warmup_cosine


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
    steps = module.trainer.estimated_stepping_batches
    if not math.isfinite(steps) or steps < 1:
        raise ValueError(
            f"the schedule needs to know the length of the training, which is {steps} steps: "
            "set trainer.max_epochs (or max_steps) to at least 1"
        )
    groups = parameter_groups(module, weight_decay=weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=learning_rate)
    factor = warmup_cosine(steps=int(steps), warmup=warmup)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
