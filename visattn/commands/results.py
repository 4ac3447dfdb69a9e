"""Commands about what runs left behind."""


def show_spread(names: list[str], *, runs: str = "runs", splits: list[str] | None = None) -> None:
    """Put the tests of several runs side by side: mean and standard deviation over their seeds.

    Args:
        names: Names of runs, such as '[translation_none, translation_dot]'.
        runs: Folder of all runs.
        splits: The test splits to show, such as '[test_5]'; all if not given.
    """
    from pathlib import Path

    from rich.console import Console

    from visattn.training.spread import read_tests, spread_table

    tests = {name: read_tests(Path(runs), name=name) for name in names}
    Console().print(spread_table(tests, splits=splits))
