"""Draw what a trained network marks in a picture."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from visattn.data.folders import IMAGENET_MEAN, IMAGENET_STD, PictureDataset
from visattn.pictures import grid, save
from visattn.recording import Recording, record
from visattn.training.backbone import build_backbone
from visattn.training.classifier import ImageClassifier
from visattn.training.suggestions import nearest


def draw_maps(
    image: str | Path,
    *,
    model: str | Path,
    layers: list[str] | None = None,
    out: str | Path = "overlay.png",
    size: int | None = None,
) -> Path:
    """Lay every spatial map of a network over a picture, and write the figure.

    Args:
        image: A picture.
        model: A checkpoint of `ImageClassifier`, or the name of a timm model.
        layers: Sites to draw; all that have a spatial map if None.
        out: PNG or PDF.
        size: Side to which the picture is scaled; that of the training if None, 224 for a name.

    Returns:
        The file.

    Raises:
        FileNotFoundError: If the picture is missing.
        ValueError: If the network has no spatial map, or not at a site that was asked for.
    """
    network, facts = load_network(model)
    mean, std = facts.get("mean", IMAGENET_MEAN), facts.get("std", IMAGENET_STD)
    pictures = PictureDataset(
        image, size=size or facts.get("size", 224), fit=facts.get("fit", "crop"), mean=mean, std=std
    )
    tensor = pictures[0]["image"]
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"{image}: expected a picture, got {type(tensor).__name__}")
    with torch.inference_mode(), record(network) as maps:
        probabilities = network(tensor[None]).float().softmax(1)[0]
    found = {f"at {site}": maps[site].spatial for site in _chosen(maps, layers=layers)}
    share, place = probabilities.max(0)
    names = facts.get("class_names")
    label = names[int(place)] if names else f"class {int(place)}"
    figure = grid(
        tensor[None],
        found,
        captions=[f"{label}, p = {share.item():.2f}"],
        title=Path(image).name,
        normalise="none",
        mean=mean,
        std=std,
    )
    return save(figure, out)


def load_network(model: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """A network in evaluation mode, and what is known of the data that it was trained on.

    Args:
        model: A checkpoint of `ImageClassifier`, or the name of a timm model.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
    """
    if Path(model).is_file():
        classifier = ImageClassifier.load_from_checkpoint(model, map_location="cpu")
        return classifier.model.eval(), classifier.data_facts
    if Path(model).suffix in {".ckpt", ".pt", ".pth"}:
        raise FileNotFoundError(f"no checkpoint at {model}")
    return build_backbone(str(model), num_classes=1000).eval(), {}


def _chosen(maps: Recording, *, layers: list[str] | None) -> list[str]:
    spatial = [site for site, found in maps.items() if "spatial" in found.kinds.values()]
    if not spatial:
        raise ValueError(f"the network has no spatial map; it has attention at {', '.join(maps)}")
    for layer in layers or ():
        if layer not in spatial:
            raise ValueError(
                f"no spatial map at {layer!r}{nearest(layer, names=spatial)}\n"
                f"There are {', '.join(spatial)}"
            )
    return layers or spatial
