"""What can be trained from the command line: a model, its data, and what its test gives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import lightning as L

from visattn.basics.suggestions import nearest
from visattn.training.command_line.recipes import read_recipe

OPTION = "task"
DEFAULT = "classification"


@dataclass(frozen=True)
class Task:
    """A kind of training.

    Attributes:
        name: What ``task:`` in a recipe says.
        model: Import path of the LightningModule.
        data: Import path of the data module, or of its base class.
        best: What is logged of the validation split, the higher the better.
        outcomes: Import path of the callback that gathers the test; it has ``results()``.
        links: Attributes of the data that are arguments of the model.
        many_data: Whether ``data`` is a base class, one of whose children is chosen.
    """

    name: str
    model: str
    data: str
    best: str
    outcomes: str = "visattn.tasks.split_means.Measured"
    links: tuple[str, ...] = field(default=())
    many_data: bool = False

    def load_model(self) -> type[L.LightningModule]:
        """The class of the model."""
        return _load(self.model)

    def load_data(self) -> type[L.LightningDataModule]:
        """The class of the data module."""
        return _load(self.data)

    def load_outcomes(self) -> Callable[[], Any]:
        """The class of the callback."""
        return _load(self.outcomes)


TASKS = {
    task.name: task
    for task in (
        Task(
            DEFAULT,
            "visattn.training.classifier.ImageClassifier",
            "visattn.data.modules.ImageData",
            best="val/accuracy",
            outcomes="visattn.training.results.Outcomes",
            links=("num_classes",),
            many_data=True,
        ),
        Task(
            "translation",
            "visattn.tasks.translation.module.Translator",
            "visattn.tasks.translation.data.ClauseData",
            best="val/exact",
            links=("source_words", "target_words", "question"),
        ),
        Task(
            "sentiment",
            "visattn.tasks.sentiment.module.SentimentModule",
            "visattn.tasks.review_data.ReviewData",
            best="val/accuracy",
            links=("words",),
        ),
        Task(
            "tagging",
            "visattn.tasks.tagging.module.TaggingModule",
            "visattn.tasks.review_data.TaggingData",
            best="val/nouns",
            links=("words", "tags"),
        ),
        Task(
            "copying",
            "visattn.tasks.copying.module.CopyingModule",
            "visattn.tasks.copying.data.CopyingData",
            best="val/symbols",
            links=("length", "symbols"),
        ),
        Task(
            "captioning",
            "visattn.tasks.captioning.module.CaptionerModule",
            "visattn.tasks.captioning.data.CaptionData",
            best="val/exact",
            links=("words",),
        ),
        Task(
            "smiles",
            "visattn.tasks.smiles.module.SmileModule",
            "visattn.tasks.smiles.data.SmileData",
            best="val/correct",
            links=("plate", "ring"),
        ),
    )
}


def find_task(name: str) -> Task:
    """A task by its name.

    Raises:
        ValueError: There is none of that name.

    Example:
        >>> find_task("classification").best
        'val/accuracy'
    """
    if name not in TASKS:
        raise ValueError(
            f"unknown task {name!r}{nearest(str(name), names=TASKS)}\nThere are {', '.join(TASKS)}"
        )
    return TASKS[name]


def task_of(words: Sequence[str]) -> Task:
    """The task that the words of a command line ask for, or the configurations they name.

    The last one to say so counts: ``--task NAME``, or ``task: NAME`` in a file after ``-c``.

    Raises:
        ValueError: There is no such task, or a file cannot be read.

    Example:
        >>> task_of(["fit", "--task=translation"]).name, task_of(["fit"]).name
        ('translation', 'classification')
    """
    found = DEFAULT
    for place, word in enumerate(words):
        option, equals, value = word.partition("=")
        if not equals:
            value = words[place + 1] if place + 1 < len(words) else ""
        if option == f"--{OPTION}":
            found = value
        elif option in ("-c", "--config") and Path(value).is_file():
            found = read_recipe(Path(value)).get(OPTION, found)
    return find_task(found)


def _load(path: str) -> Any:
    return resolve_name(":".join(path.rsplit(".", 1)))
