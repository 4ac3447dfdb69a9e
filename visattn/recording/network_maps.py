"""The maps of a network by the names that a user gives: sites, globs, and Grad-CAM."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, final, get_args

import torch
from torch import Tensor, nn

from visattn.basics.suggestions import nearest
from visattn.recording import AttentionMap, Recording, record_any
from visattn.recording.cam import cam_layer, class_activation
from visattn.recording.marking import MARKERS, Marker, has_layer, marked
from visattn.recording.site_maps import SiteMaps, kind_names

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
        logits: What the network answered, (N, K).
        normalise: How to draw them unless told otherwise: as they are if all are gates or masks in
            [0, 1] that differ from place to place, each over its own range if not.
    """

    maps: dict[str, Tensor]
    logits: Tensor
    normalise: Literal["none", "image"]


def maps_of(
    network: nn.Module,
    images: Tensor,
    *,
    layers: Sequence[str] | None = None,
    otherwise: str | None = None,
) -> NetworkMaps:
    """What a network says of places in images.

    Args:
        network: Images to logits, in evaluation mode.
        images: (N, C, H, W) as the network takes them.
        layers: Sites, the ends of their names, or globs, such as ``"layer4.*"``; ``"gradcam"``,
            ``"gradcam:LAYER"``, or another method of `class_activation`, such as ``"layercam"``;
            ``"rollout"``, ``"relevance"`` or ``"legrad"`` of a transformer.
            All sites that say something of places if None.
        otherwise: What to draw if no layers are given and no site says anything of places.

    Raises:
        KeyError: If Grad-CAM is asked of a layer that there is none of.
        TypeError: If the network returns no logits.
        ValueError: If there is nothing to draw, or not where it was asked for.
    """
    with torch.no_grad():
        with record_any(network) as recorded:
            logits = network(images)
        heats = recorded.heats()
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise TypeError(
            f"the network must return logits (N, K), it returned {_said(logits)}; a segmentation "
            "or a detector is asked about by a target of visattn.class_activation"
        )
    maps, bare = {}, True
    if layers is None and not heats and otherwise:
        layers = [otherwise]
    for name in _chosen(recorded, names=list(heats), layers=layers):
        if _is_cam(name):
            begin, _, layer = name.partition(":")
            marker, bare = CAMS[begin], False
            if has_layer(marker):
                layer = layer or cam_layer(network, images)
                title = f"{MARKERS[marker]}, {layer}"
            elif layer:
                raise ValueError(f"{begin} follows all layers: it has none to name, {layer!r}")
            else:
                title = MARKERS[marker]
            maps[title] = marked(network, images, marker=marker, layer=layer or None).cpu()
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
    return NetworkMaps(maps, logits.float().cpu(), "none" if bare else "image")


def layer_table(network: nn.Module, images: Tensor) -> str:
    """A line for each site: what it records on such images, and how `maps_of` draws it."""
    rows = [("layer", "records", "drawn")]
    with torch.no_grad(), record_any(network) as recorded:
        network(images)
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
        cam = cam_layer(network, images)
        size = class_activation(network, images[:1], layer=cam).shape[1:]
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
        if _is_cam(layer):
            found.append(layer)
            continue
        same = [name for name in names if _fits(name, layer)]
        if not same:
            silent = [site for site in recorded if _fits(site, layer)]
            if silent:
                raise ValueError(
                    f"{', '.join(silent)} computes {kind_names(recorded[silent[0]])}, nothing of"
                    " places"
                )
            raise ValueError(
                f"there is no map at {layer!r}{nearest(layer, names=names)}\n"
                f"There are {', '.join([*names, GRAD_CAM])}"
            )
        found += same
    if not found:
        raise ValueError("layers is empty: name one, or leave it out for all")
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


def _said(value: object) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__
