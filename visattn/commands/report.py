"""The page of trained networks on pictures: what ``visattn report`` does."""

from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from torch.utils.data import default_collate

from visattn.data.background_swap import remove_foreground
from visattn.data.files.picture_paths import Pictures
from visattn.data.folders import FolderDataset, PictureDataset
from visattn.data.preparation import learned_mask_values, preparation, preparation_line
from visattn.data.sources import SUSHI, check_scenes, find_source
from visattn.networks.loading import load_classifier, untrained_note
from visattn.networks.own_function import is_own_function
from visattn.recording.asking import Asked
from visattn.report_page import Report, Subject, build_report


def report_on(
    checkpoints: Sequence[str | Path],
    *,
    weights: str | Path | None = None,
    pretrained: bool = False,
    data: Pictures = SUSHI,
    split: str | None = None,
    count: int = 24,
    seed: int = 0,
    size: int | None = None,
    curves: bool = True,
    title: str = "Where the network looks",
    target: str | None = None,
    multilabel: bool = False,
    skip_broken: bool = False,
) -> Report:
    """Make a page of networks on pictures of a folder, which are drawn at random.

    The pictures are shown with their masks where there are some, and classes where the checkpoint
    says which it knows. What isn't said here ``visattn report --help`` explains.

    Args:
        checkpoints: Checkpoints of `ImageClassifier`, or names of timm models. Checkpoints must
            know the same classes.
        weights: As for the command, for the first.
        pretrained: As for the command, for each name.
        data: As for the command.
        split: As for the command.
        count: How many pictures.
        seed: Which ones.
        size: As for the command.
        curves: Whether to follow deletion and insertion.
        title: Heading of the page.
        target: As for the command.
        multilabel: As for the command.
        skip_broken: As for the command.

    Raises:
        FileNotFoundError: If a checkpoint or the pictures are missing.
        ValueError: If the networks know other classes, or an option is out of its range.
    """
    if not checkpoints:
        raise ValueError("expected at least one checkpoint, got none")
    if count < 1:
        raise ValueError(f"a page needs at least 1 picture, got {count}")
    names = _names([Path(checkpoint) for checkpoint in checkpoints])
    networks = {}
    for number, checkpoint in enumerate(checkpoints):
        file = weights if number == 0 else None
        timms = pretrained and bool(untrained_note(checkpoint))
        names[number] += untrained_note(checkpoint, pretrained=timms, weights=file)
        networks[names[number]] = load_classifier(checkpoint, pretrained=timms, weights=file)
    facts = networks[names[0]][1]
    classes = facts.get("class_names")
    for name, (_, other) in networks.items():
        if other.get("class_names") != classes:
            raise ValueError(
                f"{name} was trained on the classes {other.get('class_names')}, {names[0]} on"
                f" {classes}: a page compares networks that know the same classes"
            )
    own = preparation(facts, size=size)
    prepared = {**own, "mean": (0, 0, 0), "std": (1, 1, 1)}
    Console(stderr=True, highlight=False, emoji=False, soft_wrap=True).print(
        preparation_line(facts, own), markup=False
    )
    check_scenes(data, classes)
    wanted = split or ("test_mixed_rand" if str(data) == SUSHI else None)
    root, chosen = find_source(data, split=wanted, size=prepared["size"], scenes=max(count, 8))
    dataset: FolderDataset | PictureDataset
    if chosen is None:
        dataset = PictureDataset(root, **prepared, skip_broken=skip_broken)
        place = dataset.folder
    else:
        values = learned_mask_values(facts, scenes=str(data) == SUSHI)
        dataset = FolderDataset(
            place := Path(str(root)),
            split=chosen,
            class_names=classes,
            mask_values=values,
            skip_broken=skip_broken,
            **prepared,
        )
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(seed))
    rows = sorted(order[:count].tolist())
    dataset.check(rows)
    drawn = default_collate([dataset[row] for row in rows])
    where = f"pictures of {chosen or place.name}"
    note = f"{len(rows)} of {len(dataset)} {where}, drawn at random (seed {seed})"
    subjects = {}
    for name, (network, known) in networks.items():
        its = preparation(known)
        named = known.get("class_names") or known.get("logit_names")
        asked = None if target is None else Asked.of(target, names=named)
        subjects[name] = Subject(
            network, its["mean"], its["std"], multilabel=multilabel, asked=asked, names=named
        )
    return build_report(
        subjects,
        drawn["image"],
        masks=drawn["mask"],
        labels=drawn["label"] if classes else None,
        classes=classes,
        names=[dataset.items[row].path.name for row in rows],
        backgrounds=remove_foreground(drawn["image"], drawn["mask"].nan_to_num(0)).clamp(0, 1),
        curves=curves,
        title=title,
        note=f"all {len(rows)} {where}" if len(rows) == len(dataset) else note,
    )


def _names(paths: Sequence[Path]) -> list[str]:
    """Short names that differ: the run's for RUNS/NAME/version_K/checkpoints/last.ckpt.

    Example:
        >>> _names([Path("runs/mask/version_0/checkpoints/last.ckpt"), Path("resnet18")])
        ['mask', 'resnet18']
    """
    names = []
    for path in paths:
        if is_own_function(path):
            names.append(str(path).rpartition(":")[2])
            continue
        run = path.parent.name == "checkpoints" and path.parent.parent.name.startswith("version_")
        names.append(path.parents[2].name if run and len(path.parents) > 3 else path.stem)
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    if len(set(names)) < len(names):
        names = [f"{name} ({number + 1})" for number, name in enumerate(names)]
    return names
