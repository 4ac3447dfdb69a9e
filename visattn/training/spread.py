"""Tests of several runs side by side: mean and standard deviation over their seeds."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from visattn.training.runs import versions_of
from visattn.training.suggestions import nearest

Numbers = dict[str, dict[str, list[float]]]
"""From split to measure to one number a run."""


def read_tests(runs: Path, *, name: str) -> Numbers:
    """What ``visattn test`` wrote for every run of a name.

    Args:
        runs: Folder of all runs.
        name: Which runs.

    Raises:
        FileNotFoundError: None of them was tested.
    """
    found: Numbers = {}
    for version in versions_of(runs, name=name):
        path = runs / name / f"version_{version}" / "test.json"
        if not path.is_file():
            continue
        splits = json.loads(path.read_text(encoding="utf-8"))["splits"]
        for split, measured in splits.items():
            for measure, value in measured.items():
                number = _number(value)
                if number is not None:
                    found.setdefault(split, {}).setdefault(measure, []).append(number)
    if not found:
        others = sorted(p.name for p in runs.iterdir() if p.is_dir()) if runs.is_dir() else []
        if name in others:
            raise FileNotFoundError(
                f"{runs / name} has no tested run; test it first: visattn test -c ..."
            )
        raise FileNotFoundError(
            f"no test.json under {runs / name}/version_*{nearest(name, names=others)}; train and "
            "test first: visattn fit -c ... and visattn test -c ... Runs there: "
            f"{', '.join(others)}"
        )
    return found


def spread_table(tests: Mapping[str, Numbers], *, splits: Sequence[str] | None = None) -> Table:
    """A row for each name and split: mean ± standard deviation over the runs of each measure.

    Args:
        tests: From name to what `read_tests` gives.
        splits: Those to show; all if None.

    Raises:
        ValueError: No test has such a split.

    Example:
        >>> table = spread_table({"dot": {"test_5": {"exact": [0.9, 1.0, 0.95]}}})
        >>> list(table.columns[3].cells)
        ['0.950 ± 0.050']
    """
    known = list(dict.fromkeys(split for numbers in tests.values() for split in numbers))
    for split in splits or ():
        if split not in known:
            raise ValueError(
                f"no split {split!r}{nearest(split, names=known)}; there are {', '.join(known)}"
            )
    rows = [
        (name, split, measured)
        for name, numbers in tests.items()
        for split, measured in numbers.items()
        if splits is None or split in splits
    ]
    measures = list(dict.fromkeys(measure for _, _, measured in rows for measure in measured))
    table = Table("name", "split", "runs")
    for measure in measures:
        table.add_column(measure.replace("_", " "), justify="right")
    for name, split, measured in rows:
        count = max(len(values) for values in measured.values())
        cells = [_cell(measured[measure]) if measure in measured else "" for measure in measures]
        table.add_row(name, split, str(count), *cells)
    return table


def _cell(values: Sequence[float]) -> str:
    mean = f"{statistics.mean(values):.3f}"
    return f"{mean} ± {statistics.stdev(values):.3f}" if len(values) > 1 else mean


def _number(value: Any) -> float | None:
    """A number, or the value or mean of an entry with an interval."""
    if isinstance(value, Mapping):
        value = value.get("value", value.get("mean"))
    return float(value) if isinstance(value, (int, float)) else None
