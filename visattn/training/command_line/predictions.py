"""What ``visattn predict`` writes."""

import csv
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import torch

from visattn.basics.files import whole_file
from visattn.basics.processes import from_all, process_count

_COLUMNS = ("index", "prediction", "probabilities")


def all_predictions(batches: Sequence[Any]) -> Sequence[Any]:
    """What all processes predicted, each row once and in their order, as one batch.

    Args:
        batches: What this one predicted.
    """
    if process_count() == 1:
        return batches
    own = [{name: batch[name].cpu() for name in _COLUMNS} for batch in batches]
    found = [batch for part in from_all(own) for batch in part]
    if not found:
        return []
    joined = {name: torch.cat([batch[name] for batch in found]) for name in _COLUMNS}
    order = joined["index"].argsort()
    return [{name: values[order] for name, values in joined.items()}]


def write_predictions(
    path: Path, batches: Sequence[Any], *, items: Any, class_names: Sequence[str]
) -> None:
    """A row an image: its path, the predicted class and the probability of each class."""
    with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "prediction", *(f"p_{name}" for name in class_names)])
        number = count()
        for batch in batches:
            rows = zip(
                batch["index"].tolist(),
                batch["prediction"].tolist(),
                batch["probabilities"].tolist(),
                strict=True,
            )
            for index, prediction, probabilities in rows:
                row = next(number) if index < 0 else index  # of data that don't say
                where = items[row].path if items is not None else row
                shares = [f"{value:.6f}" for value in probabilities]
                writer.writerow([where, class_names[prediction], *shares])
