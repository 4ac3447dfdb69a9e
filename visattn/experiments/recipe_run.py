"""One recipe with some values changed, and how long what is done with it takes."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
from rich.console import Console

from visattn.training.command_line.command import TaskCLI
from visattn.training.command_line.quiet import quiet_lightning
from visattn.training.command_line.recipes import find_recipe


def build_recipe(
    recipe: str,
    *,
    runs: Path,
    name: str,
    changes: Mapping[str, Any],
    logs: bool = True,
    callbacks: Sequence[L.Callback] = (),
) -> TaskCLI:
    """A recipe's network, data and trainer.

    Args:
        recipe: Such as ``foreground/plain``.
        runs: Folder of all runs.
        name: Of this one.
        changes: From an option such as ``data.size`` to its value.
        logs: Whether training leaves a run folder.
        callbacks: For the trainer.
    """
    words = [f"--config={find_recipe(recipe)}", f"--runs={runs}", f"--name={name}"]
    for option, value in changes.items():
        words.append(f"--{option}={value if isinstance(value, str) else json.dumps(value)}")
    with quiet_lightning():
        return TaskCLI(words, run=False, logs=logs, callbacks=callbacks)


@contextmanager
def timed(console: Console, what: str) -> Iterator[dict[str, float]]:
    """Say what is being done, and then how long it took; ``seconds`` is that afterwards."""
    clock: dict[str, float] = {}
    console.print(what)
    begun = time.monotonic()
    yield clock
    clock["seconds"] = time.monotonic() - begun
    console.print(f"  {clock['seconds']:.0f} s")
