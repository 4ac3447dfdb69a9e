"""The optimiser of a training and its schedule, and both told anew when a training goes on."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable, ReduceLROnPlateau
from lightning.pytorch.utilities.types import LRSchedulerConfigType
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from visattn.training.schedule import warmup_cosine
from visattn.wrapping.finetuning import parameter_groups

OptimizerName = Literal["adamw", "sgd"]


def named_optimizer(
    model: nn.Module, name: OptimizerName, *, momentum: float, fused: bool, **rates: Any
) -> torch.optim.Optimizer:
    """AdamW, or SGD with Nesterov momentum, over the groups of `parameter_groups`."""
    groups = parameter_groups(model, **rates)
    rate = rates["learning_rate"]
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=rate, fused=fused)
    return torch.optim.SGD(groups, lr=rate, momentum=momentum, nesterov=momentum > 0)


def own_optimizer(model: nn.Module, build: OptimizerCallable) -> torch.optim.Optimizer:
    """An optimiser of a class of one's own, over all parameters that train."""
    return build([parameter for parameter in model.parameters() if parameter.requires_grad])


def scheduled(
    optimizer: torch.optim.Optimizer,
    build: LRSchedulerCallable | None,
    *,
    steps: int,
    warmup: float,
    stages: Sequence[float] = (),
    waits: bool = False,
) -> tuple[Any, LRSchedulerConfigType]:
    """A schedule: a warmup and half a cosine by step, or one's own by epoch; and for Lightning."""
    if build is None:
        factor = warmup_cosine(steps=steps, warmup=warmup, stages=stages, waits=waits)
        schedule = LambdaLR(optimizer, factor)
        return schedule, {"scheduler": schedule, "interval": "step"}
    own = build(optimizer)
    if isinstance(own, ReduceLROnPlateau):
        return own, {"scheduler": own, "monitor": own.monitor}
    return own, {"scheduler": own, "interval": "epoch"}


def tell_anew(
    optimizer: torch.optim.Optimizer, schedule: LRScheduler, *, groups: Iterable[dict[str, Any]]
) -> None:
    """Give an optimiser and its schedule the settings of today.

    A checkpoint brings those of its own training back, and a learning-rate finder changes the
    optimiser and not its schedule. Nothing changes where the settings are the same.

    Args:
        optimizer: What trains.
        schedule: Its schedule, wherever it has come to.
        groups: Settings of each of the optimiser's groups; ``lr`` is the highest rate.
    """
    for group, settings in zip(optimizer.param_groups, groups, strict=True):
        rate, before = settings["lr"], group.get("initial_lr", group["lr"])
        group.update({name: value for name, value in settings.items() if name != "lr"})
        if before != rate:
            group["lr"] = group["lr"] * rate / before if before else rate
        group["initial_lr"] = rate
    schedule.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
    if isinstance(schedule, LambdaLR):
        pairs = zip(schedule.base_lrs, schedule.lr_lambdas, strict=True)
        for group, (rate, factor) in zip(optimizer.param_groups, pairs, strict=True):
            group["lr"] = rate * factor(schedule.last_epoch)
