"""What a shell offers at the tabulator key, by shtab."""

import argparse
from collections.abc import Container, Iterable, Iterator
from typing import Any, Literal, get_args

from jsonargparse import ArgumentParser, capture_parser

GATHERED = {"blocks": "name", "bench": "names", "compare": "recipes"}
"""Commands that take words without an option, and the option that those are given to."""


def print_completion(shell: Literal["bash", "zsh", "tcsh"]) -> None:
    """Print what a shell completes commands, options, blocks and recipes by.

    Once into a file that the shell reads: visattn completion bash >> ~/.bash_completion.

    Args:
        shell: bash, zsh or tcsh.
    """
    import shtab

    from visattn.commands import COMMANDS, GROUPS
    from visattn.commands.parser import command_parser

    lightning = _lightning()
    whole = command_parser(lightning, COMMANDS, GROUPS, wanted=None)
    _offer_words(whole, as_they_are=lightning)
    print(shtab.complete(whole, shell))


def _lightning() -> dict[str, ArgumentParser]:
    """The parsers of Lightning's commands; none without the extra ``train``."""
    try:
        from visattn.training.command_line.command import TaskCLI
        from visattn.training.command_line.quiet import quiet_lightning

        with quiet_lightning():
            return _inner(capture_parser(lambda: TaskCLI([])))
    except ImportError:
        return {}


def _offer_words(parser: ArgumentParser, *, as_they_are: Container[str]) -> None:
    """Say for each argument of each command what is offered: words, or files where texts go.

    Options are offered with hyphens, but for those of the commands ``as_they_are``.
    """
    import shtab

    from visattn.blocks import block_names
    from visattn.training.command_line.recipes import recipe_names

    blocks, recipes = _offer("block", block_names()), _offer("recipe", recipe_names(), files=True)
    known = {"block": blocks, "blocks": blocks, "config": recipes, "recipes": recipes}
    for command, inner in _inner(parser).items():
        for action in _arguments(inner):
            kinds = list(_kinds(getattr(action, "_typehint", None)))
            choices = [kind for kind in kinds if isinstance(kind, str)]
            complete = known.get(action.dest)
            words = [word for word in action.option_strings if word[-1] != "+"]
            if command not in as_they_are:
                words = [word.replace("_", "-") for word in words]
            action.option_strings = words
            if action.dest == GATHERED.get(command):
                action.option_strings, complete = [], complete or blocks
            if list[str] in kinds and not action.option_strings:
                action.nargs = "*"
            if complete is not None:
                vars(action)["complete"] = complete
            elif choices or bool in kinds:
                action.choices = choices or ["true", "false"]
            elif str in kinds:
                vars(action)["complete"] = shtab.FILE


def _inner(parser: argparse.ArgumentParser) -> dict[str, Any]:
    """The parsers of a parser's commands by name."""
    found = (action.choices for action in parser._actions)
    return next((dict(choices) for choices in found if isinstance(choices, dict)), {})


def _arguments(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The arguments of a parser and of the commands in it."""
    inner = _inner(parser)
    for each in inner.values():
        yield from _arguments(each)
    if not inner:
        yield from parser._actions


def _kinds(annotation: Any) -> Iterator[Any]:
    """The types and the literal words that an annotation is made of, itself among them."""
    yield annotation
    for part in get_args(annotation):
        yield from _kinds(part)


def _offer(kind: str, words: Iterable[str], *, files: bool = False) -> dict[str, Any]:
    """Words that a shell offers, and files beside them, in the form of shtab."""
    name, listed = f"_visattn_{kind}", " ".join(words)
    bash, zsh = ('compgen -f -- "$1"', "_files") if files else ("true", "true")
    return {
        "bash": name,
        "zsh": name,
        "tcsh": f"({listed})",
        "preamble": {
            "bash": f'{name}() {{ compgen -W "{listed}" -- "$1"; {bash}; }}',
            "zsh": f"{name}() {{ compadd {listed}; {zsh}; }}",
        },
    }
