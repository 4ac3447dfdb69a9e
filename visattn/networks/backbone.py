"""A classifier by name: timm's, any constructor by its import path, or a function."""

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, get_type_hints

import timm
from torch import nn

from visattn.basics.suggestions import nearest
from visattn.networks.weight_files import (
    FACTS,
    check_weights,
    read_file,
    take_weights,
    weights_for,
)
from visattn.wrapping.insertion import wrap

Attention = str | Mapping[str, Any] | Sequence[Mapping[str, Any]] | None
"""What `visattn.wrap` puts in: a block's name, a mapping with ``block`` and more, or several."""

_NAMED_BY: ContextVar[object] = ContextVar("the file that names a network", default=None)


@contextmanager
def named_by(path: object) -> Iterator[None]:
    """While this lasts, the names of networks are not the user's words but those of a file.

    Whatever can be imported could be called by such a name (``torch.hub.load`` fetches code and
    runs it): of constructors outside timm's names only those count that are declared to give a
    network, classes of modules and functions annotated to return one.

    Args:
        path: The file, for the message.
    """
    before = _NAMED_BY.set(path)
    try:
        yield
    finally:
        _NAMED_BY.reset(before)


def check_named(backbone: object, *, path: object) -> None:
    """Refuse what a file names as its network, see `named_by`; nothing is built.

    Raises:
        ValueError: It is the import path of something else.
    """
    if isinstance(backbone, str) and not timm.is_model(backbone):
        with named_by(path):
            constructor_at(backbone)


def build_backbone(
    backbone: str | Callable[..., nn.Module],
    *,
    num_classes: int,
    pretrained: bool = False,
    options: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Build a network that maps images to logits.

    Args:
        backbone: A timm name (``"resnet18"``, ``"resnet50.a1_in1k"``), the import path of a
            constructor (``"torchvision.models.resnet18"``), or the constructor itself. A
            constructor is called with ``num_classes`` and ``options``.
        num_classes: Number of logits.
        pretrained: Load timm's weights for ImageNet, with a new last layer. For a constructor of
            one's own give its way of saying so in ``options``.
        options: Further arguments, such as ``{"drop_path_rate": 0.1}``.

    Raises:
        ValueError: If the name is unknown (the nearest are named), or ``pretrained`` is asked of a
            constructor.
        TypeError: If the constructor doesn't take the arguments, or returns no module.
        OSError: If the weights can be loaded neither from the cache nor from the network.

    Example:
        >>> build_backbone("resnet10t", num_classes=8).fc.out_features
        8
    """
    options = dict(options or {})
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}")
    if isinstance(backbone, str) and timm.is_model(backbone):
        return _from_timm(backbone, num_classes=num_classes, pretrained=pretrained, options=options)
    constructor = constructor_at(backbone) if isinstance(backbone, str) else backbone
    name = backbone if isinstance(backbone, str) else getattr(backbone, "__name__", repr(backbone))
    if pretrained:
        raise ValueError(
            f"pretrained: true works with timm's names only; {name} is a constructor: "
            "give what it takes in backbone_options, such as {weights: DEFAULT}"
        )
    try:
        model = constructor(num_classes=num_classes, **options)
    except TypeError as error:
        raise TypeError(
            f"{name} was called with num_classes={num_classes} and {options}: {error}"
        ) from error
    if not isinstance(model, nn.Module):
        raise TypeError(f"{name} must return a torch.nn.Module, it returned {type(model).__name__}")
    return model


def classifier_paths(model: nn.Module, *, num_classes: int) -> tuple[str, ...]:
    """Where the layer that gives the logits is: as timm says, or the last one of that width.

    Raises:
        ValueError: There is none.

    Example:
        >>> classifier_paths(timm.create_model("vgg11", num_classes=5), num_classes=5)
        ('head.fc',)
    """
    said = (getattr(model, "pretrained_cfg", None) or {}).get("classifier")
    if said:
        return (said,) if isinstance(said, str) else tuple(said)
    fitting = [
        path
        for path, module in model.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d)) and module.weight.shape[0] == num_classes
    ]
    if not fitting:
        raise ValueError(
            f"{type(model).__name__} has no linear layer or convolution with {num_classes} outputs,"
            " so its classifier can't be told: name what trains in model.unfrozen"
        )
    return (fitting[-1],)


def load_weights(
    model: nn.Module, path: str | Path, *, num_classes: int, new_classifier: bool | None = False
) -> list[str] | None:
    """Take the weights of a trained network without attention.

    Args:
        model: From `build_backbone`, without attention. It is as it was after an error.
        path: A checkpoint that ``visattn fit`` wrote, or a state dict (a ``.safetensors`` file
            too), alone or under ``state_dict`` or ``model``; see
            `visattn.networks.weight_files.weights_for` for the names.
        num_classes: Number of logits of ``model``.
        new_classifier: Leave the classifier as it is, for other classes; None does so if the file
            has none for as many.

    Returns:
        The classes that the checkpoint's classifier knows, in their order; none where it doesn't
        say; None with a new classifier.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The checkpoint is of another network, or of other classes, or is none.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no checkpoint at {path}; train one first with visattn fit")
    saved = read_file(path)
    own = model.state_dict()
    state = weights_for(own, saved)
    check_weights(state, path=path)
    heads = tuple(f"{p}." for p in classifier_paths(model, num_classes=num_classes))
    unlike = [
        name
        for name in [*state, *own]
        if name not in state or name not in own or state[name].shape != own[name].shape
    ]
    others = [name for name in unlike if not name.startswith(heads)]
    if others:
        shapes = [tuple(s[others[0]].shape) if others[0] in s else "nothing" for s in (state, own)]
        raise ValueError(
            f"{path} is of another network: at {others[0]!r} it has {shapes[0]}, the model has"
            f" {shapes[1]} ({len(set(others))} such entries). Give the backbone and its options as"
            " they were; a checkpoint with attention can't be taken"
        )
    if new_classifier is None:
        new_classifier = bool(unlike)
    if unlike and not new_classifier:
        raise ValueError(
            f"the classifier in {path} is for another number of classes than {num_classes}: set"
            " model.new_classifier: true to begin with a new one"
        )
    if new_classifier:
        state = {name: value for name, value in state.items() if not name.startswith(heads)}
    take_weights(model, state, strict=False)
    return None if new_classifier else list(saved.get(FACTS, {}).get("class_names", []))


def build_with_weights(backbone: str, path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """A network by name with the weights in a file, as many logits as the file's classifier has.

    Args:
        backbone: As for `build_backbone`.
        path: As for `load_weights`.

    Returns:
        The network, and what the file says of the data that it was trained on.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The weights are of another network, or have no classifier.
    """
    saved = read_file(path)
    usual = build_backbone(backbone, num_classes=1000)
    state = weights_for(usual.state_dict(), saved)
    places = classifier_paths(usual, num_classes=1000)
    found = [state[f"{place}.weight"] for place in places if f"{place}.weight" in state]
    if not found:
        raise ValueError(
            f"{path} has no classifier of {backbone} ({places[0]}.weight) among its {len(state)} "
            "weights: give the name of the network that they are of"
        )
    count = len(found[0])
    model = build_backbone(backbone, num_classes=count)
    load_weights(model, path, num_classes=count)
    return model, dict(saved.get(FACTS, {}))


def _from_timm(
    name: str, *, num_classes: int, pretrained: bool, options: dict[str, Any]
) -> nn.Module:
    try:
        model: nn.Module = timm.create_model(
            name, pretrained=pretrained, num_classes=num_classes, **options
        )
    except TypeError as error:
        raise TypeError(f"timm's {name} was called with {options}: {error}") from error
    except Exception as error:
        if not pretrained:
            raise
        raise OSError(
            f"the pretrained weights of {name} could not be loaded: {error}\nThey come from the "
            "network or from the cache in HF_HOME; pretrained: false trains from scratch"
        ) from error
    return model


def constructor_at(path: str) -> Callable[..., Any]:
    """What an import path names.

    Raises:
        ValueError: There is no such module or name, or it can't be called.
    """
    unknown = (
        f"{unknown_backbone(path)} or the import path of a constructor, such as"
        " torchvision.models.resnet18"
    )
    return imported(path, unknown=unknown)


def imported(path: str, *, unknown: str) -> Callable[..., Any]:
    """The class or function that an import path names; ``unknown`` says what else it may be.

    Raises:
        ValueError: There is no such module or name, or it can't be called.
    """
    module_name, _, attribute = path.rpartition(".")
    if not module_name:
        raise ValueError(unknown)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ValueError(f"{unknown} ({error})") from error
    found = getattr(module, attribute, None)
    if found is None:
        raise ValueError(
            f"{module_name} has no {attribute!r}{nearest(attribute, names=dir(module))}"
        )
    if not callable(found):
        raise ValueError(f"{path} is no constructor but {type(found).__name__}")
    if _NAMED_BY.get() is not None and not _gives_network(found):
        raise ValueError(
            f"{_NAMED_BY.get()} names {path} as its network, which isn't declared to give one; it "
            "was not called, since a file from elsewhere could name any code. If it is yours, "
            "annotate what it returns: -> torch.nn.Module"
        )
    return found


def _gives_network(constructor: Callable[..., Any]) -> bool:
    """Whether it is a class of modules, or annotated to return one."""
    try:
        hints = {} if isinstance(constructor, type) else get_type_hints(constructor)
    except (NameError, TypeError):
        return False
    kind = hints.get("return", constructor)
    return isinstance(kind, type) and issubclass(kind, nn.Module)


def unknown_backbone(name: str) -> str:
    """What to say of a name that timm doesn't know, with the nearest that it does."""
    return (
        f"unknown backbone {name!r}{nearest(name.split('.')[0], names=timm.list_models())}\n"
        "Expected a timm name (python -c 'import timm; print(timm.list_models())')"
    )


def put_attention(model: nn.Module, attention: Attention) -> nn.Module:
    """Put attention into a network, in place, by `visattn.wrap`; see `wrap_calls` for errors."""
    for call in wrap_calls(attention):
        wrap(model, **call)
    return model


def wrap_calls(attention: Attention) -> list[dict[str, Any]]:
    """Arguments for `visattn.wrap`, a mapping a call.

    Raises:
        ValueError: If a mapping names no block.
        TypeError: If it is none of the forms.

    Example:
        >>> wrap_calls("cbam"), wrap_calls({"block": "se", "stages": [4]})
        ([{'block': 'cbam'}], [{'block': 'se', 'stages': [4]}])
    """
    if attention is None:
        return []
    if isinstance(attention, str):
        return [{"block": attention}]
    calls = [attention] if isinstance(attention, Mapping) else attention
    for call in calls:
        if not isinstance(call, Mapping):
            raise TypeError(
                "attention must be a block's name, a mapping such as {block: cbam, stages: [3, 4]} "
                f"or a list of mappings, got {attention!r}"
            )
        if "block" not in call:
            hint = "".join(nearest("block", names=call))
            raise ValueError(
                "attention must say which block: expected {block: NAME, ...} with any of "
                f"at, stages, every, init, stack and the block's options, got {dict(call)}{hint}"
            )
    return [dict(call) for call in calls]
