"""Means of what is measured on each test split, and their table."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, final

import lightning as L
import torch
from rich.table import Table
from torch import Tensor

from visattn.basics.processes import from_all
from visattn.training.data_facts import names_of_tests

Reductions = Mapping[str, Callable[[Tensor], Tensor]]
"""From a measure to what takes the place of the mean over its values."""


@final
class SplitMeans:
    """What is measured, by split and measure.

    Args:
        reductions: For what isn't a mean.

    Example:
        >>> means = SplitMeans({"milliseconds": torch.median})
        >>> means.add(0, "exact", torch.tensor([True, False]))
        >>> means.add(0, "exact", torch.tensor([True, True]))
        >>> means.add(0, "milliseconds", torch.tensor([3.0, 9.0, 4.0]))
        >>> means.of(0)
        {'exact': 0.75, 'milliseconds': 4.0}
    """

    def __init__(self, reductions: Reductions) -> None:
        self._reductions = reductions
        self._values: dict[tuple[int, str], list[Tensor]] = defaultdict(list)

    def reset(self) -> None:
        """Forget everything."""
        self._values.clear()

    @property
    def empty(self) -> bool:
        """Whether nothing was added yet."""
        return not self._values

    def add(self, split: int, measure: str, values: Tensor) -> None:
        """Values of one batch, a number for each of what is counted."""
        self._values[split, measure].append(values.detach().cpu())

    def of(self, split: int) -> dict[str, float]:
        """The means of one split, in single precision, as they are logged."""
        found = {}
        for (place, measure), parts in self._values.items():
            if place == split and any(map(len, parts)):
                reduction = self._reductions.get(measure, torch.mean)
                found[measure] = reduction(torch.cat(parts).double()).float().item()
        return found

    def compute(self, trainer: L.Trainer) -> dict[str, float]:
        """``SPLIT/MEASURE`` to mean, by the names that the data give to the splits.

        What other processes measured counts too; all of them must call it.
        """
        joined: dict[tuple[int, str], list[Tensor]] = defaultdict(list)
        for found in from_all(dict(self._values)):
            for key, values in found.items():
                joined[key] += values
        self._values = joined
        return {
            f"{name}/{measure}": value
            for place, name in enumerate(names_of_tests(trainer))
            for measure, value in self.of(place).items()
        }


@dataclass(frozen=True)
class MeasuredResults:
    """Means by split and measure.

    Attributes:
        splits: From split to measure to mean.
    """

    splits: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"splits": self.splits}

    def table(self, *, title: str) -> Table:
        """A row a split, a column a measure."""
        measures = list(dict.fromkeys(name for found in self.splits.values() for name in found))
        table = Table(title=title, title_justify="left")
        table.add_column("split")
        for measure in measures:
            table.add_column(measure.replace("_", " "), justify="right")
        for name, found in self.splits.items():
            cells = (f"{found[m]:.3f}" if m in found else "" for m in measures)
            table.add_row(name, *cells)
        return table


@final
class Measured(L.Callback):
    """Gathers what a test logs as ``SPLIT/MEASURE``."""

    def __init__(self) -> None:
        self._splits: dict[str, dict[str, float]] = {}

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take what was logged."""
        self._splits = {}
        for name, value in trainer.callback_metrics.items():
            split, slash, measure = name.partition("/")
            if slash and split in names_of_tests(trainer):
                self._splits.setdefault(split, {})[measure] = float(value)

    def results(self) -> MeasuredResults:
        """The results of the last test."""
        return MeasuredResults(self._splits)
