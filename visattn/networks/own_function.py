"""A network from a function in a file of the user's own: ``FILE.py:FUNCTION``."""

import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from visattn.basics.suggestions import nearest

_WORDS = re.compile(r"(.+\.py):(\w+)")


def is_own_function(model: str | Path) -> bool:
    """Whether words are ``FILE.py:FUNCTION``.

    Example:
        >>> is_own_function("nets/mine.py:segmenter"), is_own_function("resnet18")
        (True, False)
    """
    return _WORDS.fullmatch(str(model)) is not None


def own_network(words: str) -> nn.Module:
    """The network that a function gives, which is called without arguments.

    The file is run as Python runs it, with its folder among those that imports are looked for in:
    what stands in it is executed.

    Raises:
        FileNotFoundError: There is no such file.
        TypeError: The function needs arguments, or gives no module.
        ValueError: There is no such function.
    """
    path, name = re.fullmatch(_WORDS, words).groups()  # type: ignore[union-attr]
    function = _function(Path(path), name)
    needed = [
        argument.name
        for argument in inspect.signature(function).parameters.values()
        if argument.default is argument.empty
        and argument.kind in (argument.POSITIONAL_ONLY, argument.POSITIONAL_OR_KEYWORD)
    ]
    if needed:
        raise TypeError(
            f"{words} is called without arguments, and needs {', '.join(needed)}: give it defaults"
        )
    network = function()
    if not isinstance(network, nn.Module):
        raise TypeError(f"{words} must return a torch.nn.Module, not {type(network).__name__}")
    return network


def facts_of_network(network: nn.Module) -> dict[str, Any]:
    """What a network says itself of the pictures that it takes and of its answers.

    That is its attribute ``data_facts``, a mapping with any of ``size``, ``fit``,
    ``interpolation``, ``mean``, ``std`` and ``class_names``; of torchvision's detectors, which
    normalise by themselves, mean 0, std 1 and their size; of Hugging Face's networks the names of
    their classes, as ``logit_names``.
    """
    facts: dict[str, Any] = {}
    transform = getattr(network, "transform", None)
    if isinstance(transform, GeneralizedRCNNTransform):
        fixed = getattr(transform, "fixed_size", None)
        size = max(fixed) if fixed else transform.min_size[-1]
        facts = {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0], "size": int(size)}
    names = getattr(getattr(network, "config", None), "id2label", None)
    if isinstance(names, Mapping) and sorted(names) == list(range(len(names))):
        said = [str(names[place]) for place in range(len(names))]
        if not all(name.startswith("LABEL_") for name in said):
            facts["logit_names"] = said
    own = getattr(network, "data_facts", None)
    return {**facts, **own} if isinstance(own, Mapping) else facts


def _function(path: Path, name: str) -> Callable[..., Any]:
    if not path.is_file():
        raise FileNotFoundError(f"no file at {path}: a network of your own is FILE.py:FUNCTION")
    spec = importlib.util.spec_from_file_location(f"_visattn_own_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} can't be read as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # for pickling, dataclasses and annotations
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec.loader.exec_module(module)
    found = getattr(module, name, None)
    if not callable(found):
        there = [word for word, value in vars(module).items() if inspect.isfunction(value)]
        raise ValueError(f"{path} has no function {name!r}{nearest(name, names=there)}")
    return found
