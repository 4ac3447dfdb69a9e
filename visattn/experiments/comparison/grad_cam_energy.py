"""One yardstick for all methods: how much of Grad-CAM lies on the true mask."""

from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from visattn.experiments.comparison.columns import random_split, split_name
from visattn.metrics import chance_level, energy_pointing, resize_saliency, summarise
from visattn.recording.cam import cam_layer, grad_cam

IMAGES = 200
_BATCH = 50
_FINE = 7


def energy_inside(classifier: Any, data: Any) -> tuple[dict[str, float], dict[str, str]]:
    """Share of Grad-CAM's mass, for the predicted class, inside the true mask.

    Taken over 200 images with random backgrounds, the same for every method, at Grad-CAM's usual
    layer and, where that one's maps are smaller than 7 x 7, at the last one whose are not: a map
    of 2 x 2 cannot lie on an object of a quarter of the image.

    Args:
        classifier: An `ImageClassifier` after its test.
        data: Its data module.

    Returns:
        ``energy_inside``, ``fine_energy_inside`` and for each the number of images that have a
        map which isn't flat (left out where there is none), ``energy_chance`` (the masks' share of
        the image); and the names of the layers. Both empty without random backgrounds.
    """
    splits = {split_name(name): name for name in data.test_names}
    wanted = random_split(splits)
    if wanted is None:
        return {}, {}
    dataset = data.dataset(splits[wanted])
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(0))
    rows = sorted(order[:IMAGES].tolist())
    network: nn.Module = classifier.eval()
    layers: dict[str, str] = {}
    shares: dict[str, list[Tensor]] = {"energy": [], "fine_energy": [], "chance": []}
    for batch in DataLoader(Subset(dataset, rows), batch_size=_BATCH):
        images, masks = batch["image"].to(classifier.device), batch["mask"][:, 0]
        layers = layers or _layers(network, images)
        size = (images.shape[2], images.shape[3])
        for name, layer in layers.items():
            maps = resize_saliency(grad_cam(network, images, layer=layer), size=size)
            shares[name].append(energy_pointing(maps.cpu(), masks))
        shares["chance"].append(chance_level(masks))
    chance = torch.cat(shares.pop("chance"))
    numbers, names = {}, {}
    for name, layer in layers.items():
        found = summarise(torch.cat(shares[name]).masked_fill(chance.isnan(), torch.nan))
        if found.count:
            numbers[f"{name}_inside"] = found.mean
            numbers[f"{name}_images"] = float(found.count)
        names[f"{name}_layer"] = layer.removeprefix("model.")
    numbers["energy_chance"] = summarise(chance).mean
    return numbers, names


def _layers(network: nn.Module, images: Tensor) -> dict[str, str]:
    found = {"energy": cam_layer(network, images)}
    found["fine_energy"] = found["energy"]
    with suppress(ValueError):
        found["fine_energy"] = cam_layer(network, images, least=_FINE)
    return found
