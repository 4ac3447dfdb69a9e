"""Training on several processes: what Lightning is told for it."""

import os
from collections.abc import Mapping
from typing import Any

import lightning as L
from lightning.pytorch.strategies import DDPStrategy

from visattn.basics.processes import started_together


def allow_unused_parameters(trainer: L.Trainer) -> None:
    """Let a step leave parameters out, unless the strategy was told otherwise.

    An objective trains parts of a network at a time, such as its mask alone; DDP must then look
    which parameters have a gradient, or it waits for the others forever.
    """
    if isinstance(trainer.strategy, DDPStrategy):
        trainer.strategy._ddp_kwargs.setdefault("find_unused_parameters", True)


def started_processes(trainer: Mapping[str, Any]) -> dict[str, int]:
    """How many devices and nodes there are, where ``torchrun`` started this process.

    Args:
        trainer: What is asked of Lightning's trainer.

    Raises:
        ValueError: It is asked for another number of processes.
    """
    if not started_together():
        return {}
    world, local = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
    devices, nodes = trainer.get("devices", "auto"), trainer.get("num_nodes", 1)
    if str(devices) not in ("auto", "-1", str(local)) or nodes not in (1, world // local):
        raise ValueError(
            f"torchrun started {world} processes, {local} on each node, and trainer.devices is "
            f"{devices}, trainer.num_nodes {nodes}: leave both out, torchrun says them"
        )
    return {"devices": local, "num_nodes": world // local}
