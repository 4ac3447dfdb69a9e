"""What came of the runs: rows of a CSV file, which any later session can add to."""

import csv
import hashlib
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from visattn.basics.files import whole_file
from visattn.basics.lock import exclusive

REQUIRED = ("recipe", "seed", "options", "key")
_VERSIONS = ("recipe_hash", "source", "code", "visattn", "torch", "date")
_MACHINE = ("processor", "cores", "threads", "jobs", "device")
_FOUND = ("energy_layer", "fine_energy_layer", "worst_group_name")
FACTS = (*REQUIRED, *_VERSIONS, *_MACHINE, *_FOUND)
"""Columns with words; all others are numbers."""


@dataclass(frozen=True)
class Record:
    """What came of one run.

    Attributes:
        facts: Words, by column; see `FACTS`.
        numbers: What was measured, by column. Shares are in [0, 1].
    """

    facts: Mapping[str, str]
    numbers: Mapping[str, float] = field(default_factory=dict)

    @property
    def recipe(self) -> str:
        """Name of the recipe."""
        return self.facts["recipe"]

    @property
    def seed(self) -> int:
        """Seed of the training."""
        return int(self.facts["seed"])

    @property
    def options(self) -> str:
        """Options that all runs of a comparison had."""
        return self.facts["options"]

    @property
    def key(self) -> str:
        """Of the run, see `visattn.experiments.comparison.plan.Run`."""
        return self.facts["key"]

    def fact(self, name: str) -> str:
        """A word, empty if it isn't known."""
        return self.facts.get(name, "")


def read_records(path: Path) -> list[Record]:
    """The rows of a file, in its order; none if there is no file.

    Raises:
        ValueError: A column is missing, or a number is none; with the line.
    """
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = [name for name in REQUIRED if name not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(
                f"{path} has no column {', '.join(missing)}: visattn compare made none"
            )
        return [_record(row, where=f"{path}, line {reader.line_num}") for row in reader]


def add_records(path: Path, records: Iterable[Record]) -> list[Record]:
    """Add rows to a file, or put them in the place of those with their key; return all rows.

    The file is written beside and then renamed, under a lock: it is whole at any moment, and two
    comparisons may add to it.
    """
    named = hashlib.blake2b(str(path.resolve()).encode(), digest_size=8).hexdigest()
    with exclusive(Path(tempfile.gettempdir()) / f"visattn-{named}.lock"):
        found = {record.key: record for record in (*read_records(path), *records)}
        rows = sorted(found.values(), key=lambda r: (r.options, r.recipe, r.seed))
        _write(path, rows)
    return rows


def _write(path: Path, records: Sequence[Record]) -> None:
    numbers = dict.fromkeys(name for record in records for name in record.numbers)
    with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*FACTS, *numbers])
        for record in records:
            shown = [record.fact(name) for name in FACTS]
            shown += [_text(record.numbers.get(name)) for name in numbers]
            writer.writerow(shown)


def _text(value: float | None) -> str:
    if value is None or value != value:
        return ""
    return f"{value:.0f}" if value == round(value) else f"{value:.6g}"


def _record(row: Mapping[str | None, str | None], *, where: str) -> Record:
    facts, numbers = {}, {}
    for name, value in row.items():
        if name is None:
            raise ValueError(f"{where}: more values than columns")
        if name in FACTS:
            facts[name] = value or ""
        elif value:
            try:
                numbers[name] = float(value)
            except ValueError as error:
                raise ValueError(f"{where}: {name} must be a number, got {value!r}") from error
    if not facts["seed"].isdigit():
        raise ValueError(f"{where}: seed must be a whole number, got {facts['seed']!r}")
    return Record(facts, numbers)
