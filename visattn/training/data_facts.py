"""What a network is told by its data module: names of classes and splits, and more."""

from dataclasses import asdict, is_dataclass
from typing import Any

import lightning as L


def names_of_tests(trainer: L.Trainer) -> list[str]:
    """Names of the test splits, from the data module; ``test``, ``test_1``, ... without."""
    loaders = trainer.test_dataloaders
    count = len(loaders) if isinstance(loaders, (list, tuple)) else 1
    names = list(getattr(getattr(trainer, "datamodule", None), "test_names", ()))
    if len(names) == count:
        return [str(name) for name in names]
    return ["test" if position == 0 else f"test_{position}" for position in range(count)]


def data_facts(datamodule: Any) -> dict[str, Any]:
    """What a network must know of its data when it is used alone: plain values only."""
    facts: dict[str, Any] = {}
    names = getattr(datamodule, "class_names", None)
    if names is not None:
        facts["class_names"] = [str(name) for name in names]
    for name, value in getattr(datamodule, "reading", {}).items():
        facts[name] = _plain(value)
    values = getattr(datamodule, "mask_values", None)
    if is_dataclass(values) and not isinstance(values, type):
        facts["mask_values"] = {name: _plain(value) for name, value in asdict(values).items()}
    if getattr(datamodule, "masked", False):
        facts["masked"] = True
    return facts


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value
