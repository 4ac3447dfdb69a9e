"""What is wrong with a configuration, in one sentence and with the nearest names.

jsonargparse reports every type that it tried, one within the other. Here what went wrong is taken
out of that, with its place; for an unknown option, an unknown class and a value of a wrong type it
is looked up what could have been meant.
"""

import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pkgutil import resolve_name

import lightning as L
from jsonargparse import ArgumentError, ArgumentParser

from visattn.basics.suggestions import nearest

_AROUND = re.compile(
    r"Parser key .*:|Problem with given class_path .*:|Does not validate against .*|Subtypes: .*|"
    r"Errors:|Given value.*|Expected a <class 'NoneType'>|Expected a path but .*|"
    r"Not a valid subclass of \w+|Subclass types expect one of:|a class path \(str\)|a dict with.*"
)
_PLACE = re.compile(r'Parser key "([^"]+)"')
_OWNER = re.compile(r"class_path '([\w.]+)':")
_BASE = re.compile(r"Subtypes: \[(?:list\[[\w.]+\], )?<class '([\w.]+)'>")
_OPTION = re.compile(
    r"unrecognized arguments: (?:--)?([\w.]+)|does not accept option '(?:\w+::)?([\w.]+)'|"
    r"Option '([^']+)' is not accepted"
)
_KIND = re.compile(r"Expected a (?:<class '([\w.]+)'>|typing\.Literal\[(.+)\])")
_GIVEN = re.compile(r"Given value: (.*)")
_NO_DATA = re.compile(r"arguments are required: (?:\w+\.)?data$|Key \"(?:\w+\.)?data\" is required")
_CLASS = re.compile(r"Expected a dot import path string: (\S+)")
_LITERAL_OR_CLASS = re.compile(
    r"Subtypes: \[typing\.Literal\[([^\]]+)\].*Expected a dot import path string: (\S+)", re.DOTALL
)
_VALUE = re.compile(r"Expected a (?:<class '([\w.]+)'>|typing\.Literal\[(.+)\])\. Got value: (.*)")


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
        if error.__cause__ is not None and str(error).startswith("Call to compute_fn"):
            raise error.__cause__ from error  # what the model asks of the data
        if _BASE.search(str(error)) is None:
            raise
        raise ValueError(explain(str(error), model=model)) from error


def explain(message: str, *, model: type) -> str:
    """One sentence for a message of jsonargparse's; the message itself if it has several causes.

    Args:
        message: What jsonargparse says.
        model: The class of the model, whose options could have been meant.

    Example:
        >>> from visattn.training import ImageClassifier
        >>> explain("unrecognized arguments: --model.lerning_rate 3", model=ImageClassifier)
        'unknown option model.lerning_rate; did you mean model.learning_rate?'
    """
    lines = (line.strip().removeprefix("- ") for line in message.splitlines())
    causes = list(dict.fromkeys(line for line in lines if line and not _AROUND.fullmatch(line)))
    place = ".".join(dict.fromkeys(_PLACE.findall(message)))
    at = f"{place}: " if place else ""
    kinds = [kind for cause in causes if (kind := _KIND.fullmatch(cause))]
    if causes and len(kinds) == len(causes) and (given := _GIVEN.search(message)):
        wanted = " or ".join(kind[1] or f"one of {kind[2]}" for kind in kinds)
        return f"{at}expected {wanted}, got {given[1]}"
    if literal := _LITERAL_OR_CLASS.search(message):
        return (
            f"{'.'.join(_PLACE.findall(message))}: expected one of {literal[1]}, got {literal[2]}"
        )
    told = [cause for cause in causes if not _KIND.fullmatch(cause)] or causes
    owners, bases = _OWNER.findall(message), _BASE.findall(message)
    if len(told) != 1 and len(set(owners)) != 1:
        return message
    cause = " ".join(told)  # of one class, whose own message may have several lines
    if _NO_DATA.search(cause):
        return (
            "which data? Give the recipe that names them, -c RECIPE (a run's config.yaml is one), "
            "or --data FolderData --data.root FOLDER for pictures of your own"
        )
    if option := _OPTION.search(cause):
        name = next(filter(None, option.groups()))
        if not owners:
            return f"unknown option {name}{_near(name, list(_options(model)))}"
        names = _class_options(resolve_name(owners[-1]))
        known = nearest(name, names=names) or f"; it has {', '.join(names)}"
        return f"{at}{owners[-1].rpartition('.')[2]} has no option {name!r}{known}"
    if bases and (unknown := _CLASS.search(cause)):
        names = sorted(_final_subclasses(resolve_name(bases[-1])))
        return (
            f"{at}unknown class {unknown[1]!r}{nearest(unknown[1], names=names)}\n"
            f"Known are {', '.join(names)}; a class of your own goes by its import path"
        )
    if value := _VALUE.search(cause):
        return f"{at}expected {value[1] or f'one of {value[2]}'}, got {value[3]}"
    return cause if _PLACE.search(cause) else at + cause


def _near(name: str, options: list[str]) -> str:
    """The nearest option, or one that ends in the name: ``model.optimizer`` for ``optimizer``."""
    ending = [option for option in options if option.rpartition(".")[2] == name]
    return f"; did you mean {ending[0]}?" if ending else nearest(name, names=options, count=1)


def _options(model: type) -> Iterator[str]:
    yield from ("config", "name", "task", "runs", "seed_everything", "ckpt_path", "data", "model")
    for group, owner in (("model", model), ("trainer", L.Trainer)):
        for name in inspect.signature(owner).parameters:
            yield f"{group}.{name}"


def _class_options(owner: type) -> list[str]:
    """Names of a class's options, those that it passes on to its base too."""
    names = ArgumentParser().add_class_arguments(owner, "owner", fail_untyped=False)
    return [name.removeprefix("owner.") for name in names]


def _final_subclasses(base: type) -> Iterator[str]:
    children: list[type] = base.__subclasses__()
    for child in children:
        if not inspect.isabstract(child):
            yield child.__name__
        yield from _final_subclasses(child)
