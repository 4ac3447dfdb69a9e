"""Where the recipes are, beside the package or inside of it, and what they say, read once."""

from collections.abc import Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import get_loader, set_loader

from visattn.basics.suggestions import nearest

PARSER_MODE = "recipe"
"""A parser of jsonargparse in this mode takes texts for what `parsed` says, each read once."""

_PACKAGE = Path(__file__).resolve().parents[2]


def recipe_folder() -> Path:
    """The folder of all recipes.

    Raises:
        FileNotFoundError: If the installation has lost them.
    """
    for folder in (_PACKAGE / "recipes", _PACKAGE.parent / "recipes"):
        if (folder / "foreground").is_dir():
            return folder
    raise FileNotFoundError(
        f"no recipes in {_PACKAGE / 'recipes'} or {_PACKAGE.parent / 'recipes'}; reinstall visattn"
    )


def recipe_names() -> list[str]:
    """All recipes, such as ``foreground/mask``, sorted."""
    folder = recipe_folder()
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in _files(folder))


def find_recipe(name: str | Path) -> Path:
    """The file of a recipe: a path, or the name of one that comes with visattn.

    ``recipes/foreground/mask.yaml``, ``foreground/mask.yaml`` and ``foreground/mask`` all name
    the same one, wherever the command runs; an existing file of that path comes first.

    Raises:
        FileNotFoundError: If it is neither; the nearest names are in the message.

    Example:
        >>> find_recipe("foreground/mask").name
        'mask.yaml'
    """
    given = Path(name)
    if given.is_file():
        return given
    parts = given.with_suffix("") if given.suffix in {".yaml", ".yml"} else given
    known = recipe_names()
    wanted = parts.as_posix().removeprefix("recipes/")
    if wanted in known:
        return recipe_folder() / f"{wanted}.yaml"
    raise FileNotFoundError(
        f"no such configuration: {name}{nearest(wanted, names=known)}\n"
        f"Give a YAML file or one of the recipes: {', '.join(known)}"
    )


def with_recipes(arguments: Sequence[str]) -> list[str]:
    """The same words with the names of recipes after ``-c`` or ``--config`` as paths.

    Example:
        >>> with_recipes(["fit", "--config", "foreground/mask", "--runs", "x"])[2].split("/")[-2:]
        ['foreground', 'mask.yaml']
    """
    words = list(arguments)
    for place, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option not in ("-c", "--config"):
            continue
        if equals:
            words[place] = f"{option}={find_recipe(value)}"
        elif place + 1 < len(words):
            words[place + 1] = str(find_recipe(words[place + 1]))
    return words


def read_recipe(path: Path) -> dict[str, Any]:
    """The content of a file.

    Raises:
        ValueError: It is no valid YAML, or no mapping.
    """
    try:
        content = parsed(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(
            f"{path} must be a mapping with any of name, task, trainer, model and data, "
            f"it is {type(content).__name__}"
        )
    return content


def parsed(text: str) -> Any:
    """What a text means as YAML.

    Example:
        >>> parsed("warmup: 1e-3")
        {'warmup': 0.001}
    """
    return deepcopy(_parsed(text))


@cache
def _parsed(text: str) -> Any:
    return get_loader("yaml")(text)


set_loader(PARSER_MODE, parsed, exceptions=(yaml.YAMLError,))


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*/*.yaml") if path.is_file()]
