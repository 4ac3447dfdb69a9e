"""Tests of several runs side by side: mean and standard deviation over their seeds."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from visattn.basics.suggestions import nearest
from visattn.experiments.markdown import recipe_link, table_text
from visattn.metrics.statistic import Statistic
from visattn.training.command_line.runs import versions_of

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
        cells = [_cell(measured.get(measure, [])) for measure in measures]
        table.add_row(name, split, str(count), *cells)
    return table


def column_table(tests: Mapping[str, Numbers], *, columns: Sequence[str]) -> Table:
    """A row for each name, with the measures that are asked for.

    Args:
        tests: From name to what `read_tests` gives.
        columns: Measures, as ``MEASURE/SPLIT``.

    Raises:
        ValueError: No test has such a measure.

    Example:
        >>> tests = {"dot": {"test_5": {"exact": [0.9, 1.0]}}}
        >>> list(column_table(tests, columns=["exact/test_5"]).columns[2].cells)
        ['0.950 ± 0.071']
    """
    table = Table()
    table.add_column("name", no_wrap=True)
    table.add_column("runs")
    for head in _heads(columns):
        table.add_column(head, justify="right")
    for name, count, cells in _rows(tests, columns=columns):
        table.add_row(name, count, *cells)
    return table


def markdown_table(tests: Mapping[str, Numbers], *, columns: Sequence[str], folder: Path) -> str:
    """The same in Markdown; recipes that lie in the folder are linked."""
    rows = [
        [recipe_link(name, folder=folder), count, *cells]
        for name, count, cells in _rows(tests, columns=columns)
    ]
    return table_text(["recipe", "seeds", *_heads(columns)], rows)


def _heads(columns: Sequence[str]) -> list[str]:
    """``exact, test 5``; the measure alone where there is but one split."""
    parts = [column.partition("/") for column in columns]
    several = len({split for _, _, split in parts}) > 1
    heads = [f"{measure}, {split}" if several else measure for measure, _, split in parts]
    return [head.replace("_", " ") for head in heads]


def _rows(
    tests: Mapping[str, Numbers], *, columns: Sequence[str]
) -> Iterator[tuple[str, str, list[str]]]:
    known = {
        f"{measure}/{split}": None
        for numbers in tests.values()
        for split, measured in numbers.items()
        for measure in measured
    }
    for column in columns:
        if column not in known:
            raise ValueError(
                f"no measure {column!r}{nearest(column, names=known)}; there are {', '.join(known)}"
            )
    filled = []
    for column in columns:
        measure, _, split = column.partition("/")
        found = [numbers.get(split, {}).get(measure, []) for numbers in tests.values()]
        filled.append(_whole(found) or [_cell(values) for values in found])
    for (name, numbers), cells in zip(tests.items(), zip(*filled, strict=True), strict=True):
        count = max(len(found) for measured in numbers.values() for found in measured.values())
        yield name, f"{count}", list(cells)


def _whole(column: Sequence[Sequence[float]]) -> list[str] | None:
    """Cells of a count: whole numbers, not all of them 0 or 1, that no seed changes."""
    known = [value for values in column for value in values]
    counted = all(value == int(value) for value in known) and max(known) > 1
    if not counted or any(len(set(values)) > 1 for values in column):
        return None
    return [f"{values[0]:.0f}" if values else "" for values in column]


def _cell(values: Sequence[float]) -> str:
    return Statistic.of(values).text() if values else ""


def _number(value: Any) -> float | None:
    """A number, or the value or mean of an entry with an interval."""
    if isinstance(value, Mapping):
        value = value.get("value", value.get("mean"))
    return float(value) if isinstance(value, (int, float)) else None
