"""A network back from its checkpoint, or by name, and what it knows of its data."""

from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any, Final

import timm
import torch
from torch import nn

from visattn.basics.squares import reading_of_config
from visattn.networks.backbone import (
    build_backbone,
    build_with_weights,
    named_by,
    put_attention,
)
from visattn.networks.fetching import from_pretrained
from visattn.networks.own_function import facts_of_network, is_own_function, own_network
from visattn.networks.shared_files import CONFIG
from visattn.networks.weight_files import (
    FACTS,
    check_weights,
    classifier_in,
    take_weights,
    weights_in,
)
from visattn.networks.weights_reading import reading_of_weights

STANDS_ALONE: Final[dict[str, Any]] = {
    "pretrained": False,
    "weights": None,
    "init_from": None,
    "new_classifier": None,
}
"""Options of a network whose weights come from its own checkpoint: nothing else is loaded."""


def standing_alone(options: Container[str]) -> dict[str, Any]:
    """Those of a network's options that are to be others when its weights are a checkpoint's.

    Example:
        >>> standing_alone({"backbone": "resnet18", "pretrained": True})
        {'pretrained': False}
    """
    return {name: value for name, value in STANDS_ALONE.items() if name in options}


def load_classifier(
    model: str | Path, *, pretrained: bool = False, weights: str | Path | None = None
) -> tuple[nn.Module, dict[str, Any]]:
    """A classifier in evaluation mode, on the CPU, and what is known of its training's data.

    Args:
        model: A checkpoint that ``visattn fit`` wrote of a classifier of images, a folder that
            `visattn.save_pretrained` wrote, the name of a timm model, or ``FILE.py:FUNCTION``, a
            function of one's own that is called without arguments and gives the network with its
            weights.
        pretrained: Load timm's weights for a name.
        weights: For a name, a file of weights of one's own, see
            `visattn.networks.backbone.load_weights`; there are as many logits as in the file.

    Where neither a checkpoint nor a file of weights says how pictures were prepared, timm or
    torchvision does; of a network with random weights only its size, where it takes no other.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If the file is something else or holds NaN, or ``pretrained`` or ``weights``
            are asked of a checkpoint.
    """
    if (Path(model) / CONFIG).is_file() and not pretrained and weights is None:
        network = from_pretrained(model)
        return network, dict(network.data_facts) or timm_facts(network)  # type: ignore[arg-type]
    if is_own_function(model):
        if pretrained or weights is not None:
            asked = "pretrained" if pretrained else "weights"
            raise ValueError(f"{asked} is for the name of a timm model: load them in {model}")
        network = own_network(str(model)).eval()
        return network, _said({**timm_facts(network), **facts_of_network(network)})
    if pretrained and Path(model).is_file():
        raise ValueError(f"{model} is a checkpoint with weights of its own: leave pretrained out")
    if weights is not None and (pretrained or Path(model).is_file()):
        other = "pretrained loads timm's" if pretrained else f"{model} has its own"
        raise ValueError(f"weights={str(weights)!r} is for the name of a timm model: {other}")
    if Path(model).is_file():
        saved = classifier_in(model)
        network = _rebuilt(saved, path=model)
        return network.eval(), dict(saved[FACTS])
    if Path(model).suffix in {".ckpt", ".pt", ".pth", ".safetensors"}:
        raise FileNotFoundError(f"no checkpoint at {model}")
    facts: dict[str, Any] = {}
    if weights is not None:
        network, facts = build_with_weights(str(model), weights)
    else:
        network = build_backbone(str(model), num_classes=1000, pretrained=pretrained)
    if pretrained or weights is not None:
        facts = facts or timm_facts(network) or reading_of_weights(str(model))
    else:
        facts = _said({**_only_size(network), **facts_of_network(network)})
    # Half of the time of a lite EfficientNet on a CPU, and most checkpoints are laid out so too.
    return network.to(memory_format=torch.channels_last).eval(), facts


def _said(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts that a network says of itself, whose training isn't known, with that as ``source``."""
    return {**facts, "source": "as the network says"} if facts else facts


def timm_facts(model: object) -> dict[str, Any]:
    """How timm says that pictures are prepared for a network of its own.

    Example:
        >>> list(timm_facts(build_backbone("tf_efficientnet_lite0", num_classes=1000)))
        ['mean', 'std', 'interpolation', 'size']
    """
    config = getattr(model, "pretrained_cfg", None) or {}
    facts = reading_of_config(config)
    if config.get("input_size"):
        facts["size"] = int(config["input_size"][-1])
    return facts


def _only_size(model: object) -> dict[str, Any]:
    """The size of images where a network of timm takes no other, as most transformers."""
    config = getattr(model, "pretrained_cfg", None) or {}
    if not config.get("fixed_input_size"):
        return {}
    return {"size": timm_facts(model)["size"]}


def untrained_note(
    model: str | Path, *, pretrained: bool = False, weights: str | Path | None = None
) -> str:
    """What a heading adds to a network whose weights are random, given as to `load_classifier`.

    Example:
        >>> untrained_note("resnet18"), untrained_note("resnet18", pretrained=True)
        (' (untrained weights)', '')
        >>> untrained_note("nets.py:trained"), untrained_note("my_package.trained_network")
        ('', '')
    """
    own = Path(model).is_file() or (Path(model) / CONFIG).is_file() or _of_a_user(str(model))
    return "" if own or pretrained or weights is not None else " (untrained weights)"


def _of_a_user(model: str) -> bool:
    """Whether a function of the user's own gives the network: what weights it has isn't known."""
    path = "." in model and ":" not in model and "/" not in model and not timm.is_model(model)
    elsewhere = path and model.partition(".")[0] not in ("timm", "torchvision")
    return is_own_function(model) or elsewhere


def _rebuilt(saved: Mapping[str, Any], *, path: str | Path) -> nn.Module:
    """The network that a checkpoint describes, with its weights."""
    options = saved["hyper_parameters"]
    if "backbone" not in options:
        raise ValueError(
            f"{path} doesn't say what its backbone is, which was given as a Python object: build "
            "the ImageClassifier with it and load the state dict, then use its .model"
        )
    with named_by(path):
        network = build_backbone(
            options["backbone"],
            num_classes=options["num_classes"],
            options=options.get("backbone_options"),
        )
    put_attention(network, options.get("attention"))
    if options.get("channels_last", True):
        network.to(memory_format=torch.channels_last)
    state = weights_in(saved)
    check_weights(state, path=path)
    try:
        take_weights(network, state)
    except RuntimeError as error:
        raise ValueError(
            f"the weights in {path} are not those of the network that it describes, "
            f"{options['backbone']}: it is broken, or somebody changed it. Take another checkpoint"
        ) from error
    return network
