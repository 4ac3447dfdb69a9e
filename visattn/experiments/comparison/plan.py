"""Which runs a comparison consists of, and what makes two of them the same."""

import fnmatch
import glob
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

import visattn
from visattn.basics.fingerprint import source_fingerprint
from visattn.basics.suggestions import nearest
from visattn.blocks import block_names
from visattn.training.checks import check_in
from visattn.training.command_line.recipes import find_recipe, recipe_folder, recipe_names
from visattn.training.command_line.tasks import DEFAULT, TASKS

HEADS = ("trainer", "model", "data")
"""What an option for the runs begins with: ``--trainer.max_epochs``."""

_OURS = ("seed", "mask_seed")
_NO_EFFECT = ("data.workers", "data.render_workers", "trainer.enable_progress_bar")


@dataclass(frozen=True)
class Recipe:
    """A recipe as it was when the comparison began.

    Attributes:
        name: What it is called in the tables: the file's name without its suffix.
        path: Where it was found.
        source: What to call it on a command line: ``foreground/plain``, or a path.
        text: The file's content.
        hash: Of what the content says; comments, order and layout don't count.
        task: What is trained, see `visattn.training.command_line.tasks`.
    """

    name: str
    path: Path
    source: str
    text: str
    hash: str
    task: str = DEFAULT


@dataclass(frozen=True)
class Run:
    """One training and its test.

    Attributes:
        recipe: What is trained.
        seed: Of the training, of the order of the images, and of the choice of masks.
        words: Options for this and all other runs, as ``--KEY=VALUE``.
    """

    recipe: Recipe
    seed: int
    words: tuple[str, ...] = ()

    @property
    def options(self) -> str:
        """The options in one way of writing, without those that change no number."""
        return canonical(self.words)

    @property
    def key(self) -> str:
        """The same for runs that must give the same numbers, and for no others."""
        parts = (self.recipe.name, self.recipe.hash, self.options, self.seed, visattn.__version__)
        return _digest(json.dumps(parts))

    @property
    def name(self) -> str:
        """Of the folder of its checkpoints, its log and its result."""
        return f"{self.recipe.name}-seed{self.seed}-{self.key[:6]}"


def find_recipes(words: Sequence[str], *, skip: Sequence[str] = ()) -> list[Recipe]:
    """The recipes that paths, globs and names stand for, each once, in this order.

    Args:
        words: Files, globs such as ``recipes/foreground/*.yaml``, or names of recipes that come
            with visattn, such as ``foreground/plain``; a name may have a glob, too.
        skip: Names or globs of names to leave out, such as ``hands*``.

    Raises:
        FileNotFoundError: Nothing is there for a word; the nearest names are in the message.
        ValueError: A file is no recipe, two have one name, or nothing is left.

    Example:
        >>> [recipe.name for recipe in find_recipes(["foreground/plain", "foreground/cbam"])]
        ['plain', 'cbam']
    """
    paths: dict[Path, Path] = {}
    for word in words:
        for path in recipe_paths(word):
            paths.setdefault(path.resolve(), path)
    found: dict[str, Recipe] = {}
    for path in paths.values():
        name = path.stem
        if any(fnmatch.fnmatch(name, pattern) for pattern in skip):
            continue
        if name in found:
            raise ValueError(
                f"two recipes are called {name}: {found[name].path} and {path}; rename one, or "
                "compare them apart"
            )
        found[name] = _read(path)
    if not found:
        raise ValueError(f"no recipe is left of {', '.join(words)} without {', '.join(skip)}")
    for pattern in skip:
        if not any(fnmatch.fnmatch(path.stem, pattern) for path in paths):
            known = [path.stem for path in paths]
            raise ValueError(
                f"nothing to skip for {pattern!r}{nearest(pattern, names=known)}\n"
                f"The recipes are {', '.join(known)}"
            )
    return list(found.values())


def with_blocks(recipes: Sequence[Recipe], blocks: Sequence[str], *, baseline: str) -> list[Recipe]:
    """A recipe without its attention, under the baseline's name, and with each of some blocks.

    What else the recipe says of its attention, such as ``at`` and ``init``, holds for each.

    Args:
        recipes: One, with ``model.attention``.
        blocks: Names of registered blocks, or globs of them; ``all`` is ``*``.
        baseline: Name of the recipe without attention.

    Raises:
        ValueError: There are several recipes, or one without a single block, or no such block.
    """
    if len(recipes) != 1:
        raise ValueError(f"blocks are compared in one recipe, got {len(recipes)}")
    (recipe,) = recipes
    content = yaml.safe_load(recipe.text)
    model = content.get("model") or {}
    attention = model.get("attention")
    if not isinstance(attention, dict):
        raise ValueError(f"{recipe.path}: model.attention must be a mapping with a block")
    names = block_names()
    found: dict[str, None] = {}
    for word in blocks:
        fitting = fnmatch.filter(names, "*" if word == "all" else word)
        if not fitting:
            raise ValueError(f"no block is called {word!r}{nearest(word, names=names)}")
        found |= dict.fromkeys(fitting)
    bare = {key: value for key, value in model.items() if not key.startswith("attention")}
    chosen = {name: model | {"attention": attention | {"block": name}} for name in found}
    return [
        _recipe(name, recipe.path, {**content, "model": settings})
        for name, settings in {baseline: bare, **chosen}.items()
    ]


def plan_runs(recipes: Sequence[Recipe], *, seeds: int, words: Sequence[str] = ()) -> list[Run]:
    """All runs, seed by seed, so that an early table compares all recipes.

    Args:
        recipes: What is trained.
        seeds: How many: 0, 1, 2, ...
        words: Options for all runs, as ``--KEY=VALUE``.

    Raises:
        ValueError: No seed, or an option that the comparison sets itself or cannot pass on.
    """
    check_in("[1, inf)", seeds=seeds)
    for word in words:
        check_option(word)
    return [Run(recipe, seed, tuple(words)) for seed in range(seeds) for recipe in recipes]


def check_option(word: str) -> None:
    """Refuse an option that is none for the runs.

    Raises:
        ValueError: It is no ``--trainer...``, ``--model...`` or ``--data...`` with a value, or one
            that the comparison sets itself.
    """
    name, equals, _ = word.partition("=")
    head, _, rest = name.removeprefix("--").partition(".")
    if head not in HEADS or not name.startswith("--"):
        raise ValueError(
            f"{name} is no option for the runs: these begin with "
            f"{', '.join(f'--{h}.' for h in HEADS)}, such as --data.rho 1.0"
        )
    if not equals:
        raise ValueError(f"{name} needs a value: {name} VALUE")
    if head == "data" and rest.removeprefix("init_args.") in _OURS:
        raise ValueError(
            f"{name} is set by the comparison, to the seed of each run; --seeds N says how many"
        )


def canonical(words: Sequence[str]) -> str:
    """Options in one way of writing: sorted, the last value of each, values as JSON.

    Example:
        >>> canonical(["--data.rho=1.0", "--data.variants=[a,  b]", "--data.workers=0"])
        '--data.rho=1.0 --data.variants=["a","b"]'
    """
    values: dict[str, Any] = {}
    for word in words:
        name, _, value = word.removeprefix("--").partition("=")
        if name.replace(".init_args", "") not in _NO_EFFECT:
            values[name] = yaml.safe_load(value)
    return " ".join(
        f"--{name}={v if isinstance(v, str) else json.dumps(v, separators=(',', ':'))}"
        for name, v in sorted(values.items())
    )


@cache
def code_hash(task_name: str = DEFAULT) -> str:
    """Of the Python files of visattn that a number of this task may depend on."""
    task = TASKS[task_name]
    run = (f"{__package__}.processes", f"{__package__}.one_run")
    return source_fingerprint(*run, task.model, task.data, task.outcomes, "visattn.blocks")


def recipe_paths(word: str) -> list[Path]:
    """The files that a path, a glob or a name stands for.

    Raises:
        FileNotFoundError: There is none.
    """
    if not glob.has_magic(word):
        return [find_recipe(word)]
    matches = sorted(Path(name) for name in glob.glob(word))
    files = [p for p in matches if p.is_file() and p.suffix in {".yaml", ".yml"}]
    if files:
        return files
    pattern = word.removeprefix("recipes/").removesuffix(".yaml")
    named = [name for name in recipe_names() if fnmatch.fnmatch(name, pattern)]
    if not named:
        raise FileNotFoundError(
            f"no recipe fits {word}; there are {', '.join(recipe_names())}, or give YAML files"
        )
    return [recipe_folder() / f"{name}.yaml" for name in named]


def _read(path: Path) -> Recipe:
    text = path.read_text(encoding="utf-8")
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is no valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is no recipe: a mapping was expected")
    return _recipe(path.stem, path, content, text)


def _recipe(name: str, path: Path, content: dict[str, Any], text: str | None = None) -> Recipe:
    said = _digest(json.dumps(content, sort_keys=True, default=str))
    text = yaml.safe_dump(content, sort_keys=False) if text is None else text
    return Recipe(name, path, _source(path), text, said, str(content.get("task", DEFAULT)))


def _source(path: Path) -> str:
    folder = recipe_folder().resolve()
    if path.resolve().is_relative_to(folder):
        return path.resolve().relative_to(folder).with_suffix("").as_posix()
    return path.as_posix()


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
