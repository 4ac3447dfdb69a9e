"""The maps to judge: those of the network, and two that look at no image."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from time import perf_counter
from typing import Any, final

import torch
from torch import Tensor, nn

from visattn.evaluation.asking import asked_about
from visattn.metrics import resize_saliency
from visattn.recording import record_any
from visattn.recording.cam import cam_layer
from visattn.recording.marking import MARKERS, Marker, has_layer, marked
from visattn.recording.network_maps import chosen_sites
from visattn.recording.questions import Question
from visattn.recording.targets import Target

MapsOf = Callable[[nn.Module, Tensor, Any], Mapping[str, Tensor]]
"""From a network, images (N, C, H, W) and what they are asked about to maps (N, h, w) by name.

That is classes (N,) of a classifier, a `Question` of a segmentation or detector.
"""

BASELINES = ("random", "centre")
_NOISE_CELLS = 8
_FINE = 7
_CENTRE_WIDTH = 0.25


@final
class NetworkMaps:
    """Makes a network's maps by name; `network_maps` makes it.

    Attributes:
        names: Names of the maps that were found.
    """

    def __init__(
        self,
        layers: Sequence[str],
        markers: Sequence[Marker],
        *,
        sites: Sequence[str] | None = None,
        names: Sequence[str] = (),
    ) -> None:
        self._layers, self._markers, self._sites = layers, markers, sites
        self.names = names
        self._spent: dict[str, tuple[float, int]] = {}

    def __call__(
        self, network: nn.Module, batch: Tensor, asked: Tensor | Question
    ) -> dict[str, Tensor]:
        """Maps (N, h, w) of images (N, C, H, W) and classes (N,) or a question."""
        target = asked if isinstance(asked, Tensor) else asked.score
        begin = perf_counter()
        with torch.no_grad(), record_any(network) as maps:
            network(batch)
        heats = maps.heats()
        wanted = heats if self._sites is None else chosen_sites(maps, heats, sites=self._sites)
        found = {name: heats[name].float() for name in wanted}
        self._note(found, begin, len(batch))
        for marker in self._markers:
            for layer in self._layers if has_layer(marker) else (None,):
                name = MARKERS[marker] if layer is None else f"{MARKERS[marker]}, {layer}"
                begin = perf_counter()
                if not isinstance(asked, Tensor) and not bool(asked.found.any()):
                    found[name] = torch.zeros(len(batch), 1, 1, device=batch.device)
                else:
                    found[name] = marked(network, batch, marker=marker, layer=layer, target=target)
                self._note([name], begin, len(batch))
        return found

    @property
    def seconds(self) -> dict[str, float]:
        """What an image took, by map; of the network's own the pass that records all of them."""
        return {name: spent / count for name, (spent, count) in self._spent.items()}

    def _note(self, names: Iterable[str], begin: float, count: int) -> None:
        spent = perf_counter() - begin
        for name in names:
            before = self._spent.get(name, (0.0, 0))
            self._spent[name] = (before[0] + spent, before[1] + count)


def network_maps(
    model: nn.Module,
    images: Tensor,
    *,
    layer: str | None = None,
    cams: Sequence[Marker] = ("gradcam",),
    asked: Tensor | Question | None = None,
    sites: Sequence[str] | None = None,
) -> NetworkMaps:
    """What makes a network's own maps: each site that says something of places, and Grad-CAM.

    Args:
        model: Images to logits.
        images: Images as those to come, to find Grad-CAM's layers.
        layer: Grad-CAM's layer. If None, the last maps before the global pooling; and, where these
            have fewer than 7 places a side, as for small images, the last that have as many, too.
        cams: Methods of `class_activation`; ``"rollout"``, ``"relevance"`` and ``"legrad"`` of a
            transformer.
        asked: What the images are asked about, see `asked_about`; found by it if None.
        sites: Which of the network's own maps, as for `visattn.recording.network_maps.maps_of`; all
            if None, none if empty.

    Returns:
        A function of a network, images and what is asked, which gives maps by name: what every site
        says of places (`Recording.heats`), and ``"Grad-CAM, LAYER"`` or another method's.

    Raises:
        KeyError: If there is no such layer.
        ValueError: If no layer gives maps, or a method is none for this network.
    """
    layers: list[str] = []
    if asked is None:
        asked = asked_about(model, images, batch_size=len(images))
    if any(map(has_layer, cams)):
        if layer is None and not isinstance(asked, Tensor) and not bool(asked.found.any()):
            raise ValueError(
                "class activation's layer is looked for with the first images, and there is "
                f"nothing to ask about in them: {asked.words[0]}; the first has "
                f"{asked.instead[0]}. Begin with images in which there is, or name the layer"
            )
        target = None if isinstance(asked, Tensor) else asked.score
        layers = _cam_layers(model, images, target=target) if layer is None else [layer]
    maps_of = NetworkMaps(layers, cams, sites=sites)
    if isinstance(asked, Tensor):
        found = maps_of(model, images[:1], asked[:1])  # an error now, not after a first batch
    else:
        found = maps_of(model, images, asked)
    if not found:
        raise ValueError("there is no map to measure: name sites, or methods of class activation")
    return NetworkMaps(layers, cams, sites=sites, names=list(found))


def _cam_layers(model: nn.Module, images: Tensor, *, target: Target | None) -> list[str]:
    """The usual layer, and a finer one where that one is very coarse."""
    layers = [cam_layer(model, images, target=target)]
    with suppress(ValueError):
        layers.append(cam_layer(model, images, target=target, least=_FINE))
    return list(dict.fromkeys(layers))


def baseline_maps(
    count: int, *, size: tuple[int, int], generator: torch.Generator
) -> dict[str, Tensor]:
    """Maps that know nothing of the image, (N, H, W) by name.

    ``"random"`` is uniform noise of 8 x 8 cells, enlarged; ``"centre"`` a Gaussian in the middle
    with a standard deviation of a quarter of each side, for objects that photographers centre.

    Args:
        count: How many.
        size: Height and width.
        generator: Of the noise.
    """
    cells = torch.rand(count, _NOISE_CELLS, _NOISE_CELLS, generator=generator)
    rows, columns = (
        torch.exp(-((((torch.arange(side) + 0.5) / side - 0.5) / _CENTRE_WIDTH) ** 2) / 2)
        for side in size
    )
    centre = (rows[:, None] * columns).expand(count, *size)
    return {"random": resize_saliency(cells, size=size), "centre": centre}
