"""Networks of sentences and captions back from their checkpoints."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import lightning as L

from visattn.networks.weight_files import read_file
from visattn.training.command_line.tasks import TASKS

Module = TypeVar("Module", bound=L.LightningModule)


def load_trained(path: str | Path, *modules: type[Module]) -> Module:
    """A network that ``visattn fit`` trained, on the CPU and in evaluation mode.

    Args:
        path: A checkpoint.
        modules: What it may be of; the checkpoint tells which of them by its options.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no checkpoint, or one of another task.
    """
    models = [f"{module.__module__}.{module.__qualname__}" for module in modules]
    names = [task.name for task in TASKS.values() if task.model in models]
    wanted = " or ".join(f"visattn fit -c {name}/..." for name in names)
    if not Path(path).is_file():
        raise FileNotFoundError(f"no checkpoint at {path}; {wanted} writes one")
    try:
        saved = read_file(path)
    except ValueError:
        saved = {}
    options = saved.get("hyper_parameters")
    if not isinstance(options, Mapping) or "state_dict" not in saved:
        raise ValueError(f"{path} is no checkpoint of visattn's; expected one that {wanted} wrote")
    for module in modules:
        if _fits(module, options):
            return module.load_from_checkpoint(path, map_location="cpu", weights_only=True).eval()
    others = [task.name for task in TASKS.values() if _fits(task.load_model(), options)]
    of = f"of the task {others[0]}" if others else "of another network"
    raise ValueError(f"{path} is {of}; expected a checkpoint that {wanted} wrote")


def _fits(module: type[L.LightningModule], options: Mapping[str, Any]) -> bool:
    """Whether options are arguments of this module, and none that it must have is missing."""
    known = inspect.signature(module).parameters
    needed = {name for name, found in known.items() if found.default is inspect.Parameter.empty}
    return needed <= set(options) and {o for o in options if not o.startswith("_")} <= set(known)
