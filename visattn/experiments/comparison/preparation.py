"""Everything that can be wrong with a recipe or an option, found before anything is trained."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jsonargparse import ArgumentError

from visattn.experiments.comparison.plan import Recipe
from visattn.training.command_line.command import TaskCLI
from visattn.training.command_line.quiet import quiet_lightning
from visattn.training.command_line.tasks import find_task


def prepare(recipes: Iterable[Recipe], *, words: Sequence[str]) -> None:
    """Build each recipe's network and data once, then render the scenes that are missing.

    Args:
        recipes: What will be trained.
        words: Options for all runs, as ``--KEY=VALUE``.

    Raises:
        ValueError: Recipes that cannot be run with these options; each with its file.
    """
    wrong: list[str] = []
    found = []
    for recipe in recipes:
        try:
            found.append(_data(recipe, words=words))
        except (ArgumentError, ValueError, TypeError, KeyError, OSError, ImportError) as error:
            text = error.message if isinstance(error, ArgumentError) else f"{error}"
            name = "" if recipe.name == recipe.path.stem else f" with {recipe.name}"
            wrong.append(f"{recipe.path}{name}: {text}")
    if wrong:
        raise ValueError(
            "nothing was trained, since these recipes cannot run as they are; leave them out with "
            "--skip NAME, or give what they need:\n" + "\n".join(wrong)
        )
    for data in found:
        data.prepare_data()


def _data(recipe: Recipe, *, words: Sequence[str]) -> Any:
    """The data module of a recipe."""
    with TemporaryDirectory() as folder, quiet_lightning():
        path = Path(folder) / "recipe.yaml"
        path.write_text(recipe.text, encoding="utf-8")
        given = [f"--config={path}", *words]
        return TaskCLI(given, run=False, logs=False, task=find_task(recipe.task)).datamodule
