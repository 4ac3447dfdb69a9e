"""Running a model over the pictures, and gathering what it computed."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from visattn.basics.logits import class_logits
from visattn.basics.modes import evaluating
from visattn.metrics import energy_pointing, resize_saliency
from visattn.metrics.curves import Curve, deletion, insertion
from visattn.recording import AttentionMap, SiteMaps, record_any
from visattn.recording.activation.methods import TITLES
from visattn.recording.asking import gives_classes, question_of
from visattn.recording.cam import Method, cam_layer, class_activation
from visattn.recording.network_maps import asked_classes
from visattn.recording.questions import Question, class_name
from visattn.recording.site_maps import over_places
from visattn.report_page.answers import answers_of, checked_logits
from visattn.report_page.contents import ModelView
from visattn.report_page.layers import ChannelLayer, Kind, Layer, MapLayer
from visattn.report_page.pairwise import pairwise_layer, row_inside, row_limit
from visattn.report_page.subjects import Scenes, Subject

_CURVE_POINTS = 16
_ASKED = "asked about"


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
        if not gives_classes(subject.model, subject.normalised(scenes.images[:1])):
            batch_size = 1
        logits, recorded, questions = _passes(subject, scenes.images, batch_size=batch_size)
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
        if questions:
            regions = torch.cat([question.regions for question in questions]).float()
            asked = _map_layer(_ASKED, regions, scenes=scenes, largest=largest, kind="asked")
            layers.append(asked)
        if cam and (cam != "auto" or not has_map or questions or subject.asked):
            method: Method = "gradcam" if cam is True or cam == "auto" else cam
            given = (subject, scenes, method, logits, questions)
            layers.append(_cam(*given, batch_size=batch_size, model=name))
        if logits is None:
            return ModelView(name, layers, [], [word for each in questions for word in each.words])
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


def _passes(
    subject: Subject, images: Tensor, *, batch_size: int
) -> tuple[Tensor | None, list[_Recorded], list[Question]]:
    """Logits (N, K) or a question a batch, and what every tap saw."""
    recorded: dict[tuple[str, str, int], _Recorded] = {}
    logits, questions = [], []
    size = (images.shape[2], images.shape[3])
    for batch in images.split(batch_size):
        given = subject.normalised(batch)
        with torch.inference_mode(), record_any(subject.model) as maps:
            outputs = subject.model(given)
        question = question_of(outputs, size=size, asked=subject.asked, names=subject.names)
        if question is None:
            logits.append(checked_logits(outputs, model=subject.model, images=given))
        else:
            questions.append(question)
        for site, found in maps.items():
            for tap, call, name in _names(site, found):
                value = found.values[tap][call]
                count = value.images if isinstance(value, AttentionMap) else len(value)
                if count == len(batch):  # windows of a picture have no place on the page
                    key = (site, tap, call)
                    entry = recorded.setdefault(key, _Recorded(name, found.kinds[tap], []))
                    entry.batches.append(value)
    whole = [e for e in recorded.values() if len(e.batches) == math.ceil(len(images) / batch_size)]
    return torch.cat(logits) if logits else None, whole, questions


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
    kind: Kind = "spatial",
) -> MapLayer:
    resized = resize_saliency(maps, size=scenes.size)
    inside = energy_pointing(resized, scenes.masks, negative="clip")
    inside = torch.where(scenes.masked, inside, torch.nan)
    if maps.shape[1] > largest[0] or maps.shape[2] > largest[1]:
        maps = resize_saliency(maps, size=largest)
    return MapLayer(name, maps.float().numpy(), kind, inside=inside.double().numpy())


def _cam(
    subject: Subject,
    scenes: Scenes,
    method: Method,
    logits: Tensor | None,
    questions: Sequence[Question],
    *,
    batch_size: int,
    model: str,
) -> MapLayer:
    batches = [subject.normalised(batch) for batch in scenes.images.split(batch_size)]
    title = TITLES[method]
    if logits is None:
        maps = _cam_of_questions(subject.model, batches, method, questions)
    else:
        classes = asked_classes(logits, subject.asked)
        parts = [None] * len(batches) if classes is None else classes.split(batch_size)
        found = [
            class_activation(subject.model, batch, method=method, target=part).cpu()
            for batch, part in zip(batches, parts, strict=True)
        ]
        maps = torch.cat(found)
        if subject.asked is not None:
            title += f" of {class_name(subject.asked.label, subject.names)}"
    if not torch.isfinite(maps).all():
        raise ValueError(f"model {model!r}: {title} gave NaN or infinity")
    return _map_layer(title, maps, scenes=scenes, largest=scenes.size, kind="cam")


def _cam_of_questions(
    model: nn.Module, batches: Sequence[Tensor], method: Method, questions: Sequence[Question]
) -> Tensor:
    """Maps (N, h, w) of a segmentation or detector, zero where there was nothing to ask about."""
    layer: str | None = None
    found: list[Tensor | None] = []
    for batch, question in zip(batches, questions, strict=True):
        if not bool(question.found.all()):  # a picture is a batch here
            found.append(None)
            continue
        layer = layer or cam_layer(model, batch, target=question.score)
        maps = class_activation(model, batch, method=method, layer=layer, target=question.score)
        found.append(maps.cpu())
    nothing = next((torch.zeros_like(maps) for maps in found if maps is not None), None)
    nothing = torch.zeros(1, 1, 1) if nothing is None else nothing
    return torch.cat([nothing if maps is None else maps for maps in found])


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
