"""What is wrong with a configuration, in one sentence and with the nearest names.

jsonargparse reports every type that it tried. Here the place and the name are taken out of that,
and what could have been meant is looked up.
"""

import importlib
import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager

import lightning as L
from jsonargparse import ArgumentError, ArgumentParser

from visattn.basics.suggestions import nearest

_OPTION = re.compile(r"class_path '([\w.]+)':\s*Option '([^']+)' is not accepted")
_CLASS = re.compile(r"Expected a dot import path string: (\S+)")
_BASE = re.compile(r"Subtypes: \[<class '([\w.]+)'>")
_PLACE = re.compile(r'Parser key "([^"]+)"')
_VALUE = re.compile(r"Expected a (?:<class '([\w.]+)'>|typing\.Literal\[(.+)\])\. Got value: (.*)")
_UNKNOWN = re.compile(
    r"unrecognized arguments: (?:--)?([\w.]+)|does not accept option '(?:\w+::)?([\w.]+)'"
)
_REFUSED = re.compile(
    r"any of the Union subtypes\nSubtypes: .*?\n"
    r"Errors:\n  - (.*)\n  - Expected a <class 'NoneType'>",
    re.DOTALL,
)


@contextmanager
def explained(model: type) -> Iterator[None]:
    """Let errors of jsonargparse say what `explain` makes of them.

    Args:
        model: The class of the model, whose options could have been meant.

    Raises:
        ArgumentError: Instead of one.
        ValueError: Instead of one that a class raised while it was built.
    """
    try:
        yield
    except ArgumentError as error:
        raise ArgumentError(None, explain(str(error), model=model)) from error
    except ValueError as error:
        if _REFUSED.search(str(error)) is None:
            raise
        raise ValueError(explain(str(error), model=model)) from error


def explain(message: str, *, model: type) -> str:
    """One sentence for a message of jsonargparse's; the message itself if it is none we know.

    Args:
        message: What jsonargparse says.
        model: The class of the model, whose options could have been meant.

    Example:
        >>> from visattn.training import ImageClassifier
        >>> explain("unrecognized arguments: --model.lerning_rate 3", model=ImageClassifier)
        'unknown option model.lerning_rate; did you mean model.learning_rate?'
    """
    place = ".".join(dict.fromkeys(_PLACE.findall(message)))
    at = f"{place}: " if place else ""
    if (refused := _REFUSED.search(message)) and "\n" not in refused[1]:
        return at + refused[1]
    if options := _OPTION.findall(message):
        path, option = options[-1]
        names = _class_options(_load(path))
        known = nearest(option, names=names) or f"; it has {', '.join(names)}"
        return f"{at}{path.rpartition('.')[2]} has no option {option!r}{known}"
    if (classes := _CLASS.findall(message)) and (bases := _BASE.findall(message)):
        names = sorted(_final_subclasses(_load(bases[-1])))
        return (
            f"{at}unknown class {classes[-1]!r}{nearest(classes[-1], names=names)}\n"
            f"Known are {', '.join(names)}; a class of your own goes by its import path"
        )
    if unknown := _UNKNOWN.search(message):
        name = unknown[1] or unknown[2]
        return f"unknown option {name}{nearest(name, names=_options(model), count=1)}"
    if len(values := _VALUE.findall(message)) == 1:
        kind, choices, given = values[0]
        return f"{at}expected {kind or f'one of {choices}'}, got {given}"
    if "arguments are required: " in message and ".data" in message:
        return "no data given: name a recipe, such as -c foreground/mask, or --data FolderData"
    return message


def _options(model: type) -> Iterator[str]:
    yield from ("config", "name", "task", "runs", "seed_everything", "ckpt_path", "data", "model")
    for group, owner in (("model", model), ("trainer", L.Trainer)):
        for name in inspect.signature(owner).parameters:
            yield f"{group}.{name}"


def _class_options(owner: type) -> list[str]:
    """Names of a class's options, those that it passes on to its base too."""
    names = ArgumentParser().add_class_arguments(owner, "owner", fail_untyped=False)
    return [name.removeprefix("owner.") for name in names]


def _load(path: str) -> type:
    module, _, name = path.rpartition(".")
    found: type = getattr(importlib.import_module(module), name)
    return found


def _final_subclasses(base: type) -> Iterator[str]:
    children: list[type] = base.__subclasses__()
    for child in children:
        if not inspect.isabstract(child):
            yield child.__name__
        yield from _final_subclasses(child)
