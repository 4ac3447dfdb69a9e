"""The command line: words to calls, no logic. Only a command that needs PyTorch imports it."""

import inspect
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal

import docstring_parser
from jsonargparse import ArgumentError, ArgumentParser
from rich.console import Console

import visattn

DEBUG = "VISATTN_DEBUG"
LIGHTNING = {
    "fit": "Train a classifier: visattn fit -c foreground/mask.",
    "validate": "Measure a trained classifier on the validation split.",
    "test": "Measure a trained classifier on the test splits: a table with intervals.",
    "predict": "Predict the classes of a folder of pictures with a trained classifier.",
}
"""Commands that are passed on to Lightning's command line as they are."""


def compare_on_scenes(
    *,
    seed: int = 0,
    out: str = "runs/demo",
    epochs: int | None = None,
    size: int | None = None,
    quick: bool = False,
) -> None:
    """Render sushi scenes, train with and without a mask, compare; about 6 minutes on two cores.

    Args:
        seed: Of the training; the scenes stay the same.
        out: Folder for results.json and overlays.png.
        epochs: Of each training; the recipes' own if not given.
        size: Side of the pictures in pixels; the recipes' own if not given.
        quick: A few pictures and one epoch, to see that everything works; the numbers mean nothing.
    """
    from visattn.training.process import tune_process

    tune_process()
    from visattn.training import run_demo

    run_demo(seed=seed, out=out, epochs=epochs, size=size, quick=quick)


def show_plan(
    model: str,
    block: str,
    *,
    at: str | None = None,
    stages: list[int] | None = None,
    every: int | None = None,
    init: Literal["identity", "paper"] = "identity",
    input_size: tuple[int, int, int] | None = None,
    options: dict[str, Any] | None = None,
) -> None:
    """Show where a block would go in a model and what it would cost; nothing is changed.

    Args:
        model: Name of a timm model.
        block: Name of a block, see visattn blocks.
        at: Place: branch, block, stage, stem, image, or a module's name or glob.
        stages: The stages to put it into, 1 being the first.
        every: Into every n-th place of each stage.
        init: identity or paper.
        input_size: Channels, height and width of the images.
        options: For the block, such as '{"reduction": 8}'.
    """
    print(
        visattn.plan(
            model,
            block,
            at=at,
            stages=stages,
            every=every,
            init=init,
            input_size=input_size,
            **(options or {}),
        )
    )


def list_blocks() -> None:
    """List the attention blocks: name, own place, what they do."""
    from rich.table import Table

    from visattn.blocks import block_entry, block_names

    table = Table("block", "place", "what it does")
    for entry in map(block_entry, block_names()):
        table.add_row(entry.name, entry.at, entry.summary)
    Console().print(table)


def render_scenes(
    out: str,
    *,
    size: int = 96,
    rho: float = 0.95,
    train: int = 2400,
    val: int = 400,
    test: int = 480,
    seed: int = 0,
    workers: int | None = None,
) -> None:
    """Render the sushi scenes into a folder, with masks and metadata.

    Args:
        out: The folder; it must not exist yet, or hold the same scenes.
        size: Side of the pictures in pixels.
        rho: Share of biased pictures on their class's own plate.
        train: Pictures to train on.
        val: Pictures to validate on.
        test: Foregrounds of the test set, each rendered in every variant.
        seed: Of the scenes.
        workers: Processes; one a processor if not given.
    """
    from visattn.data.sushi import render_sushi

    folder = render_sushi(
        out, size=size, rho=rho, train=train, val=val, test=test, seed=seed, workers=workers
    )
    print(folder)


def draw_overlay(
    image: str,
    *,
    model: str,
    layers: list[str] | None = None,
    out: str = "overlay.png",
    size: int | None = None,
) -> None:
    """Draw what a network's spatial attention marks in a picture.

    Args:
        image: A picture.
        model: A checkpoint that visattn fit wrote, or the name of a timm model.
        layers: Sites to draw, such as layer4.2; all that have a spatial map if not given.
        out: The file to write: PNG or PDF.
        size: Side to which the picture is scaled; that of the training if not given.
    """
    from visattn.training import draw_maps

    print(draw_maps(image, model=model, layers=layers, out=out, size=size))


# None of the functions has the name of a public one: jsonargparse would look that up in visattn,
# and so import PyTorch for the sake of --help.
COMMANDS: dict[str, Callable[..., None]] = {
    "demo": compare_on_scenes,
    "plan": show_plan,
    "blocks": list_blocks,
    "render": render_scenes,
    "overlay": draw_overlay,
}


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
        return _complain(f"{text}", code=1)
    return 0


_MISTAKES = (ValueError, TypeError, KeyError, OSError, ImportError)
"""What a user's mistake raises; anything else is a fault of ours and shows its traceback."""


def _dispatch(words: list[str]) -> None:
    if words and words[0] in LIGHTNING:
        from visattn.training.process import tune_process

        tune_process()
        from visattn.training import run_command

        run_command(words)
        return
    parser = _parser()
    if not words:
        parser.print_help()
        raise SystemExit(2)
    given = parser.parse_args(words)
    COMMANDS[given.subcommand](**given[given.subcommand].as_dict())


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="visattn",
        description=(visattn.__doc__ or "").partition("\n")[0]
        + " A mistake is told in one sentence; --debug shows where it came up.",
        version=visattn.__version__,
        exit_on_error=False,
    )
    commands = parser.add_subcommands(dest="subcommand")
    for name, text in LIGHTNING.items():
        commands.add_subcommand(name, ArgumentParser(description=text), help=text)
    for name, function in COMMANDS.items():
        text = (function.__doc__ or "").partition("\n")[0]
        command = ArgumentParser(description=text, exit_on_error=False)
        parameters = inspect.signature(function).parameters.values()
        flags: set[str | int] = {p.name for p in parameters if p.annotation is bool}
        command.add_function_arguments(function, as_group=False, as_positional=True, skip=flags)
        for entry in docstring_parser.parse(function.__doc__ or "").params:
            if entry.arg_name in flags:
                option = f"--{entry.arg_name}"
                command.add_argument(option, action="store_true", help=entry.description)
        commands.add_subcommand(name, command, help=text)
    return parser


def _complain(text: str, *, code: int) -> int:
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, style="red", markup=False)
    return code


if __name__ == "__main__":
    sys.exit(main())
