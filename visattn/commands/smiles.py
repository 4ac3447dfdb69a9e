"""Commands about the far-away smile."""


def show_smiles(names: list[str], *, runs: str = "runs", out: str | None = None) -> None:
    """Test trainings of the far-away smile: a table, accuracy by distance, where the plates look.

    Prints the receptive field of the layers before the attention, too.

    Args:
        names: Names of runs, such as '[longrange_plain, longrange_nonlocal]'.
        runs: Folder of all runs.
        out: Folder for distances.png and queries.png; the folder of all runs if not given.
    """
    from pathlib import Path

    from rich.console import Console

    from visattn.tasks.smiles.figures import draw_distances, draw_queries
    from visattn.tasks.smiles.results import examine_run, load_runs, smile_table

    found = {name: load_runs(runs, name=name) for name in names}
    tests = [
        examine_run(module, data, name=name, seed=seed)
        for name, trained in found.items()
        for module, data, seed in trained
    ]
    console = Console(highlight=False)
    for field in sorted({test.field for test in tests}):
        console.print(f"receptive field before the attention: {field} x {field} pixels")
    console.print(smile_table(tests))
    folder = Path(runs if out is None else out)
    folder.mkdir(parents=True, exist_ok=True)
    print(draw_distances(tests, folder / "distances.png"))
    looking = {name: trained[0][:2] for name, trained in found.items()}
    if any("mass" in test.means["test"] for test in tests):
        print(draw_queries(looking, folder / "queries.png"))
