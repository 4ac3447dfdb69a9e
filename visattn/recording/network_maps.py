"""The maps of a network by the names that a user gives: sites, globs, and Grad-CAM."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, final, get_args

import torch
from torch import Tensor, nn

from visattn.basics.logits import class_logits, main_output
from visattn.basics.suggestions import nearest
from visattn.recording import AttentionMap, Recording, record_any
from visattn.recording.asking import Asked, question_of
from visattn.recording.cam import cam_layer, class_activation
from visattn.recording.marking import MARKERS, Marker, has_layer, marked
from visattn.recording.questions import Question
from visattn.recording.site_maps import SiteMaps, kind_names
from visattn.recording.targets import Target

GRAD_CAM: Marker = "gradcam"
CAMS: dict[str, Marker] = {"grad_cam": GRAD_CAM, **{name: name for name in get_args(Marker)}}
"""Methods by their names among layers; Grad-CAM's first one goes on to be understood."""
_ADDED = {"gate": ", gates", "spatial_logits": ", from logits", "pairwise": ", received"}


@final
@dataclass(frozen=True)
class NetworkMaps:
    """Maps of one pass over images.

    Attributes:
        maps: (N, h, w) by the words that a figure puts above them.
        logits: What the network answered, (N, K); None of a segmentation or detector.
        question: What a segmentation or detector was asked about; None of a classifier.
        normalise: How to draw them unless told otherwise: as they are if all are gates or masks in
            [0, 1] that differ from place to place, each over its own range if not.
    """

    maps: dict[str, Tensor]
    logits: Tensor | None
    normalise: Literal["none", "image"]
    question: Question | None = None
    cam_at: str | None = None


def maps_of(
    network: nn.Module,
    images: Tensor,
    *,
    layers: Sequence[str] | None = None,
    otherwise: str | None = None,
    asked: Asked | None = None,
    names: Sequence[str] | None = None,
    cam_at: str | None = None,
) -> NetworkMaps:
    """What a network says of places in images.

    Args:
        network: Images to logits, to a segmentation or to detections, in evaluation mode.
        images: (N, C, H, W) as the network takes them.
        layers: Sites, the ends of their names, or globs, such as ``"layer4.*"``; ``"gradcam"``,
            ``"gradcam:LAYER"``, or another method of `class_activation`, such as ``"layercam"``;
            ``"rollout"``, ``"relevance"`` or ``"legrad"`` of a transformer.
            All sites that say something of places if None.
        otherwise: What to draw if no layers are given and no site says anything of places; and
            beside these of a segmentation or detector, and if ``asked`` says what to ask about.
        asked: What class activation is asked about; if None what the network predicts, see
            `question_of` for segmentations and detectors.
        names: Names of the classes, for the words of the question.
        cam_at: Where class activation is taken unless a layer is named; `cam_layer` if None.

    Raises:
        KeyError: If Grad-CAM is asked of a layer that there is none of.
        TypeError: If the network returns nothing that can be asked about.
        ValueError: If there is nothing to draw, not where it was asked for, or not of what.
    """
    with torch.no_grad():
        with record_any(network) as recorded:
            outputs = network(images)
        heats = recorded.heats()
    size = (images.shape[2], images.shape[3])
    question = question_of(outputs, size=size, asked=asked, names=names)
    logits = main_output(outputs) if question is None else None
    target: Tensor | Target | None = None
    if question is not None:
        target = question.score
    elif logits is not None:
        target = asked_classes(logits, asked)
    maps, bare = {}, True
    if layers is None and otherwise and (not heats or asked or question):
        layers = [*heats, otherwise]
    for name in _chosen(recorded, names=list(heats), layers=layers):
        if _is_cam(name):
            begin, _, layer = name.partition(":")
            marker, bare = CAMS[begin], False
            if question is not None and not question.found.any():
                title = MARKERS[marker] + (f", {layer}" if layer else "")
                maps[title] = torch.zeros(len(images), 1, 1)
                continue
            if has_layer(marker):
                if not layer:
                    function = target if callable(target) else None
                    layer = cam_at = cam_at or cam_layer(network, images, target=function)
                title = f"{MARKERS[marker]}, {layer}"
            elif layer:
                raise ValueError(f"{begin} follows all layers: it has none to name, {layer!r}")
            else:
                title = MARKERS[marker]
            heat = marked(network, images, marker=marker, layer=layer or None, target=target)
            if question is not None:  # Eigen-CAM and Score-CAM mark places of nothing, too
                heat = heat * question.found.to(heat)[:, None, None]
            maps[title] = heat.cpu()
            continue
        heat = heats[name].float().cpu()
        if len(heat) != len(images):
            raise ValueError(
                f"{name} computed {len(heat)} maps for {len(images)} images: it saw parts of images"
                " and cannot be laid over them"
            )
        kind = _site(recorded, name).heat_kind
        # A gate that starts as 1 everywhere, as the identity, may go up to 2.
        bare = bare and kind != "pairwise" and 0 <= float(heat.min()) < float(heat.max()) <= 1
        added = ", mask" if name == "image" else _ADDED.get(str(kind), "")
        maps[name + added] = heat
    answered = None if logits is None else logits.float().cpu()
    return NetworkMaps(maps, answered, "none" if bare else "image", question, cam_at)


def asked_classes(logits: Tensor, asked: Asked | None) -> Tensor | None:
    """The class that a classifier is asked about, one an image; None for the predicted ones.

    Raises:
        ValueError: A place is asked about, or there is no such class.
    """
    if asked is None:
        return None
    if asked.box is not None:
        raise ValueError(
            "a rectangle is for segmentations and detectors; a classifier is asked about a class of"
            f" the whole picture: target {asked.label}"
        )
    known = class_logits(logits).shape[1]
    if asked.label >= known:
        raise ValueError(f"the network has the classes 0 to {known - 1}, not {asked.label}")
    return torch.full((len(logits),), asked.label, device=logits.device)


def layer_table(network: nn.Module, images: Tensor, *, asked: Asked | None = None) -> str:
    """A line for each site: what it records on such images, and how `maps_of` draws it."""
    rows = [("layer", "records", "drawn")]
    with torch.no_grad(), record_any(network) as recorded:
        outputs = network(images)
    drawn = {
        None: "no: nothing of places",
        "spatial": "the mask",
        "gate": "the product of the gates, mean over channels",
        "spatial_logits": "the sigmoid",
        "pairwise": "what each place receives, mean over queries",
    }
    for site, maps in recorded.items():
        calls = f", {maps.calls} calls" if maps.calls > 1 else ""
        records = "; ".join(
            f"{maps.kinds[tap]} {_size(values[0])}" for tap, values in maps.values.items()
        )
        rows.append((site, records + calls, drawn[maps.heat_kind]))
    rows += [(site, "", f"no: {reason}") for site, reason in recorded.refused.items()]
    try:
        question = question_of(outputs, size=(images.shape[2], images.shape[3]), asked=asked)
        target = None if question is None else question.score
        cam = cam_layer(network, images, target=target)
        size = class_activation(network, images, layer=cam, target=target).shape[1:]
        rows.append((GRAD_CAM, f"{size[0]} x {size[1]}", f"Grad-CAM at {cam}"))
    except ValueError as error:
        rows.append((GRAD_CAM, "", f"no: {error}"))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}".rstrip() for a, b, c in rows)


def _chosen(recorded: Recording, *, names: list[str], layers: Sequence[str] | None) -> list[str]:
    """The names to draw, each once."""
    if layers is None:
        if names:
            return names
        there = "the network has no attention of its own"
        if recorded:
            there = f"its attention at {', '.join(recorded)} says nothing of places"
        elif recorded.refused:
            why = "; ".join(f"{site}: {reason}" for site, reason in recorded.refused.items())
            there = f"its attention can't be recorded ({why})"
        raise ValueError(
            f"{there}: to see where it finds a class, ask for Grad-CAM, layers {GRAD_CAM}"
        )
    found: list[str] = []
    for layer in layers:
        found += [layer] if _is_cam(layer) else chosen_sites(recorded, names, sites=[layer])
    if not found:
        raise ValueError("layers is empty: name one, or leave it out for all")
    return list(dict.fromkeys(found))


def chosen_sites(recorded: Recording, names: Iterable[str], *, sites: Sequence[str]) -> list[str]:
    """Those of the names that are meant by sites, the ends of their names, or globs; each once.

    Raises:
        ValueError: If there is none of a site.
    """
    found: list[str] = []
    for site in sites:
        same = [name for name in names if _fits(name, site)]
        if not same:
            silent = [other for other in recorded if _fits(other, site)]
            if silent:
                raise ValueError(
                    f"{', '.join(silent)} computes {kind_names(recorded[silent[0]])}, nothing of"
                    " places"
                )
            raise ValueError(
                f"there is no map at {site!r}{nearest(site, names=list(names))}\n"
                f"There are {', '.join([*names, GRAD_CAM])}"
            )
        found += same
    return list(dict.fromkeys(found))


def _fits(name: str, layer: str) -> bool:
    """Whether a name is meant: the whole, its end, or a glob of either; of all calls if none."""
    site = name.partition(", call ")[0]
    return any(
        fnmatchcase(candidate, pattern)
        for candidate in (name, site)
        for pattern in (layer, f"*.{layer}")
    )


def _is_cam(layer: str) -> bool:
    return layer.partition(":")[0] in CAMS


def _site(recorded: Recording, name: str) -> SiteMaps:
    """The site that a heat's name begins with."""
    begins = [s for s in recorded if name == s or name.startswith((f"{s} ", f"{s},"))]
    return recorded[max(begins, key=len)]


def _size(value: Tensor | AttentionMap) -> str:
    """Sizes for the table: channels, places, or both grids."""
    if isinstance(value, AttentionMap):
        (a, b), (c, d) = value.query_size, value.key_size
        heads = f"{value.heads} head{'s' if value.heads > 1 else ''}"
        tokens = [f"{token}, " for token in value.query_prefix]
        return f"{heads}, queries {''.join(tokens)}{a} x {b}, keys {c} x {d}"
    shape = value.shape[1:]
    if len(shape) != 3:
        return " x ".join(map(str, shape))
    if shape[1:] == (1, 1):
        return str(shape[0])
    places = f"{shape[1]} x {shape[2]}"
    return places if shape[0] == 1 else f"{shape[0]} of {places}"
