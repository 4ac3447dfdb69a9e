"""How pictures become what a network takes: as in its training, as far as that is known."""

from collections.abc import Mapping
from typing import Any

from visattn.data.folders import IMAGENET_MEAN, IMAGENET_STD
from visattn.data.masks import SOFT, MaskValues


def preparation(facts: Mapping[str, Any], *, size: int | None = None) -> dict[str, Any]:
    """Arguments of `FolderDataset` and `PictureDataset` that say how pictures are read.

    Args:
        facts: What is known of the training's data, see `visattn.networks.loading`; what they
            don't say is as usual with ImageNet.
        size: Another side than that of the training.

    Example:
        >>> preparation({"size": 64, "fit": "stretch"})["size"], preparation({})["size"]
        (64, 224)
    """
    usual = {
        "size": 224,
        "fit": "crop",
        "interpolation": "bilinear",
        "mean": IMAGENET_MEAN,
        "std": IMAGENET_STD,
    }
    found = {name: facts.get(name, value) for name, value in usual.items()}
    return {**found, "size": size or found["size"]}


def learned_mask_values(facts: Mapping[str, Any], *, scenes: bool = False) -> MaskValues:
    """What the values of mask files meant in the training; soft for scenes that are rendered.

    Example:
        >>> learned_mask_values({"mask_values": {"foreground": [1]}}).foreground
        (1,)
    """
    given = facts.get("mask_values")
    if scenes or not isinstance(given, Mapping):
        return SOFT
    return MaskValues.of(given)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (tuple, list)) else value


def preparation_line(facts: Mapping[str, Any], prepared: Mapping[str, Any]) -> str:
    """How pictures are read, in a line, and whether that is as in the training.

    Where the facts' ``source`` says so, it is as the network itself says: its training isn't known.

    Example:
        >>> preparation_line({"size": 32, "fit": "crop"}, {"size": 64, "fit": "crop"})
        'size 64 (32 in its training), fit crop'
        >>> preparation_line({"std": (1, 1, 1)}, {"std": [1, 1, 1]})
        'as in its training: std [1, 1, 1]'
        >>> preparation_line({"size": 32, "source": "as the network says"}, {"size": 64})
        'size 64 (32 as the network says)'
        >>> preparation_line({"size": 32}, {"size": 32, "fit": "crop"})
        'as in its training: size 32; as usual: fit crop'
    """
    where = facts.get("source", "in its training")
    known: list[str] = []
    usual: list[str] = []
    for name, value in prepared.items():
        plain, trained = map(_plain, (value, facts.get(name, value)))
        was = "" if trained == plain else f" ({trained} {where})"
        (known if name in facts else usual).append(f"{name} {plain}{was}")
    if not known or any(text.endswith(f"{where})") for text in known):
        return ", ".join(known + usual)
    told = f"as {where}: ".replace("as as", "as") + ", ".join(known)
    return told + (f"; as usual: {', '.join(usual)}" if usual else "")
