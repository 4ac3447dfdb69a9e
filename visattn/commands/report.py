"""The page of trained networks on pictures: what ``visattn report`` does."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from visattn.basics.suggestions import nearest
from visattn.data.background_swap import remove_foreground
from visattn.data.folders import IMAGENET_MEAN, IMAGENET_STD, FolderDataset, PictureDataset
from visattn.data.layout import split_names
from visattn.data.modules import SushiData
from visattn.networks.loading import load_classifier
from visattn.report_page import Report, Subject, build_report

SUSHI = "sushi"


class _Chosen(NamedTuple):
    """Pictures of a page, with all that is known of them."""

    images: Tensor
    masks: Tensor
    labels: list[int]
    names: list[str]
    note: str


def report_on(
    checkpoints: Sequence[str | Path],
    *,
    data: str | Path = SUSHI,
    split: str | None = None,
    count: int = 24,
    seed: int = 0,
    size: int | None = None,
    curves: bool = True,
    title: str = "Where the network looks",
) -> Report:
    """Make a page of networks on pictures of a folder.

    The pictures are drawn at random, and shown with their masks where there are some. Classes are
    shown where the checkpoint says which it knows.

    Args:
        checkpoints: Checkpoints of `ImageClassifier`, or names of timm models. Checkpoints must
            know the same classes.
        data: A folder ``SPLIT/images/CLASS/ID.*``, a folder of pictures without classes, one
            picture, or ``"sushi"`` for scenes that are rendered.
        split: Which split of ``data``; the last whose name begins with ``test``, or of the scenes
            ``test_mixed_rand``, if None.
        count: How many pictures.
        seed: Which ones.
        size: Side to which pictures are scaled; that of the first network's training if None.
        curves: Whether to follow deletion and insertion.
        title: Heading of the page.

    Raises:
        FileNotFoundError: If a checkpoint or the pictures are missing.
        ValueError: If the networks know other classes, or an option is out of its range.
    """
    if not checkpoints:
        raise ValueError("expected at least one checkpoint, got none")
    if count < 1:
        raise ValueError(f"a page needs at least 1 picture, got {count}")
    names = _names([Path(checkpoint) for checkpoint in checkpoints])
    networks = [load_classifier(checkpoint) for checkpoint in checkpoints]
    facts = networks[0][1]
    classes = facts.get("class_names")
    for name, (_, other) in zip(names, networks, strict=True):
        if other.get("class_names") != classes:
            raise ValueError(
                f"{name} was trained on the classes {other.get('class_names')}, {names[0]} on"
                f" {classes}: a page compares networks that know the same classes"
            )
    side = size or facts.get("size", 224)
    chosen = _choose(
        data,
        split=split,
        count=count,
        seed=seed,
        side=side,
        fit=facts.get("fit", "crop"),
        classes=classes,
    )
    subjects = {
        name: Subject(network, known.get("mean", IMAGENET_MEAN), known.get("std", IMAGENET_STD))
        for name, (network, known) in zip(names, networks, strict=True)
    }
    alpha = chosen.masks.nan_to_num(0.0)[:, None]
    return build_report(
        subjects,
        chosen.images,
        masks=chosen.masks,
        labels=chosen.labels,
        classes=classes,
        names=chosen.names,
        backgrounds=remove_foreground(chosen.images, alpha).clamp(0, 1),
        curves=curves,
        title=title,
        note=chosen.note,
    )


def _choose(
    data: str | Path,
    *,
    split: str | None,
    count: int,
    seed: int,
    side: int,
    fit: Any,
    classes: Sequence[str] | None,
) -> _Chosen:
    """Draw the pictures."""
    dataset: FolderDataset | PictureDataset
    known: list[str] = []
    if str(data) == SUSHI:
        scenes = SushiData(size=side, train=8, val=0, test=max(count, 8))
        root = scenes.locate()
        known, split = list(split_names(root)), split or "test_mixed_rand"
    else:
        root = Path(data)
        known = _splits(root)
    if known:
        tests = [name for name in known if name.startswith("test")]
        wanted = split or (tests or known)[-1]
        if wanted not in known:
            raise ValueError(
                f"no split {wanted!r} in {root}{nearest(wanted, names=known)}\nThere are"
                f" {', '.join(known)}"
            )
        dataset = FolderDataset(root, split=wanted, size=side, fit=fit, class_names=classes)
        where = wanted
    elif split is not None:
        raise ValueError(f"{root} has no splits; leave out split={split!r}")
    else:
        dataset = PictureDataset(root, size=side, fit=fit, mean=(0, 0, 0), std=(1, 1, 1))
        where = root.name
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(seed))
    rows = sorted(order[:count].tolist())
    items = [_item(dataset, row) for row in rows]
    note = f"{len(rows)} of {len(dataset)} pictures of {where}, drawn at random (seed {seed})"
    if len(rows) == len(dataset):
        note = f"all {len(rows)} pictures of {where}"
    return _Chosen(
        images=torch.stack([image for image, _ in items]),
        masks=torch.stack([mask for _, mask in items]),
        labels=[dataset.items[row].label if known and classes else -1 for row in rows],
        names=[dataset.items[row].path.name for row in rows],
        note=note,
    )


def _item(dataset: FolderDataset | PictureDataset, row: int) -> tuple[Tensor, Tensor]:
    """A picture in [0, 1] and its mask, NaN where nothing is known."""
    if isinstance(dataset, PictureDataset):
        found = dataset[row]
        return torch.as_tensor(found["image"]), torch.as_tensor(found["mask"])[0]
    decoded = dataset.decoded(row)
    image = torch.from_numpy(decoded.image).permute(2, 0, 1).float() / 255
    if decoded.alpha is None:
        return image, torch.full(image.shape[1:], torch.nan)
    mask = torch.from_numpy(decoded.alpha).float() / 255
    if decoded.unknown is not None:
        mask[torch.from_numpy(decoded.unknown) >= 128] = torch.nan
    return image, mask


def _splits(root: Path) -> list[str]:
    """The splits of a folder; none for a folder of pictures."""
    if not root.exists():
        raise FileNotFoundError(f"expected pictures at {root}, found nothing")
    if not root.is_dir() or not any((child / "images").is_dir() for child in root.iterdir()):
        return []
    return list(split_names(root))


def _names(paths: Sequence[Path]) -> list[str]:
    """Short names that differ: the run's for RUNS/NAME/version_K/checkpoints/last.ckpt.

    Example:
        >>> _names([Path("runs/mask/version_0/checkpoints/last.ckpt"), Path("resnet18")])
        ['mask', 'resnet18']
    """
    names = []
    for path in paths:
        run = path.parent.name == "checkpoints" and path.parent.parent.name.startswith("version_")
        names.append(path.parents[2].name if run and len(path.parents) > 3 else path.stem)
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    if len(set(names)) < len(names):
        names = [f"{name} ({number + 1})" for number, name in enumerate(names)]
    return names
