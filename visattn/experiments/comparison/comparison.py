"""Train and test recipes with several seeds, and tell how they compare."""

import glob
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from visattn.basics.files import write_whole
from visattn.basics.suggestions import nearest
from visattn.experiments.comparison.columns import RANDOM
from visattn.experiments.comparison.figure import draw_section
from visattn.experiments.comparison.page import tables_text, write_page
from visattn.experiments.comparison.plan import (
    Run,
    code_hash,
    find_recipes,
    plan_runs,
    recipe_paths,
    with_blocks,
)
from visattn.experiments.comparison.processes import Machine, Place, finished, run_all
from visattn.experiments.comparison.records import Record, add_records, read_records
from visattn.experiments.comparison.summary import BASELINE, ORACLE, summarise_records
from visattn.experiments.markdown import fill_readme


def compare(
    recipes: Sequence[str],
    *,
    seeds: int = 5,
    blocks: Sequence[str] = (),
    words: Sequence[str] = (),
    out: str | Path = "runs/compare",
    results: str | Path | None = None,
    jobs: int = 1,
    threads: int | None = None,
    baseline: str = BASELINE,
    oracle: str = ORACLE,
    skip: Sequence[str] = (),
    same_code: bool = False,
    readme: str | Path | None = None,
) -> list[Path]:
    """Train and test each recipe with seeds 0, 1, ...; write CSV, Markdown and a plot.

    A run that is in the CSV file with the same content of its recipe, the same options, seed and
    version of visattn is not run again; one that was interrupted starts anew.

    Args:
        recipes: YAML files, globs, or names of recipes that come with visattn.
        seeds: How many seeds.
        blocks: Blocks to put into the one recipe in turn, see `with_blocks`.
        words: Options for all runs, as ``--KEY=VALUE``.
        out: Folder for run folders, logs and, unless ``results`` says otherwise, the tables.
        results: The CSV file, to which rows are added; Markdown and plot go beside it.
        jobs: Runs at a time.
        threads: Of each run; ``OMP_NUM_THREADS``, else all cores over ``jobs``, if None.
        baseline: The recipe that the others are compared with.
        oracle: The recipe that is given the true mask.
        skip: Names or globs of recipes to leave out.
        same_code: Run again what another state of visattn's code measured.
        readme: A file whose place for a table is filled, see `visattn.experiments.markdown`.

    Returns:
        The files: CSV, Markdown and the plots.

    Raises:
        ValueError: A recipe or an option that cannot be run; before anything is trained.
        ChildProcessError: Runs that failed; after all others were done.
    """
    say = partial(Console(highlight=False, soft_wrap=True).print, markup=False)
    place, machine = Place(Path(out)), Machine.of(jobs=jobs, threads=threads)
    table = place.out / "results.csv" if results is None else Path(results)
    if table.suffix != ".csv":
        raise ValueError(f"results must be a .csv file, got {table}")
    chosen = find_recipes(recipes, skip=skip)
    if blocks:
        chosen = with_blocks(chosen, blocks, baseline=baseline)
    runs = plan_runs(chosen, seeds=seeds, words=words)
    records = {record.key: record for record in read_records(table)}
    ended = [finished(run, place=place, machine=machine) for run in runs]
    new = [record for record in ended if record is not None and record.key not in records]
    records |= {record.key: record for record in new}
    known = [run for run in runs if run.key in records]
    other = [run for run in known if records[run.key].fact("code") != code_hash(run.recipe.task)]
    missing = [run for run in runs if run not in known or (same_code and run in other)]
    say(
        f"Runs: {len(runs)}, finished earlier: {len(runs) - len(missing)}; "
        f"at a time: {machine.jobs}, threads of each: {machine.threads}; "
        f"logs in {place.out / 'logs'}"
    )
    if other and not same_code:
        say(
            f"Measured by another state of visattn's code, and kept: {len(other)} (--same-code "
            "runs them again)"
        )
    if missing:
        from visattn.experiments.comparison.preparation import prepare

        prepare(dict.fromkeys(run.recipe for run in missing), words=words)
    if new:
        add_records(table, new)
    failed: list[Run] = []
    written: list[Path] = []
    tables = partial(write_tables, table, baseline=baseline, oracle=oracle, readme=readme)
    begun = time.monotonic()
    for count, (run, record) in enumerate(run_all(missing, place=place, machine=machine), 1):
        if record is None:
            failed.append(run)
        else:
            add_records(table, [record])
            written = tables()
        left = (time.monotonic() - begun) / count * (len(missing) - count) / 60
        text = f"[{count}/{len(missing)}] {run.recipe.name}, seed {run.seed}: {_outcome(record)}"
        say(f"{text}; about {left:.0f} min left" if left else text)
    if read_records(table) and not written:
        written = tables()
    for path in written:
        say(f"{path}")
    if failed:
        raise ChildProcessError(
            f"{len(failed)} of {len(missing)} runs failed; the same command runs these again:\n"
            + "\n".join(_failure(run, place=place) for run in failed)
        )
    return written


def write_tables(
    table: str | Path,
    *,
    recipes: Sequence[str] = (),
    baseline: str = BASELINE,
    oracle: str = ORACLE,
    readme: str | Path | None = None,
) -> list[Path]:
    """Make Markdown and plot from a CSV file alone.

    Args:
        table: The CSV file.
        recipes: Names of recipes to show; all if there is none.
        baseline: The recipe that the others are compared with.
        oracle: The recipe that is given the true mask.
        readme: A file whose place for a table is filled, see `visattn.experiments.markdown`.

    Returns:
        The files: CSV, Markdown and a plot for each set of options.

    Raises:
        FileNotFoundError: There is no such file, or no row in it.
        ValueError: The file is none of these, or a recipe isn't in it, or the README has no place
            for a table.
    """
    table = Path(table)
    records = read_records(table)
    if not records:
        raise FileNotFoundError(f"no results in {table}; visattn compare RECIPES makes them")
    known = list(dict.fromkeys(record.recipe for record in records))
    wanted = _wanted(recipes, known=known)
    for name in wanted:
        if name not in known:
            raise ValueError(
                f"no recipe {name!r} in {table}{nearest(name, names=known)}\n"
                f"There are {', '.join(known)}"
            )
    shown = [record for record in records if not wanted or record.recipe in wanted]
    sections = summarise_records(shown, baseline=baseline, oracle=oracle)
    stems = [table.stem, *(f"{table.stem}_{n}" for n in range(2, len(sections) + 1))]
    pictures = [
        draw_section(section, table.with_name(f"{stem}.png"))
        for section, stem in zip(sections, stems, strict=True)
    ]
    page = write_page(sections, pictures=[path.name for path in pictures])
    written = write_whole(table.with_suffix(".md"), page)
    if readme is not None:
        text = tables_text(sections, folder=Path(readme).parent)
        fill_readme(readme, text, name=table.stem)
    return [table, written, *pictures]


def _outcome(record: Record | None) -> str:
    if record is None:
        return "failed"
    numbers = record.numbers
    parts = [
        f"{name} {100 * numbers[f'accuracy/{name}']:.1f} %"
        for name in ("original", *RANDOM)
        if f"accuracy/{name}" in numbers
    ]
    return ", ".join([*parts, f"trained {numbers['minutes']:.1f} min"])


def _failure(run: Run, *, place: Place) -> str:
    log = place.log(run)
    lines = [line for line in log.read_text(encoding="utf-8").splitlines() if line.strip()]
    return f"{run.recipe.name}, seed {run.seed}: {lines[-1].strip() if lines else ''} ({log})"


def _wanted(words: Sequence[str], *, known: Sequence[str]) -> list[str]:
    """Names of recipes in a table, for names, files and globs as `compare` takes them."""
    names: list[str] = []
    for word in words:
        if glob.has_magic(word):
            fitting = [path.stem for path in recipe_paths(word) if path.stem in known]
            names += fitting or [word]
        else:
            names.append(Path(word).stem)
    return names
