"""What a page shows first: a picture that tells something, and the layer that lies best."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from visattn.report_page.contents import ModelView
from visattn.report_page.layers import ChannelLayer, Layer, MapLayer


def focus_of(masks: Tensor) -> NDArray[np.float64]:
    """Where the objects are: the pixel of each mask that is nearest to the mask's centre.

    Args:
        masks: True masks (N, H, W) in [0, 1], NaN where unknown.

    Returns:
        Shares of height and width (N, 2); the middle of the picture for an empty mask.

    Example:
        >>> import torch
        >>> focus_of(torch.tensor([[[0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]]]))
        array([[0.25 , 0.875]])
    """
    height, width = masks.shape[1:]
    found = np.full((len(masks), 2), 0.5)
    for row, mask in enumerate(masks):
        places = (mask.nan_to_num(0.0) >= 0.5).nonzero().double()
        if len(places):
            nearest = (places - places.mean(0)).square().sum(1).argmin()
            found[row] = (places[nearest] + 0.5).numpy() / (height, width)
    return found


def opening_layer(layers: Sequence[Layer]) -> int:
    """The layer with most of its sum on the objects; without masks the last with a map.

    Args:
        layers: All layers of a model.

    Returns:
        Its number; -1 if no layer has a map.
    """
    shown = [
        place
        for place, layer in enumerate(layers)
        if not isinstance(layer, ChannelLayer)
        and not (isinstance(layer, MapLayer) and layer.kind == "asked")
    ]
    return max(shown, key=lambda place: (_mean_inside(layers[place]), place), default=-1)


def _mean_inside(layer: Layer) -> float:
    """Mean share of a layer's maps on the objects; -1 where nothing is known."""
    if layer.inside is None:
        return -1.0
    known = layer.inside[~np.isnan(layer.inside)]
    return float(known.mean()) if len(known) else -1.0


def opening_picture(models: Sequence[ModelView], labels: Sequence[int]) -> int:
    """The picture about which the models differ most, or whose map lies best on the object.

    Args:
        models: All models of the page.
        labels: True classes, -1 where unknown.

    Returns:
        Its number.
    """
    scores = []
    for row, label in enumerate(labels):
        answers = [model.answers[row] for model in models if model.answers]
        shares = [dict(zip(a.classes, a.whole, strict=True)).get(label, 0.0) for a in answers]
        inside = 0.0
        for model in models:
            place = opening_layer(model.layers)
            values = model.layers[place].inside if place >= 0 else None
            if values is not None and not np.isnan(values[row]):
                inside = max(inside, float(values[row]))
        shares = shares or [0.0]
        scores.append((max(shares) - min(shares)) + 0.5 * max(shares) + 0.5 * inside)
    return int(np.argmax(scores))
