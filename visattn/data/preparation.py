"""How pictures become what a network takes: as in its training, as far as that is known."""

from collections.abc import Mapping
from typing import Any

from visattn.data.folders import IMAGENET_MEAN, IMAGENET_STD


def preparation(facts: Mapping[str, Any], *, size: int | None = None) -> dict[str, Any]:
    """Arguments ``size``, ``fit``, ``mean`` and ``std`` of `FolderDataset` and `PictureDataset`.

    Args:
        facts: What is known of the training's data, see `visattn.networks.loading`; what they
            don't say is as usual with ImageNet.
        size: Another side than that of the training.

    Example:
        >>> preparation({"size": 64, "fit": "stretch"})["size"], preparation({})["size"]
        (64, 224)
    """
    usual = {"size": 224, "fit": "crop", "mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    found = {name: facts.get(name, value) for name, value in usual.items()}
    return {**found, "size": size or found["size"]}
