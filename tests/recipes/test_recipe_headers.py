"""What the first lines of the foreground recipes say about photos of your own."""

import itertools
import shlex

import pytest
import yaml
from quick import slow_but

from visattn.data import FolderData
from visattn.training.command_line.command import TaskCLI
from visattn.training.command_line.quiet import quiet_lightning
from visattn.training.command_line.recipes import find_recipe, recipe_names

FOREGROUND = [name for name in recipe_names() if name.startswith("foreground/")]


def words_to_add(name):
    """The words after "add" at the end of a recipe's comment."""
    lines = find_recipe(name).read_text().splitlines()
    comment = itertools.takewhile(lambda line: line.startswith("#"), lines)
    text = " ".join(line.removeprefix("#") for line in comment)
    _, add, words = text.partition(" add ")
    assert add
    return shlex.split(words)


@pytest.mark.parametrize(
    "name", slow_but(FOREGROUND, {tuple(words_to_add(name)): name for name in FOREGROUND}.values())
)
def test_the_words_for_photos_of_your_own_work(name, tiny_folder):
    places = {"ROOT": str(tiny_folder), "SPLIT": "val"}
    words = [places.get(word, word) for word in words_to_add(name)]
    with quiet_lightning():
        cli = TaskCLI([f"--config={find_recipe(name)}", *words], run=False, logs=False)
    assert type(cli.datamodule) is FolderData
    options = dict(zip(words[::2], words[1::2], strict=True))
    assert options.pop("--data") == "FolderData"
    assert options.pop("--data.root") == str(cli.datamodule.root)
    for option, value in options.items():
        assert getattr(cli.datamodule, option.removeprefix("--data.")) == yaml.safe_load(value)
