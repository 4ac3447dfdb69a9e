"""The parser of all commands: each a function, its docstring the help."""

import inspect
import re
from argparse import Action
from collections.abc import Callable, Mapping
from typing import Any

import docstring_parser
from jsonargparse import ArgumentParser, DefaultHelpFormatter

import visattn


class HelpFormatter(DefaultHelpFormatter):
    """Options as they are written: with hyphens, and the second form of a list's left out."""

    def _format_action_invocation(self, action: Action) -> str:
        return re.sub(r", --\S+\+ \S+", "", super()._format_action_invocation(action))

    def format_help(self) -> str:
        """The text."""
        text = super().format_help().replace("[ITEM,...]", "ITEM [...]")
        return re.sub(r"--[a-z_]+", lambda option: option[0].replace("_", "-"), text)


def command_parser(
    lightning: Mapping[str, ArgumentParser],
    functions: Mapping[str, Callable[..., None]],
    groups: Mapping[str, tuple[str, Mapping[str, Callable[..., None]]]],
    *,
    wanted: str | None,
) -> ArgumentParser:
    """All commands with what they do, and the arguments of one, which take time.

    Args:
        lightning: Parsers of commands that are passed on to Lightning, with their descriptions.
        functions: Commands by name; a docstring is the help text.
        groups: Commands of several actions: what they are about, and their functions.
        wanted: The command whose arguments are read; all commands if None.
    """
    parser = ArgumentParser(
        prog="visattn",
        description=(visattn.__doc__ or "").partition("\n")[0]
        + " A mistake is told in one sentence; --debug shows where it came up.",
        version=visattn.__version__,
        exit_on_error=False,
        allow_abbrev=False,
        formatter_class=HelpFormatter,  # of each command, too
    )
    commands = parser.add_subcommands(dest="subcommand", metavar="COMMAND")
    for name, command in lightning.items():
        commands.add_subcommand(name, command, help=command.description)
    for name, function in functions.items():
        _add_command(commands, name, function, whole=wanted in (None, name))
    for name, (text, actions) in groups.items():
        group = _command(commands, name, text)
        inner = group.add_subcommands(dest="subcommand", metavar="ACTION")
        for action, function in actions.items():
            words = f"{name} {action}"
            _add_command(inner, words, function, whole=wanted in (None, name))
    return parser


def _command(commands: Any, words: str, text: str) -> ArgumentParser:
    """A parser without arguments, under the last of the words that call it."""
    command = ArgumentParser(description=text, exit_on_error=False, allow_abbrev=False)
    commands.add_subcommand(words.split()[-1], command, help=text)
    command.prog = f"visattn {words}"
    return command


def _add_command(commands: Any, words: str, function: Callable[..., None], *, whole: bool) -> None:
    """A function as a command: its docstring is the help text, its flags take no value."""
    text = (function.__doc__ or "").partition("\n")[0]
    command = _command(commands, words, text)
    if not whole:
        return
    parameters = inspect.signature(function).parameters.values()
    flags: set[str | int] = {
        p.name for p in parameters if p.annotation is bool and p.default is False
    }
    command.add_function_arguments(function, as_group=False, as_positional=True, skip=flags)
    for entry in docstring_parser.parse(function.__doc__ or "").params:
        if entry.arg_name in flags:
            command.add_argument(f"--{entry.arg_name}", action="store_true", help=entry.description)
