"""Draw what a trained network marks in pictures: what ``visattn overlay`` does."""

import glob
from collections import Counter
from collections.abc import Sequence
from os.path import commonpath
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from visattn.basics.suggestions import nearest
from visattn.data.checking import check_items
from visattn.data.folders import IMAGENET_MEAN, IMAGENET_STD, PictureDataset
from visattn.data.layout import (
    PICTURE_SUFFIXES,
    Item,
    raise_problems,
    scan_pictures,
)
from visattn.networks.loading import load_classifier
from visattn.pictures import grid, save
from visattn.pictures.saving import SUFFIXES
from visattn.recording.network_maps import layer_table, maps_of

Normalise = Literal["image", "layer", "global", "none"]
_BATCH = 16


def draw_maps(
    images: str | Path,
    *,
    model: str | Path,
    layers: Sequence[str] | None = None,
    out: str | Path | None = None,
    size: int | None = None,
    normalise: Normalise | None = None,
    alpha: float = 0.5,
    interpolation: Literal["bilinear", "nearest"] = "bilinear",
    pretrained: bool = False,
) -> list[Path]:
    """Lay a network's maps over pictures, and write a sheet a picture.

    Args:
        images: A picture, a folder of pictures (sub-folders too), or a glob.
        model: A checkpoint of `ImageClassifier`, or the name of a timm model.
        layers: Sites or globs, such as ``"layer4.*"``, ``"grad_cam"`` or ``"grad_cam:LAYER"``; all
            sites that say something of places if None.
        out: For one picture a file (PNG or PDF) or a folder, ``overlay.png`` if None; for several
            a folder, ``overlays`` if None, in which the sheets lie as the pictures do.
        size: Side to which pictures are scaled; that of the training if None, 224 for a name.
        normalise: As for `visattn.pictures.grid`; if None, gates and masks in [0, 1] are drawn as
            they are, and anything else each over its own range. The sheet says which.
        alpha: Opacity of the maps' colours, in [0, 1].
        interpolation: ``"bilinear"`` or ``"nearest"``.
        pretrained: For a timm model by name: load its weights; otherwise they are random.

    Returns:
        The files.

    Raises:
        FileNotFoundError: If there is no such picture or checkpoint.
        KeyError: If Grad-CAM is asked of a layer that there is none of.
        ValueError: If a picture cannot be read, there is nothing to draw, or files would be lost.
    """
    network, facts = load_classifier(model, pretrained=pretrained)
    paths = find_pictures(images)
    places = _places(paths, out=out)
    read = _Reader(facts, size=size)
    names = facts.get("class_names")
    known = bool(facts) or pretrained
    network.to("cuda" if torch.cuda.is_available() else "cpu")
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    for start in range(0, len(paths), _BATCH):
        part = paths[start : start + _BATCH]
        batch = torch.stack([read(path) for path in part])
        found = maps_of(network, batch.to(device), layers=layers)
        for row, path in enumerate(part):
            share, place = found.logits[row].softmax(0).max(0)
            label = names[int(place)] if names else f"class {int(place)}"
            figure = grid(
                batch[row : row + 1],
                {name: heat[row : row + 1] for name, heat in found.maps.items()},
                captions=[f"{label}, p = {share.item():.2f}"],
                title=path.name if known else f"{path.name} (untrained weights)",
                normalise=normalise or found.normalise,
                alpha=alpha,
                interpolation=interpolation,
                mean=read.mean,
                std=read.std,
            )
            save(figure, places[start + row])
    return places


def list_layers(
    images: str | Path, *, model: str | Path, size: int | None = None, pretrained: bool = False
) -> str:
    """A table of what can be drawn of a network, found on the first of the pictures.

    Args:
        images: As for `draw_maps`.
        model: As for `draw_maps`.
        size: As for `draw_maps`.
        pretrained: As for `draw_maps`.

    Raises:
        FileNotFoundError: If there is no such picture or checkpoint.
        ValueError: If the picture cannot be read.
    """
    network, facts = load_classifier(model, pretrained=pretrained)
    return layer_table(network, _Reader(facts, size=size)(find_pictures(images)[0])[None])


def find_pictures(where: str | Path) -> list[Path]:
    """The pictures that a path, a folder or a glob means, sorted, each looked at.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If one cannot be read.
    """
    path = Path(where)
    if path.is_file():
        items = [Item(path)]
    elif path.is_dir():
        items = list(scan_pictures(path))
    elif glob.has_magic(str(where)):
        matches = sorted(Path(name) for name in glob.glob(str(where), recursive=True))
        items = [Item(p) for p in matches if p.suffix.lower() in PICTURE_SUFFIXES and p.is_file()]
        if not items:
            raise FileNotFoundError(
                f"no picture fits {where}: {len(matches)} files and folders do, none with one of"
                f" the suffixes {', '.join(PICTURE_SUFFIXES)}"
            )
    else:
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise FileNotFoundError(f"no picture at {path}{nearest(path.name, names=beside)}")
    raise_problems(check_items(items), where=str(where))
    return [item.path for item in items]


class _Reader:
    """Reads pictures as the network takes them."""

    def __init__(self, facts: dict[str, Any], *, size: int | None) -> None:
        self.mean = facts.get("mean", IMAGENET_MEAN)
        self.std = facts.get("std", IMAGENET_STD)
        self._size = size or facts.get("size", 224)
        self._fit = facts.get("fit", "crop")

    def __call__(self, path: Path) -> Tensor:
        """One picture (3, H, W), normalised."""
        pictures = PictureDataset(
            path, size=self._size, fit=self._fit, mean=self.mean, std=self.std
        )
        return torch.as_tensor(pictures[0]["image"])


def _places(paths: Sequence[Path], *, out: str | Path | None) -> list[Path]:
    """Where the sheet of each picture goes; no two to one file, none over a picture."""
    several = len(paths) > 1
    target = Path(out) if out is not None else Path("overlays" if several else "overlay.png")
    is_file = target.suffix.lower() in SUFFIXES and not target.is_dir()
    if several and is_file:
        raise ValueError(
            f"{len(paths)} pictures have a sheet each: out must be a folder, not the file {target}"
        )
    if is_file:
        places = [target]
    else:
        root = Path(commonpath([path.parent for path in paths]))
        inside = [path.relative_to(root) for path in paths]
        stems = Counter(path.with_suffix("") for path in inside)
        places = [
            target
            / path.parent
            / f"{path.stem if stems[path.with_suffix('')] == 1 else path.name}.png"
            for path in inside
        ]
    given = {path.resolve() for path in paths}
    lost = [place for place in places if place.resolve() in given]
    if lost:
        raise ValueError(f"{lost[0]} is one of the pictures and would be lost: give another out")
    return places
