"""The comparison as Markdown."""

import shlex
import statistics
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from visattn.experiments.comparison.records import Record
from visattn.experiments.comparison.summary import Row, Section
from visattn.experiments.markdown import recipe_link, table_text
from visattn.metrics.statistic import Statistic
from visattn.training.outcomes import is_adversarial

Value = TypeVar("Value")
_NONE = "–"
_MINUS = "−"
_PERCENT = partial(Statistic.text, scale=100, digits=1)
_POINTS = partial(_PERCENT, sign="+")


def write_page(sections: Sequence[Section], *, pictures: Sequence[str]) -> str:
    """Markdown with two tables a section: accuracies, and what else was measured.

    Args:
        sections: From `summarise_records`.
        pictures: A file a section, as the page is to name it.

    Returns:
        The text.
    """
    parts = ["# Comparison of recipes", _legend(sections)]
    for section, picture in zip(sections, pictures, strict=True):
        parts += _title(section, sections, level=2)
        parts.append(f"```\n{command_of(section)}\n```")
        parts += _body(section, link=str)
        parts.append(f"![Accuracy by recipe and variant]({picture})")
    return "\n\n".join(parts) + "\n"


def tables_text(sections: Sequence[Section], *, folder: Path) -> str:
    """The same tables for a README, which says the command and shows the plots by itself.

    Args:
        sections: From `summarise_records`.
        folder: Where the README lies; recipes beside it are linked.

    Returns:
        Markdown without a heading of the first or the second level.
    """
    parts = [_legend(sections)]
    for section in sections:
        parts += _title(section, sections, level=3)
        parts += _body(section, link=lambda name: recipe_link(name, folder=folder))
    return "\n\n".join(parts)


def _title(section: Section, sections: Sequence[Section], *, level: int) -> list[str]:
    """What is special about a section, if there are several."""
    if len(sections) == 1:
        return []
    options = [set(_split(other.options)) for other in sections]
    shared = set.intersection(*options)
    own = " ".join(word for word in _split(section.options) if word not in shared)
    title = f"Options {own}" if own else "No further option"
    return [f"{'#' * level} {title.replace('--', '')}"]


def _body(section: Section, *, link: Callable[[str], str]) -> list[str]:
    remarks = ["\n".join(f"- {remark}" for remark in section.remarks)] if section.remarks else []
    accuracies, measures = _accuracies(section, link=link), _measures(section, link=link)
    return [_facts(section), *remarks, accuracies, *measures]


def command_of(section: Section) -> str:
    """A command that makes (or extends) a section."""
    named = sorted({record.fact("source") or record.recipe for record in section.records})
    seeds = max(record.seed for record in section.records) + 1
    words = [*map(shlex.quote, named), f"--seeds {seeds}"]
    blocks = {r.recipe for r in section.records if Path(r.fact("source")).stem != r.recipe}
    if any(record.fact("source") for record in section.records) and blocks:
        words.append(f"--blocks {','.join(sorted(blocks - {section.baseline}))}")
    words += [shlex.quote(word) for word in _split(section.options)]
    return " ".join(["visattn compare", *words])


def _split(options: str) -> list[str]:
    """The options of a canonical line; a value may hold spaces."""
    return [f"--{part}" for part in f" {options}".split(" --")[1:]]


def _legend(sections: Sequence[Section]) -> str:
    counts = {len(row.records) for section in sections for row in section.rows}
    many = "the number of seeds stands in each row" if len(counts) > 1 else f"{max(counts)} a row"
    return (
        "Accuracies in %, differences in points: mean ± sample standard deviation over training "
        f"seeds ({many}). The deviation says how much another seed changes, not how exactly the "
        "test images measure. The network at the end of the training is tested; nothing is "
        "selected."
    )


def _facts(section: Section) -> str:
    records = section.records

    def all_of(name: str) -> str:
        return ", ".join(dict.fromkeys(r.fact(name) for r in records if r.fact(name)))

    dates = sorted(record.fact("date")[:10] for record in records if record.fact("date"))
    days = dict.fromkeys([*dates[:1], *dates[-1:]])
    machines = dict.fromkeys(_machine(record) for record in records)
    chance = _agreed(record.numbers.get("chance") for record in records)
    tested = sorted(
        {
            int(r.numbers[f"images/{split}"])
            for r in records
            for split in section.splits
            if not is_adversarial(split) and f"images/{split}" in r.numbers
        }
    )
    lines = [
        f"visattn {all_of('visattn')}, torch {all_of('torch')}, code {all_of('code')}; "
        f"{' to '.join(days)}.",
        f"Each run on {'; or on '.join(m for m in machines if m)}.",
    ]
    if tested:
        lines.append(f"Images a split: {', '.join(map(str, tested))}.")
    if chance is not None:
        lines.append(f"Chance: {100 * chance:.1f} %.")
    return "\n".join(lines)


def _machine(record: Record) -> str:
    if not record.fact("processor"):
        return ""
    threads, jobs = record.fact("threads") or "?", record.fact("jobs") or "1"
    device = record.fact("device")
    return (
        f"{record.fact('processor')}, {record.fact('cores')} cores, {threads} "
        f"{'thread' if threads == '1' else 'threads'} a run, "
        f"{jobs} {'run' if jobs == '1' else 'runs'} at a time"
        f"{f', on {device}' if device not in ('', 'cpu') else ''}"
    )


def _accuracies(section: Section, *, link: Callable[[str], str]) -> str:
    heads = ["recipe", "seeds", *section.splits]
    rows = []
    for row in section.rows:
        cells = [link(row.recipe), str(len(row.records))]
        cells += [_cell(row, f"accuracy/{split}", _PERCENT) for split in section.splits]
        rows.append(cells)
    return table_text(heads, rows)


def _measures(section: Section, *, link: Callable[[str], str]) -> list[str]:
    split = section.main_split
    usual = _agreed(record.fact("energy_layer") or None for record in section.records)
    fine = _agreed(record.fact("fine_energy_layer") or None for record in section.records)
    columns: list[tuple[str, str, Callable[[Statistic], str]]] = [
        ("gap recovery", "gap_recovery", Statistic.text),
        (f"{split} over {section.baseline}", "over_baseline", _POINTS),
        ("BG-gap", "background_gap", _POINTS),
        (f"new {_MINUS} rand", "new_minus_rand", _POINTS),
        (f"only-bg {_MINUS} chance", "only_bg_minus_chance", _POINTS),
        ("worst group", f"worst_group/{split}", _PERCENT),
        *(
            (f"mask IoU, {name}", f"mask_iou/{name}", Statistic.text)
            for name in dict.fromkeys((split, "original"))
        ),
        (f"energy inside, {usual or 'last maps'}", "energy_inside", Statistic.text),
        (f"energy inside, {fine or '7 × 7 or finer'}", "fine_energy_inside", Statistic.text),
        ("training, minutes", "minutes", _median),
        ("epochs", "epochs", lambda found: f"{found.mean:.0f}"),
        ("parameters", "parameters", lambda found: f"{found.mean:,.0f}"),
    ]
    known = {name for row in section.rows for name in row.measures}
    columns = [entry for entry in columns if entry[1] in known]
    rows = [
        [link(row.recipe), *(_cell(row, name, form) for _, name, form in columns)]
        for row in section.rows
    ]
    heads = ["recipe", *(head for head, _, _ in columns)]
    return [table_text(heads, rows), _notes(section, known=known)]


def _notes(section: Section, *, known: set[str]) -> str:
    split = section.main_split
    notes = []
    for name in filter(is_adversarial, section.splits):
        count = _agreed(_means(section, f"images/{name}"))
        of = "foregrounds" if count is None else f"{count:.0f} foregrounds"
        notes.append(
            f"{name}: the share of {of} that are told right on every one of their "
            "backgrounds; one answer for all pictures gets the chance level."
        )
    if "gap_recovery" in known:
        notes.append(
            f"Gap recovery: (accuracy {_MINUS} {section.baseline}) / ({section.oracle} {_MINUS} "
            f"{section.baseline}) on {split}, seed by seed: 0 is {section.baseline}, 1 is "
            f"{section.oracle}."
        )
    if f"worst_group/{split}" in known:
        count = _agreed(_means(section, "groups"))
        small = _agreed(_means(section, "small_groups"))
        of = "those" if count is None else f"the {count:.0f}"
        left_out = "" if small is None else f", {small:.0f} smaller ones left out"
        notes.append(
            f"Worst group: the (class, background) group of {split} with the lowest accuracy, of "
            f"{of} with 10 images or more{left_out}; picked for being the lowest, so it is low by "
            "chance, too."
        )
    if "energy_inside" in known:
        level = next((f"{mean:.3f}" for mean in _means(section, "energy_chance")), "?")
        notes.append(
            "Energy inside: Grad-CAM's mass on the true mask, predicted class, up to 200 images "
            f"of {split}; a map that knows nothing gets {level}."
        )
    if f"mask_iou/{split}" in known:
        level = next((f"{mean:.3f}" for mean in _means(section, f"mask_share/{split}")), "?")
        notes.append(f"Mask IoU: a mask of the whole image gets {level}.")
    if "minutes" in known:
        notes.append("Training: median of the seeds, by the clock of a machine that may be shared.")
    return "\n".join(f"- {note}" for note in notes)


def _median(found: Statistic) -> str:
    median = statistics.median(found.values)
    return f"{median:.1f}" if median >= 1 else f"{median:.2f}"


def _means(section: Section, name: str) -> list[float]:
    return [row.measures[name].mean for row in section.rows if name in row.measures]


def _agreed(values: Iterable[Value | None]) -> Value | None:
    """The only value besides None; None if there are several."""
    found = {value for value in values if value is not None}
    return found.pop() if len(found) == 1 else None


def _cell(row: Row, name: str, form: Callable[[Statistic], str]) -> str:
    """A measure; with the number of seeds behind it where not all have it."""
    found = row.measures.get(name)
    if found is None:
        return _NONE
    partly = len(found.values) < len(row.records)
    return form(found) + (f" (n = {len(found.values)})" if partly else "")
