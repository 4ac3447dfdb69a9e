"""The numbers of one test, for a table, for JSON and for Python."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, final

import lightning as L
import torch
from rich.table import Table

from visattn.basics.terminal_table import terminal_table
from visattn.metrics import Difference, Proportion, WorstGroup, background_gap
from visattn.training.outcomes import GROUP_MINIMUM, SplitOutcome


@dataclass(frozen=True)
class Results:
    """The numbers of one test, ready for a table or a file.

    Attributes:
        splits: By split.
        gap: BG-gap where two splits show the same foregrounds on backgrounds of the same and of
            a random class (``mixed-same`` and ``mixed-rand``, ``test_same`` and ``test_rand``).

    Example:
        >>> Results().as_dict()
        {'splits': {}, 'background_gap': None}
    """

    splits: Mapping[str, SplitOutcome] = field(default_factory=dict)
    gap: Difference | None = None

    @classmethod
    def of(cls, splits: Mapping[str, SplitOutcome]) -> "Results":
        """The results of some splits."""
        return cls(splits, gap_of(splits))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; undefined ones are None."""
        found: dict[str, Any] = {"splits": {}}
        for name, outcome in self.splits.items():
            entry: dict[str, Any] = {"accuracy": _plain(asdict(outcome.accuracy))}
            if outcome.iou is not None:
                iou = {**asdict(outcome.iou), "chance": outcome.chance}
                entry["mask_iou"] = _plain(iou)
            if outcome.worst is not None:
                entry["worst_group"] = _group(outcome.worst, outcome.class_names)
            found["splits"][name] = entry
        found["background_gap"] = None if self.gap is None else _plain(asdict(self.gap))
        return found

    def table(self, *, title: str) -> Table:
        """A row a split: accuracy with its 95 % interval; worst group and mask IoU if there are."""
        with_mask = any(outcome.iou is not None for outcome in self.splits.values())
        with_groups = any(outcome.worst is not None for outcome in self.splits.values())
        headings = ["images", "accuracy", "95 % interval"]
        headings += ["worst group"] if with_groups else []
        headings += ["mask IoU"] if with_mask else []
        table = terminal_table(title=title, words=["split"], numbers=headings)
        notes = []
        if any(outcome.foregrounds for outcome in self.splits.values()):
            notes.append(
                "An adversarial split counts foregrounds: one is right if all of its images are."
            )
        if with_groups:
            notes.append(
                "Worst group: lowest accuracy of a class on a background; in brackets how many of "
                f"all groups have the {GROUP_MINIMUM} images to count."
            )
        table.caption = "\n".join(notes) or None
        for name, outcome in self.splits.items():
            share = outcome.accuracy
            cells = [name, str(share.images), percent(share.value), interval(share)]
            if with_groups:
                cells.append(_worst_cell(outcome.worst))
            if with_mask:
                cells.append("" if outcome.iou is None else f"{outcome.iou.mean:.3f}")
            table.add_row(*cells)
        if self.gap is not None:
            table.add_section()
            cells = ["BG-gap", str(self.gap.images), points(self.gap.value), interval(self.gap)]
            table.add_row(*cells)
        return table


@final
class Outcomes(L.Callback):
    """Takes over what `ImageClassifier` found in a test.

    Attributes:
        splits: From split to outcome, filled by ``trainer.test``.

    Example:
        >>> outcomes = Outcomes()
        >>> trainer = L.Trainer(callbacks=[outcomes], logger=False, enable_checkpointing=False)
        >>> outcomes.results().splits  # after trainer.test(model, data) one a split
        {}
    """

    def __init__(self) -> None:
        self.splits: dict[str, SplitOutcome] = {}

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take it."""
        self.splits = dict(pl_module.outcomes)  # type: ignore[arg-type]

    def results(self) -> Results:
        """The results of the last test."""
        return Results.of(self.splits)


def gap_of(splits: Mapping[str, SplitOutcome]) -> Difference | None:
    """The BG-gap of the splits ``...same`` and ``...rand``, if they show the same foregrounds."""
    for name, same in splits.items():
        rand = splits.get(f"{name.removesuffix('same')}rand")
        if not name.endswith("same") or rand is None:
            continue
        if torch.equal(same.label, rand.label) and same.names == rand.names:
            return background_gap(same.prediction, rand.prediction, same.label)
    return None


def percent(value: float) -> str:
    """A share in per cent.

    Example:
        >>> percent(0.9512), percent(float("nan"))
        ('95.1 %', '')
    """
    return "" if math.isnan(value) else f"{100 * value:.1f} %"


def points(value: float) -> str:
    """A difference of shares in points.

    Example:
        >>> points(-0.012)
        '-1.2'
    """
    return "" if math.isnan(value) else f"{100 * value:+.1f}"


def interval(found: Proportion | Difference) -> str:
    """The ends of an interval, in per cent or points.

    Example:
        >>> interval(Proportion(0.5, 0.4, 0.6, 5, 10))
        '40.0 to 60.0'
    """
    if math.isnan(found.low):
        return ""
    return f"{100 * found.low:.1f} to {100 * found.high:.1f}"


def _group(found: WorstGroup, class_names: tuple[str, ...]) -> dict[str, Any]:
    named = class_names and found.label is not None
    return {
        **_plain(asdict(found.accuracy)),
        "class": class_names[found.label or 0] if named else found.label,
        "background": found.background,
        "groups": found.groups,
        "left_out": found.left_out,
        "minimum": GROUP_MINIMUM,
    }


def _worst_cell(found: WorstGroup | None) -> str:
    if found is None:
        return ""
    return f"{percent(found.accuracy.value)} ({found.groups}/{found.groups + found.left_out})"


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in values.items()
    }
