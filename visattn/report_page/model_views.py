"""Running a model over the pictures, and gathering what it computed."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from visattn.basics.logits import class_logits
from visattn.basics.modes import evaluating
from visattn.metrics import energy_pointing, resize_saliency
from visattn.metrics.curves import Curve, deletion, insertion
from visattn.recording import AttentionMap, SiteMaps, record_any
from visattn.recording.activation.methods import TITLES
from visattn.recording.cam import Method, class_activation
from visattn.recording.site_maps import over_places
from visattn.report_page.answers import answers_of, logits_of
from visattn.report_page.contents import ModelView
from visattn.report_page.layers import ChannelLayer, Layer, MapLayer
from visattn.report_page.pairwise import pairwise_layer, row_inside, row_limit
from visattn.report_page.subjects import Scenes, Subject

_CURVE_POINTS = 16


def view_of(
    name: str,
    subject: Subject,
    scenes: Scenes,
    *,
    cam: bool | Literal["auto"] | Method,
    curves: bool,
    batch_size: int,
    largest: tuple[int, int],
    models: int,
) -> ModelView:
    """Everything that the page shows of one model; options are those of `visattn.report`.

    Maps above ``largest``, height and width, are brought to that. Of pairwise layers so much is
    kept as fits on a page of so many ``models``.

    Raises:
        TypeError: If the model returns no logits.
        ValueError: If a map isn't finite.
    """
    with evaluating(subject.model):
        logits, recorded = _passes(subject, scenes.images, batch_size=batch_size)
        pairwise = sum(entry.kind == "pairwise" for entry in recorded)
        limit = row_limit(layers=models * pairwise, pictures=len(scenes.images))
        found = (
            _layer(entry, scenes=scenes, largest=largest, row_bytes=limit, model=name)
            for entry in recorded
        )
        layers = [layer for layer in found if layer is not None]
        has_map = any(
            not isinstance(layer, ChannelLayer) and getattr(layer, "kind", "") != "gate"
            for layer in layers
        )
        if cam and (cam != "auto" or not has_map):
            method: Method = "gradcam" if cam is True or cam == "auto" else cam
            layers.append(_cam(subject, scenes, method, batch_size=batch_size, model=name))
        if curves:
            layers = [
                _with_curves(layer, subject, scenes, logits, batch_size=batch_size)
                if isinstance(layer, MapLayer)
                else layer
                for layer in layers
            ]
        answers = answers_of(subject, scenes, logits, batch_size=batch_size)
    return ModelView(name, layers, answers)


class _Recorded(NamedTuple):
    """What passed one tap, one entry a batch."""

    name: str
    kind: str
    batches: list[Any]


def _passes(subject: Subject, images: Tensor, *, batch_size: int) -> tuple[Tensor, list[_Recorded]]:
    """Logits (N, K), and what every tap saw."""
    recorded: dict[tuple[str, str, int], _Recorded] = {}
    logits = []
    for batch in images.split(batch_size):
        given = subject.normalised(batch)
        with torch.inference_mode(), record_any(subject.model) as maps:
            logits.append(logits_of(subject.model, given))
        for site, found in maps.items():
            for tap, call, name in _names(site, found):
                value = found.values[tap][call]
                count = value.images if isinstance(value, AttentionMap) else len(value)
                if count == len(batch):  # windows of a picture have no place on the page
                    key = (site, tap, call)
                    entry = recorded.setdefault(key, _Recorded(name, found.kinds[tap], []))
                    entry.batches.append(value)
    whole = [e for e in recorded.values() if len(e.batches) == math.ceil(len(images) / batch_size)]
    return torch.cat(logits), whole


def _names(site: str, found: SiteMaps) -> Iterator[tuple[str, int, str]]:
    """(tap, call, what the page calls it) for everything that a site can show."""
    kinds = ("channel", "spatial", "gate", "pairwise")
    shown = [tap for tap, kind in found.kinds.items() if kind in kinds]
    if not any(found.kinds[tap] == "spatial" for tap in shown):
        shown += [tap for tap, kind in found.kinds.items() if kind == "spatial_logits"]
    for tap in shown:
        alike = sum(found.kinds[other] == found.kinds[tap] for other in shown)
        calls = len(found.values[tap])
        for call in range(calls):
            name = site if alike == 1 or not tap else f"{site} {tap}"
            yield tap, call, name if calls == 1 else f"{name}, call {call + 1}"


def _layer(
    entry: _Recorded, *, scenes: Scenes, largest: tuple[int, int], row_bytes: int, model: str
) -> Layer | None:
    """One layer of the page from what a tap saw."""
    if entry.kind == "pairwise":
        batches: list[AttentionMap] = entry.batches
        sizes = [batch.images for batch in batches]
        focuses = np.split(scenes.focus, np.cumsum(sizes)[:-1])
        parts = zip(batches, focuses, scenes.masks.split(sizes), strict=True)
        with torch.inference_mode():
            inside = np.concatenate([row_inside(*part) for part in parts])
            return pairwise_layer(entry.name, batches, inside=inside, row_bytes=row_bytes)
    values = torch.cat([batch.float().cpu() for batch in entry.batches])
    if not torch.isfinite(values).all():
        raise ValueError(f"model {model!r}: the {entry.kind} at {entry.name} has NaN or infinity")
    if entry.kind == "channel":
        return ChannelLayer(entry.name, values.flatten(1).numpy())
    if values.ndim != 4:
        return None
    maps = over_places(values, kind=entry.kind)
    kind: Literal["spatial", "gate"] = "gate" if entry.kind == "gate" else "spatial"
    return _map_layer(entry.name, maps, scenes=scenes, largest=largest, kind=kind)


def _map_layer(
    name: str,
    maps: Tensor,
    *,
    scenes: Scenes,
    largest: tuple[int, int],
    kind: Literal["spatial", "gate", "cam"] = "spatial",
) -> MapLayer:
    resized = resize_saliency(maps, size=scenes.size)
    inside = energy_pointing(resized, scenes.masks, negative="clip")
    inside = torch.where(scenes.masked, inside, torch.nan)
    if maps.shape[1] > largest[0] or maps.shape[2] > largest[1]:
        maps = resize_saliency(maps, size=largest)
    return MapLayer(name, maps.float().numpy(), kind, inside=inside.double().numpy())


def _cam(
    subject: Subject, scenes: Scenes, method: Method, *, batch_size: int, model: str
) -> MapLayer:
    found = [
        class_activation(subject.model, subject.normalised(batch), method=method).cpu()
        for batch in scenes.images.split(batch_size)
    ]
    maps = torch.cat(found)
    if not torch.isfinite(maps).all():
        raise ValueError(f"model {model!r}: {TITLES[method]} gave NaN or infinity")
    return _map_layer(TITLES[method], maps, scenes=scenes, largest=scenes.size, kind="cam")


def _with_curves(
    layer: MapLayer, subject: Subject, scenes: Scenes, logits: Tensor, *, batch_size: int
) -> MapLayer:
    maps = resize_saliency(torch.from_numpy(layer.maps), size=scenes.size)
    options: dict[str, Any] = {
        "classes": class_logits(logits).argmax(1),
        "step": max(1, math.ceil(math.prod(scenes.size) / _CURVE_POINTS)),
        "batch_size": 4 * batch_size,
        "multilabel": subject.multilabel,
    }
    images = subject.normalised(scenes.images)
    curves = {
        "deletion": _plain(deletion(subject.model, images, maps, **options)),
        "insertion": _plain(insertion(subject.model, images, maps, **options)),
    }
    return replace(layer, curves=curves)


def _plain(curve: Curve) -> dict[str, Any]:
    return {
        "fractions": [round(value, 4) for value in curve.fractions.tolist()],
        "values": [[round(value, 4) for value in row] for row in curve.probabilities.tolist()],
        "areas": [round(value, 4) for value in curve.area.tolist()],
        "baseline": curve.baseline,
    }
