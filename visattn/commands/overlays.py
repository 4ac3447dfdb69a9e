"""Draw what a trained network marks in pictures: what ``visattn overlay`` does."""

from collections import Counter
from collections.abc import Sequence
from os.path import commonpath
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from torch import Tensor

from visattn.basics.logits import class_probabilities
from visattn.data.checking import check_items, readable_items
from visattn.data.files.picture_paths import Pictures, folder_of, pictures_at
from visattn.data.folders import PictureDataset
from visattn.data.layout import raise_problems
from visattn.data.preparation import preparation, preparation_line
from visattn.networks.loading import load_classifier, untrained_note
from visattn.pictures import grid, save
from visattn.pictures.saving import SUFFIXES
from visattn.recording.asking import Asked, gives_classes
from visattn.recording.marking import MARKERS
from visattn.recording.network_maps import GRAD_CAM, NetworkMaps, layer_table, maps_of
from visattn.recording.questions import class_name

Normalise = Literal["image", "layer", "global", "none"]
_BATCH = 16
_ROOM = 20
"""Letters that stand above a map without being shortened."""
_TILE = 1.2
"""Inches that a map takes at least, so that its range can be read."""
_PAGE = 10.0
_RECEIVED = ", received"


def draw_maps(
    images: Pictures,
    *,
    model: str | Path,
    layers: Sequence[str] | None = None,
    out: str | Path | None = None,
    size: int | None = None,
    normalise: Normalise | None = None,
    alpha: float = 0.7,
    interpolation: Literal["bilinear", "nearest"] = "bilinear",
    weights: str | Path | None = None,
    pretrained: bool = False,
    target: str | None = None,
    multilabel: bool = False,
    skip_broken: bool = False,
) -> list[Path]:
    """Lay a network's maps over pictures, and write a sheet a picture.

    The arguments are those that ``visattn overlay --help`` explains, ``layers`` a list.

    Returns:
        The files.

    Raises:
        FileNotFoundError: If there is no such picture or checkpoint.
        KeyError: If Grad-CAM is asked of a layer that there is none of.
        ValueError: If a picture cannot be read, there is nothing to draw, or files would be lost.
    """
    network, facts = load_classifier(model, pretrained=pretrained, weights=weights)
    paths = find_pictures(images, skip_broken=skip_broken)
    places = _places(paths, out=out)
    prepared = preparation(facts, size=size)
    line = preparation_line(facts, prepared)
    Console(stderr=True, highlight=False, emoji=False, soft_wrap=True).print(line, markup=False)
    names = facts.get("class_names") or facts.get("logit_names")
    asked = None if target is None else Asked.of(target, names=names)
    untrained = untrained_note(model, pretrained=pretrained, weights=weights)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.to(device)
    alike = gives_classes(network, _read(paths[0], prepared)[None].to(device))
    step, cam_at = _BATCH if alike else 1, None
    for start in range(0, len(paths), step):
        part = paths[start : start + step]
        batch = torch.stack([_read(path, prepared) for path in part])
        found = maps_of(
            network,
            batch.to(device),
            layers=layers,
            otherwise=GRAD_CAM,
            asked=asked,
            names=names,
            cam_at=cam_at,
        )
        cam_at = None if alike else found.cam_at
        captions = _captions(found, asked=asked, names=names, multilabel=multilabel)
        short, more = _short(list(found.maps))
        heads = dict(zip(short, found.maps.values(), strict=True))
        columns = 1 + len(heads)
        for row, path in enumerate(part):
            question = found.question
            figure = grid(
                batch[row : row + 1],
                {word: heat[row : row + 1] for word, heat in heads.items()},
                captions=captions[row : row + 1],
                targets=None if question is None else question.regions[row : row + 1],
                targets_are="what was asked about",
                title=path.name + untrained + more,
                width=_TILE * columns if _TILE * columns > _PAGE else None,
                normalise=normalise or found.normalise,
                alpha=alpha,
                fading=True,
                interpolation=interpolation,
                mean=prepared["mean"],
                std=prepared["std"],
            )
            save(figure, places[start + row])
    return places


def _captions(
    found: NetworkMaps,
    *,
    asked: Asked | None,
    names: Sequence[str] | None,
    multilabel: bool,
) -> list[str]:
    """What the network says to each picture, and what it was asked about."""
    if found.question is not None:
        return list(found.question.words)
    if found.logits is None:
        return []
    captions = []
    for shares in class_probabilities(found.logits, multilabel=multilabel):
        place = int(shares.argmax())
        said = f"{class_name(place, names)}, p = {float(shares[place]):.2f}"
        if asked is not None and asked.label != place:
            share = f"p = {float(shares[asked.label]):.2f}"
            said = f"{class_name(asked.label, names)}, {share}; answer: {said}"
        captions.append(said)
    return captions


def _short(names: Sequence[str]) -> tuple[list[str], str]:
    """The names of maps and what the title says of them.

    Long ones go without the modules in which all of a network's sites lie, then without those with
    which all of them end, and attention that is received is said once for all.

    Example:
        >>> _short(["encoder.block.0.attention, received", "encoder.block.1.attention, received"])
        (['0.attention', '1.attention'], ': attention received')
        >>> _short([f"encoder.layers.encoder_layer_{n}.self_attention" for n in range(2)])[0]
        ['encoder_layer_0', 'encoder_layer_1']
        >>> _short(["layer4.0, gates", "Grad-CAM, layer4"])
        (['layer4.0, gates', 'Grad-CAM, layer4'], '')
    """
    own = [name for name in names if not name.startswith(tuple(MARKERS.values()))]
    if len(own) < 2 or max(map(len, own)) < _ROOM:
        return list(names), ""
    received = all(name.endswith(_RECEIVED) for name in own)
    parts = [name.partition(", ")[0].split(".")[:-1] for name in own]
    shared = 0
    while all(len(part) > shared and part[shared] == parts[0][shared] for part in parts):
        shared += 1
    short = {name: ".".join(name.split(".")[shared:]) for name in own}
    if received:
        short = {name: word.removesuffix(_RECEIVED) for name, word in short.items()}
    ends = {word.rpartition(".")[2] for word in short.values()}
    if len(ends) == 1 and max(map(len, short.values())) >= _ROOM:
        short = {name: word.rpartition(".")[0] or word for name, word in short.items()}
    return [short.get(name, name) for name in names], ": attention received" if received else ""


def list_layers(
    images: Pictures,
    *,
    model: str | Path,
    size: int | None = None,
    weights: str | Path | None = None,
    pretrained: bool = False,
) -> str:
    """A table of what can be drawn of a network, found on the first of the pictures.

    The arguments and errors are those of `draw_maps`.
    """
    network, facts = load_classifier(model, pretrained=pretrained, weights=weights)
    picture = _read(find_pictures(images)[0], preparation(facts, size=size))
    return layer_table(network, picture[None])


def find_pictures(where: Pictures, *, skip_broken: bool = False) -> list[Path]:
    """The pictures that paths, folders and globs mean, each read once.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If one cannot be read; if none can, where broken ones are skipped.
    """
    items = list(pictures_at(where))
    shown = str(folder_of(where, items))
    if skip_broken:
        items = list(readable_items(items, where=shown))
    else:
        raise_problems(check_items(items), where=shown)
    return [item.path for item in items]


def _read(path: Path, prepared: dict[str, Any]) -> Tensor:
    """One picture (3, H, W), normalised."""
    return torch.as_tensor(PictureDataset(path, **prepared)[0]["image"])


def _places(paths: Sequence[Path], *, out: str | Path | None) -> list[Path]:
    """Where the sheet of each picture goes; no two to one file, none over a picture."""
    several = len(paths) > 1
    target = Path(out) if out is not None else Path("overlays" if several else "overlay.png")
    is_file = target.suffix.lower() in SUFFIXES and not target.is_dir()
    if several and is_file:
        raise ValueError(
            f"{len(paths)} pictures have a sheet each: out must be a folder, not the file {target}"
        )
    root = Path(commonpath([path.parent for path in paths]))
    inside = [path.relative_to(root) for path in paths]
    stems = Counter(path.with_suffix("") for path in inside)
    names = [
        path.with_suffix(".png")
        if stems[path.with_suffix("")] == 1
        else path.with_name(f"{path.name}.png")
        for path in inside
    ]
    places = [target] if is_file else [target / name for name in names]
    given = {path.resolve() for path in paths}
    lost = [place for place in places if place.resolve() in given]
    if lost:
        raise ValueError(f"{lost[0]} is one of the pictures and would be lost: give another out")
    return places
