"""Which options somebody said, on the command line or in a file; the others are defaults."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from visattn.training.command_line.recipes import read_recipe

_FILES = (".yaml", ".yml", ".json")
_CONFIG = ("-c", "--config")


@final
@dataclass(frozen=True)
class Told:
    """Options that were said, by their dotted names without ``init_args``.

    Attributes:
        words: Those of the command line.
        files: Those of the files after ``-c``.
    """

    words: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()

    def word(self, option: str) -> bool:
        """Whether the command line says an option, or a part of it."""
        return _named(option, self.words)

    def anywhere(self, option: str) -> bool:
        """Whether the command line or a file says an option, or a part of it."""
        return self.word(option) or _named(option, self.files)


def what_was_told(words: Sequence[str]) -> Told:
    """What the words of a command line say, and the files that they name.

    A class alone says nothing of its options: ``--data FolderData``.

    Example:
        >>> told = what_was_told(["test", "--data=FolderData", "--data.init_args.size", "64"])
        >>> told.word("data.size"), told.word("data.fit")
        (True, False)
    """
    said: set[str] = set()
    filed: set[str] = set()
    for option, value in options_of(words):
        if option in _CONFIG:
            filed.update(_flat(read_recipe(Path(value))))
        elif not _group(_bare(option)) or _content(value):
            said.add(_bare(option))
    return Told(frozenset(said), frozenset(filed))


def options_of(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Options of a command line and their values, whichever way they are written."""
    for place, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option.startswith("-"):
            if not equals:
                value = words[place + 1] if place + 1 < len(words) else ""
            yield option, value


def _flat(content: Mapping[str, Any], before: str = "") -> Iterator[str]:
    for key, value in content.items():
        name = _bare(f"{before}{key}")
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{name}.")
        elif not _group(name := name.removesuffix(".class_path")):
            yield name


def _content(value: str) -> bool:
    """Whether a value is the options of a group, and no class."""
    return value.lstrip().startswith("{") or Path(value).suffix in _FILES


def _group(name: str) -> bool:
    """Whether it is a whole group of options; its class alone says nothing of them."""
    return name in ("trainer", "model", "data")


def _bare(option: str) -> str:
    parts = option.lstrip("-").removesuffix("+").split(".")
    return ".".join(part for part in parts if part != "init_args")


def _named(option: str, names: frozenset[str]) -> bool:
    return any(
        name == option or name.startswith(f"{option}.") or option.startswith(f"{name}.")
        for name in names
    )
