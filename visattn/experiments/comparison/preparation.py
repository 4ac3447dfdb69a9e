"""Everything that can be wrong with a recipe or an option, found before anything is trained."""

from collections.abc import Iterable, Sequence
from typing import Any

from jsonargparse import ArgumentError

from visattn.experiments.comparison.plan import Recipe
from visattn.training.command_line.command import TaskCLI
from visattn.training.command_line.quiet import quiet_lightning
from visattn.training.command_line.tasks import DEFAULT, task_of


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
            wrong.append(f"{recipe.path}: {text}")
    if wrong:
        raise ValueError(
            "nothing was trained, since these recipes cannot run as they are; leave them out with "
            "--skip NAME, or give what they need:\n" + "\n".join(wrong)
        )
    for data in found:
        data.prepare_data()


def _data(recipe: Recipe, *, words: Sequence[str]) -> Any:
    """The data module of a recipe."""
    given = [f"--config={recipe.path}", *words]
    task = task_of(["--config", str(recipe.path)])
    if task.name != DEFAULT:
        raise ValueError(f"the task is {task.name}; only {DEFAULT} of images can be compared")
    with quiet_lightning():
        return TaskCLI(given, run=False, logs=False, task=task).datamodule
