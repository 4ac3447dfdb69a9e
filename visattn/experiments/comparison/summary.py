"""Means and standard deviations over the seeds of each recipe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from visattn.data.generated.sushi.parameters import TEST_VARIANTS
from visattn.experiments.comparison.columns import random_split
from visattn.experiments.comparison.records import Record
from visattn.metrics import gap_recovery
from visattn.metrics.statistic import Statistic

BASELINE, ORACLE = "plain", "true_mask"
_ORDER = (*TEST_VARIANTS, "adversarial")


@dataclass(frozen=True)
class Row:
    """One recipe.

    Attributes:
        recipe: Its name.
        records: Its runs, by seed.
        measures: By column of the CSV file; and ``over_baseline``, ``gap_recovery`` (both but for
            the recipes that they refer to) and ``only_bg_minus_chance``, taken seed by seed.
    """

    recipe: str
    records: tuple[Record, ...]
    measures: Mapping[str, Statistic]


@dataclass(frozen=True)
class Section:
    """Recipes that were run with the same options, the best on random backgrounds first.

    Attributes:
        options: That all runs had.
        splits: Test splits with an accuracy.
        rows: One a recipe.
        remarks: What a reader must know, a sentence each.
        baseline: Name of the recipe that the others are compared with.
        oracle: Name of the recipe that is given the true mask.
    """

    options: str
    splits: tuple[str, ...]
    rows: tuple[Row, ...]
    remarks: tuple[str, ...]
    baseline: str
    oracle: str

    @property
    def records(self) -> list[Record]:
        """The runs of all rows."""
        return [record for row in self.rows for record in row.records]

    @property
    def random_split(self) -> str | None:
        """The split with random backgrounds, if there is one."""
        return random_split(self.splits)

    @property
    def main_split(self) -> str:
        """That one, or else the first."""
        return self.random_split or (self.splits or ("",))[0]


def summarise_records(
    records: Sequence[Record], *, baseline: str = BASELINE, oracle: str = ORACLE
) -> list[Section]:
    """Sections by options, those with the fewest first, with a row a recipe.

    Of a recipe that was changed between runs, the content with the newest run counts. Differences
    to the baseline and gap recovery are taken seed by seed, over the seeds that all of them have.

    Args:
        records: Rows of a CSV file.
        baseline: Name of the plain recipe.
        oracle: Name of the recipe that is given the true mask.
    """
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.options, []).append(record)
    fewest_first = sorted(groups, key=lambda options: f" {options}".count(" --"))
    return [_section(o, groups[o], baseline=baseline, oracle=oracle) for o in fewest_first]


def _section(options: str, records: Sequence[Record], *, baseline: str, oracle: str) -> Section:
    remarks: list[str] = []
    runs: dict[str, dict[int, Record]] = {}
    for recipe in dict.fromkeys(record.recipe for record in records):
        own = [record for record in records if record.recipe == recipe]
        newest = max(own, key=lambda record: record.fact("date"))
        current = [r for r in own if _content(r) == _content(newest)]
        if len(current) < len(own):
            remarks.append(
                f"{recipe} was changed between runs: {len(own) - len(current)} of an earlier "
                "content or version are left out."
            )
        runs[recipe] = {record.seed: record for record in sorted(current, key=lambda r: r.seed)}
    shown = [record for own in runs.values() for record in own.values()]
    names = [name for record in shown for name in record.numbers]
    known = {n.removeprefix("accuracy/") for n in names if n.startswith("accuracy/")}
    splits = [*(s for s in _ORDER if s in known), *sorted(known - set(_ORDER))]
    split = random_split(splits)
    missing = [name for name in (baseline, oracle) if name not in runs]
    if split is None:
        remarks.append("No split has random backgrounds, so there is no gap recovery.")
    elif missing:
        remarks.append(
            f"No recipe is called {' or '.join(missing)}, so there is no gap recovery"
            f"{', nor a difference to it' if baseline in missing else ''}."
        )
    codes = {record.fact("code") for record in shown} - {""}
    if len(codes) > 1:
        remarks.append(f"The runs come from {len(codes)} states of the code (column code).")
    lengths = {max(r.numbers.get("epochs", 0) for r in own.values()) for own in runs.values()}
    if len(lengths - {0}) > 1:
        remarks.append(
            "The recipes trained for different numbers of epochs, and more of them help some more "
            "than others: --trainer.max_epochs N gives all the same."
        )
    main = split or (splits or [""])[0]
    rows = []
    for recipe, seeds in runs.items():
        others = {name: found for name, found in runs.items() if name != recipe}
        low, high = others.get(baseline, {}), others.get(oracle, {}) if split else {}
        rows.append(_row(recipe, seeds, column=f"accuracy/{main}", plain=low, oracle=high))
    first = f"accuracy/{main}"
    rows.sort(key=lambda row: -row.measures[first].mean if first in row.measures else 1.0)
    return Section(options, tuple(splits), tuple(rows), tuple(remarks), baseline, oracle)


def _row(
    recipe: str,
    runs: Mapping[int, Record],
    *,
    column: str,
    plain: Mapping[int, Record],
    oracle: Mapping[int, Record],
) -> Row:
    """The measures of a recipe; the other two have no runs where it is one of them itself."""
    values: dict[str, list[float]] = {}
    for seed, record in runs.items():
        found = dict(record.numbers)
        if "accuracy/only_bg" in found and "chance" in found:
            found["only_bg_minus_chance"] = found["accuracy/only_bg"] - found["chance"]
        ours, low, high = (
            at.numbers.get(column) if at is not None else None
            for at in (record, plain.get(seed), oracle.get(seed))
        )
        if ours is not None and low is not None:
            found["over_baseline"] = ours - low
            if high is not None and high != low:
                found["gap_recovery"] = gap_recovery(ours, plain=low, oracle=high)
        for name, value in found.items():
            values.setdefault(name, []).append(value)
    measures = {name: Statistic.of(found) for name, found in values.items()}
    return Row(recipe, tuple(runs.values()), measures)


def _content(record: Record) -> tuple[str, str]:
    return record.fact("recipe_hash"), record.fact("visattn")
