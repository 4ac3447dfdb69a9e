"""How pictures must be read for weights that were trained elsewhere."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from timm.data import ImageNetInfo
from torch import Tensor

from visattn.basics.squares import reading_of_config
from visattn.networks.backbone import classifier_paths
from visattn.networks.weight_files import FACTS, read_file, weights_for

_TORCHVISION = "torchvision.models."


def reading_of_weights(backbone: object, path: str | Path | None = None) -> dict[str, Any]:
    """The ``mean``, ``std`` and ``interpolation`` of weights' training, as far as they are known.

    Args:
        backbone: A name of timm's or, as ``torchvision.models.NAME``, of torchvision's; of
            anything else nothing is known.
        path: The file of weights. One that visattn wrote says it; of any other, as of their own
            weights, what timm or torchvision says of the architecture counts.

    Example:
        >>> reading_of_weights("tf_efficientnet_lite0")["mean"]
        [0.5, 0.5, 0.5]
    """
    facts: Mapping[str, Any] = {}
    if path is not None and Path(path).is_file():
        facts = read_file(path).get(FACTS, {})
    if not facts and isinstance(backbone, str) and timm.is_model(backbone):
        config = timm.get_pretrained_cfg(backbone)
        facts = {} if config is None else config.to_dict()
    if not facts and isinstance(backbone, str) and backbone.startswith(_TORCHVISION):
        facts = _facts_of_torchvision(backbone.removeprefix(_TORCHVISION))
    return reading_of_config(facts)


def _facts_of_torchvision(name: str) -> dict[str, Any]:
    if name not in torchvision.models.list_models(module=torchvision.models):
        return {}
    read = torchvision.models.get_model_weights(name)["DEFAULT"].transforms()
    return {"mean": read.mean, "std": read.std, "interpolation": read.interpolation.value}


def imagenet_names() -> list[str]:
    """The first name that ImageNet has for each of its 1,000 classes.

    Example:
        >>> imagenet_names()[:2]
        ['tench', 'goldfish']
    """
    whole = map(ImageNetInfo().index_to_description, range(1000))
    return [name.partition(",")[0] for name in whole]


def twin_of(backbone: object, path: str | Path) -> str | None:
    """Another timm architecture that takes the same weights, and answers differently.

    Networks ported from TensorFlow (``tf_NAME``) pad differently from ``NAME``, and often have
    another mean and standard deviation; a file of weights doesn't say which of the two it is of.

    Args:
        backbone: A timm name; others have no twin.
        path: The file of weights; one that visattn wrote, or a missing one, has no twin.
    """
    if not isinstance(backbone, str) or not timm.is_model(backbone) or not Path(path).is_file():
        return None
    name = backbone.split(".")[0]
    other = name.removeprefix("tf_") if name.startswith("tf_") else f"tf_{name}"
    saved = read_file(path)
    if FACTS in saved or not timm.is_model(other):
        return None
    with torch.device("meta"):
        network = timm.create_model(other)
    own = network.state_dict()
    heads = tuple(f"{p}." for p in classifier_paths(network, num_classes=1000))
    same = _shapes(own, but=heads) == _shapes(weights_for(own, saved), but=heads)
    return other if same else None


def twin_note(backbone: object, path: str | Path) -> str | None:
    """What to say of a file that fits two architectures, see `twin_of`; None of any other."""
    twin = twin_of(backbone, path)
    return twin and (
        f"{Path(path).name} fits {twin} as well as {backbone}, and the file doesn't say which it"
        f" is of: they differ in padding, perhaps in mean and std. If results are poor, try {twin}"
    )


def _shapes(state: Mapping[str, Tensor], *, but: tuple[str, ...]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in state.items() if not name.startswith(but)}
