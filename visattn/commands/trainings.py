"""Commands that train several networks, and that show what trainings left behind."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from rich.console import Console


def compare_starts(
    *,
    seeds: list[int] | None = None,
    out: str = "runs/finetuning",
    quick: bool = False,
) -> None:
    """Fine-tune attention that begins as the identity and as published, and draw the curves.

    Args:
        seeds: Of the trainings; 0, 1 and 2 if not given.
        out: Folder for results.json and curves.png; curves that are there aren't trained again.
        quick: A few pictures and steps, to see that everything works; the numbers mean nothing.
    """
    from visattn.experiments.starts import run_finetuning

    run_finetuning(seeds=(0, 1, 2) if seeds is None else seeds, out=out, quick=quick)


def show_spread(
    names: list[str],
    *,
    runs: str = "runs",
    splits: list[str] | None = None,
    columns: list[str] | None = None,
    readme: str | None = None,
) -> None:
    """Put the tests of several runs side by side: mean and standard deviation over their seeds.

    Args:
        names: Names of runs, such as translation_none translation_dot.
        runs: Folder of all runs.
        splits: The test splits to show, such as '[test_5]'; all if not given.
        columns: Measures to show, a row a name, such as '[exact/test_1, exact/test_5]'.
        readme: A Markdown file that gets the table of these columns, between its lines
            <!-- table --> and <!-- end -->.
    """
    from visattn.experiments.markdown import fill_readme
    from visattn.experiments.spread import column_table, markdown_table, read_tests, spread_table

    if splits and columns:
        raise ValueError("give splits or columns, not both: a column names its split")
    if readme is not None and not columns:
        raise ValueError("a README's table needs its columns, such as '[exact/test_5]'")
    tests = {name: read_tests(Path(runs), name=name) for name in names}
    if readme is not None and columns:
        fill_readme(readme, markdown_table(tests, columns=columns, folder=Path(readme).parent))
    table = column_table(tests, columns=columns) if columns else spread_table(tests, splits=splits)
    Console().print(table)


def gather_spread(words: Sequence[str]) -> list[str]:
    """The words of ``spread`` as its parser takes them: names in one list."""
    return _named(words, command=show_spread)


def show_smiles(names: list[str], *, runs: str = "runs", out: str | None = None) -> None:
    """Test trainings of the far-away smile: a table, accuracy by distance, where the plates look.

    Prints the receptive field of the layers before the attention, too.

    Args:
        names: Names of runs, such as longrange_plain longrange_nonlocal.
        runs: Folder of all runs.
        out: Folder for distances.png and queries.png; the folder of all runs if not given.
    """
    from visattn.tasks.smiles.figures import draw_distances, draw_queries
    from visattn.tasks.smiles.results import examine_run, load_runs, smile_table

    found = {name: load_runs(runs, name=name) for name in names}
    tests = [
        examine_run(module, data, name=name)
        for name, trained in found.items()
        for module, data in trained
    ]
    console = Console(highlight=False)
    for field in sorted({test.field for test in tests}):
        console.print(f"receptive field before the attention: {field} x {field} pixels")
    console.print(smile_table(tests))
    folder = Path(runs if out is None else out)
    folder.mkdir(parents=True, exist_ok=True)
    print(draw_distances(tests, folder / "distances.png"))
    looking = {name: trained[0] for name, trained in found.items()}
    if any("mass" in test.means["test"] for test in tests):
        print(draw_queries(looking, folder / "queries.png"))


def compare_recipes(
    *,
    recipes: list[str] | None = None,
    seeds: int = 5,
    blocks: list[str] | str | None = None,
    out: str = "runs/compare",
    results: str | None = None,
    jobs: int = 1,
    threads: int | None = None,
    baseline: str = "plain",
    oracle: str = "true_mask",
    skip: list[str] | str | None = None,
    same_code: bool = False,
    tables_only: bool = False,
    readme: str | None = None,
    options: list[str] | None = None,
) -> None:
    """Train and test recipes with several seeds: visattn compare recipes/foreground/*.yaml.

    With --blocks all, or names such as 'se,cbam,sk', there is one recipe, which is trained without
    attention and with each block in turn: visattn compare blocks/kinds --blocks all.

    All words without dashes are recipes, and options that begin with --trainer, --model or --data
    go to all runs: visattn compare foreground/plain foreground/mask --data.rho 1.0. Finished runs
    are not run again.

    Args:
        recipes: Files, globs or names; simply the words without dashes.
        seeds: How many seeds: 0, 1, 2, ...
        blocks: Blocks of attention to put into the recipe in turn, names or globs, or all.
        out: Folder for runs, logs and tables.
        results: The CSV file, which may have rows already; the Markdown and the plot go beside it;
            results.csv in the folder for everything if not given.
        jobs: Runs at a time.
        threads: Threads of each run; OMP_NUM_THREADS, or all cores over the jobs, if not given.
        baseline: Name of the recipe that the others are compared with.
        oracle: Name of the recipe that is given the true mask.
        skip: Names of recipes to leave out, such as 'hands*,pet'.
        same_code: Run again what another state of visattn's code measured.
        tables_only: Run nothing; make Markdown and plot from the CSV file.
        readme: A Markdown file that gets the tables too, between its lines <!-- table --> and
            <!-- end -->.
        options: Options for all runs; simply those that begin with --trainer, --model or --data.
    """
    given = locals()
    from visattn.experiments.comparison.comparison import compare, write_tables

    if given.pop("tables_only"):
        table = Path(out) / "results.csv" if results is None else Path(results)
        named = {"baseline": baseline, "oracle": oracle}
        for path in write_tables(table, recipes=recipes or [], readme=readme, **named):
            print(path)
        return
    if not recipes:
        raise ValueError("name the recipes: visattn compare recipes/foreground/*.yaml")
    given |= {"skip": _listed(skip), "blocks": _listed(blocks)}
    given["words"] = given.pop("options") or []
    compare(given.pop("recipes"), **given)


def gather_comparison(words: Sequence[str]) -> list[str]:
    """The words of ``compare`` as its parser takes them."""
    from visattn.commands.word_lists import gathered

    return gathered(
        words,
        command=compare_recipes,
        things="recipes",
        options="options",
        heads=("trainer", "model", "data"),
    )


def _listed(given: list[str] | str | None) -> list[str]:
    if isinstance(given, str):
        return [part.strip() for part in given.strip("[]").split(",") if part.strip()]
    return given or []


def gather_smiles(words: Sequence[str]) -> list[str]:
    """The words of ``smiles`` as its parser takes them: names in one list."""
    return _named(words, command=show_smiles)


def _named(words: Sequence[str], *, command: Callable[..., None]) -> list[str]:
    """The words with all names in one list, unless they are given as one."""
    from visattn.commands.word_lists import gathered

    if any(word[:1] == "[" and before[:2] != "--" for before, word in pairwise(["", *words])):
        return list(words)
    return gathered(words, command=command, things="names")
