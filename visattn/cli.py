"""The command line: words to calls, no logic. Only a command that needs PyTorch imports it."""

import os
import re
import sys
from collections.abc import Sequence

from jsonargparse import ArgumentError, ArgumentParser
from rich.console import Console

DEBUG = "VISATTN_DEBUG"
LIGHTNING = {
    "fit": "Train a classifier: visattn fit -c foreground/mask.",
    "validate": "Measure a trained classifier on the validation split.",
    "test": "Measure a trained classifier on the test splits: a table with intervals.",
    "predict": "Predict the classes of a folder of pictures with a trained classifier.",
}
"""Commands that are passed on to Lightning's command line as they are."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: The words after ``visattn``; those of this process if None.

    Returns:
        0 for success, 1 for a failure, 2 for words or a configuration that make no sense, 130 for
        an interruption.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words or os.environ.get(DEBUG, "0") not in ("", "0")
    words = [word for word in words if word != "--debug"]
    try:
        _dispatch(words)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        return _complain("interrupted", code=130)
    except ArgumentError as error:
        if debug:
            raise
        return _complain(error.message, code=2)
    except _MISTAKES as error:
        if debug:
            raise
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        return _complain(_without_worker(f"{text}"), code=1)
    return 0


def run() -> int:
    """`main` with the words of this process, which ends with it."""
    from visattn.training.command_line.process import skip_unloading

    code = main()
    skip_unloading()
    return code


_MISTAKES = (ValueError, TypeError, KeyError, OSError, ImportError)
"""What a user's mistake raises; anything else is a fault of ours and shows its traceback."""


def _dispatch(words: list[str]) -> None:
    from visattn.training.command_line.process import tune_process

    if words and words[0] in LIGHTNING:
        tune_process()
        from visattn.training import run_command

        run_command(words)
        return
    from visattn.commands import COMMANDS, GATHERED, GROUPS, SHARED, TUNED
    from visattn.commands.parser import command_parser

    lightning = {name: ArgumentParser(description=text) for name, text in LIGHTNING.items()}
    parser = command_parser(lightning, COMMANDS, GROUPS, wanted=words[0] if words else "")
    if not words:
        parser.print_help()
        raise SystemExit(2)
    if words[0] in GATHERED:
        words = [words[0], *GATHERED[words[0]](words[1:])]
    given = parser.parse_args([_underscored(word) for word in words])
    follows = "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("RANK", "0") != "0"
    if follows and given.subcommand not in SHARED:
        return  # torchrun's first process does it alone
    if given.subcommand in TUNED:
        tune_process()
    options, functions = given[given.subcommand], COMMANDS
    if given.subcommand in GROUPS:
        _, functions = GROUPS[given.subcommand]
        given, options = options, options[options.subcommand]
    functions[given.subcommand](**options.as_dict())


def _underscored(word: str) -> str:
    """An option with underscores, as the functions' arguments have: hyphens are welcome too."""
    name, equals, value = word.partition("=")
    return f"--{name[2:].replace('-', '_')}{equals}{value}" if name.startswith("--") else word


def _without_worker(text: str) -> str:
    r"""What a process that loads data told, without the traceback that PyTorch puts before it.

    Example:
        >>> _without_worker("Caught OSError in DataLoader worker process 0.\nOriginal Traceback "
        ...                 "(most recent call last):\n  File ...\nOSError: no picture\n")
        'no picture'
    """
    if not re.match(r"Caught \w+ in DataLoader worker process", text):
        return text
    return re.split(r"(?m)^[\w.]+(?:Error|Exception): ", text)[-1].strip()


def _complain(text: str, *, code: int) -> int:
    Console(stderr=True, highlight=False, emoji=False, soft_wrap=True).print(
        text, style="red", markup=False
    )
    return code


if __name__ == "__main__":
    sys.exit(run())
