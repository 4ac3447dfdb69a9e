"""The layout of a data set on disk: which pictures, masks, classes and metadata there are.

    ROOT/SPLIT/images/CLASS/ID.png       any picture suffix
    ROOT/SPLIT/masks/CLASS/ID.png        where there is one; any picture suffix, or .npy
    ROOT/metadata.csv                    optional: columns split, class, id and any others

Other forms are read too, see `visattn.data.files.forms`.
Nothing here opens a picture. Names are the same in whichever form their accents are written.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from visattn.basics.suggestions import nearest
from visattn.data.files.forms import (
    MASK_ENDING,
    PICTURE_SUFFIXES as PICTURE_SUFFIXES,
    Form,
    form_of,
)
from visattn.data.files.metadata import read_metadata
from visattn.data.files.names import same_form, shown
from visattn.data.files.split_table import SPLITS_FILE, read_splits
from visattn.data.masks import MaskValues

MASK_SUFFIXES = (*PICTURE_SUFFIXES, ".npy")
"""Suffixes of the files that count as masks."""

# Pictures, too, but none that are read: not to be overlooked without a word.
_OTHER_PICTURES = (
    *(".avif", ".dng", ".exr", ".heic", ".heif", ".ico", ".j2k", ".jfif", ".jp2", ".jpe", ".jxl"),
    *(".pbm", ".pgm", ".psd", ".raw", ".tga"),
)
_LISTED_PROBLEMS = 10
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Item:
    """One picture of a data set and what is known about it.

    Args:
        path: The picture.
        mask_path: Its mask, or None where it has none (unlabelled).
        label: Its class as a number, -1 where it has none.
        class_name: Its class by name, empty where it has none.
        metadata: The other columns of its row in ``metadata.csv``, by column.
        mask_values: What the values of its own mask mean, where that differs between pictures.
    """

    path: Path
    mask_path: Path | None = None
    label: int = -1
    class_name: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    mask_values: MaskValues | None = None


def split_names(root: Path) -> tuple[str, ...]:
    """The names of the splits under ``root``, sorted.

    Raises:
        FileNotFoundError: ``root`` is missing, or is no folder, or has no split.
    """
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing"
        raise FileNotFoundError(
            f"expected a data set's folder at {root}, found {found}; it should hold "
            "SPLIT/images/CLASS/ID.png, such as train/images/cat/001.png"
        )
    form = form_of(root)
    if form is None:
        inside = sorted(p.name for p in root.iterdir())[:8]
        raise FileNotFoundError(
            f"no split in {root}: expected folders such as train/images/CLASS/ID.png or "
            f"train/CLASS/ID.png, found {inside if inside else 'an empty folder'}"
        )
    return form.splits


def known_split(split: str, *, splits: Sequence[str], root: Path) -> str:
    """The split, if there is one of that name.

    Raises:
        ValueError: There is none; the nearest names are given.

    Example:
        >>> known_split("val", splits=("train", "val"), root=Path("birds"))
        'val'
    """
    if split in splits:
        return split
    hint = nearest(repr(split), names=map(repr, splits)) or ";"
    raise ValueError(f"no split {split!r} in {root}{hint} There are {', '.join(splits)}")


def class_folders(root: Path, split: str) -> tuple[str, ...]:
    """The class folders of a split, sorted by name.

    Raises:
        ValueError: There is no such split (the nearest names are given), or it has no class.
    """
    form = _form(root, split)
    folder = form.pictures(split)
    problems: list[str] = []
    names = tuple(sorted(_class_folders(form, split, problems)))
    raise_problems(problems, where=shown(folder))
    if not names:
        raise ValueError(
            f"no class folder in {shown(folder)}: pictures stand in one folder a class, such as "
            f"{shown(folder / 'cat' / '001.png')}"
        )
    return names


def scan_split(root: Path, split: str, *, class_names: Sequence[str]) -> tuple[Item, ...]:
    """Every picture of a split, sorted by class and file name; pictures are not opened.

    Args:
        root: The data set's folder.
        split: Which part of it.
        class_names: The classes in the order of their labels, those of the training split.

    Raises:
        ValueError: An empty class folder, a class that is not among ``class_names``, a mask
            without a picture, two files for one picture, a link that leads nowhere. All that is
            found (up to ten) is listed. Or a fault in the metadata, see
            `visattn.data.files.metadata`.
    """
    labels = {same_form(name): label for label, name in enumerate(class_names)}
    problems: list[str] = []
    found: dict[str, dict[str, Path]] = {}
    known = class_folders(root, split)
    form, mask_root = _form(root, split), _form(root, split).masks(split)
    folders = _class_folders(form, split, problems)
    mask_folders = _folders(mask_root, problems) if mask_root.is_dir() else {}
    masks = {
        name: _by_stem(folder, problems, suffixes=MASK_SUFFIXES)
        for name, folder in mask_folders.items()
    }
    for name in known:
        if name not in labels:
            problems.append(
                f"{shown(folders[name])}: the class {name!r} is not among the classes of training "
                f"({_some(class_names)}); add it to training, or remove it here"
            )
            continue
        pictures = _by_stem(folders[name], problems)
        _take_masks(pictures, masks.setdefault(name, {}), problems)
        if not pictures:
            problems.append(_why_empty(folders[name]))
            continue
        found[name] = pictures
        problems.extend(
            f"{shown(mask)}: a mask without a picture; expected {shown(folders[name] / stem)}.*"
            for stem, mask in sorted(masks.get(name, {}).items())
            if stem not in pictures
        )
    problems.extend(
        f"{shown(folder)}: masks of a class that has no pictures"
        for name, folder in mask_folders.items()
        if masks[name] and name not in known
    )
    if form.drawn:
        _keep_split(found, read_splits(root), split, problems, root=root)
    raise_problems(problems, where=f"the split {split!r} of {shown(root)}")
    metadata = read_metadata(
        root / "metadata.csv",
        split=split,
        splits=split_names(root),
        pictures={(n, stem): path.name for n, own in found.items() for stem, path in own.items()},
    )
    return tuple(
        Item(
            path=path,
            mask_path=masks.get(name, {}).get(stem),
            label=labels[name],
            class_name=class_names[labels[name]],
            metadata=metadata.get((name, stem), {}),
        )
        for name, own in found.items()
        for stem, path in sorted(own.items())
    )


def _form(root: Path, split: str) -> Form:
    """The form of a folder that has this split."""
    known_split(split, splits=split_names(root), root=root)
    form = form_of(root)
    if form is None:
        raise FileNotFoundError(f"no split in {root}")
    return form


def _class_folders(form: Form, split: str, problems: list[str]) -> dict[str, Path]:
    found = _folders(form.pictures(split), problems)
    return {name: folder for name, folder in found.items() if form.is_class(folder)}


def _take_masks(pictures: dict[str, Path], masks: dict[str, Path], problems: list[str]) -> None:
    """Move what is the mask beside a picture, ``ID_mask.*``, from the pictures to the masks."""
    for stem in [stem for stem in pictures if stem.endswith(MASK_ENDING)]:
        own = stem.removesuffix(MASK_ENDING)
        if own not in pictures:
            continue
        beside = pictures.pop(stem)
        if own in masks:
            problems.append(
                f"{shown(beside)}: a second mask of {shown(pictures[own].name)}, beside "
                f"{shown(masks[own])}; remove one"
            )
        masks[own] = beside


def _keep_split(
    found: dict[str, dict[str, Path]],
    splits: Mapping[str, set[tuple[str, str]]],
    split: str,
    problems: list[str],
    *,
    root: Path,
) -> None:
    """Keep the pictures of a split that was drawn; those of no split are a problem."""
    named = set().union(*splits.values())
    here = {(name, stem) for name, own in found.items() for stem in own}
    strange = sorted(here - named)
    if strange:
        problems.append(
            f"{shown(root / SPLITS_FILE)} does not say the split of {len(strange)} pictures, such "
            f"as {'/'.join(strange[0])}; add them, or remove the file to split anew"
        )
    gone = sorted(pair for pair in splits[split] if pair[0] in found and pair not in here)
    if gone:
        problems.append(
            f"{shown(root / SPLITS_FILE)} names {len(gone)} pictures that are not there, such as "
            f"{'/'.join(gone[0])}; remove these lines, or the file to split anew"
        )
    for name, own in found.items():
        found[name] = {stem: path for stem, path in own.items() if (name, stem) in splits[split]}


def scan_pictures(folder: Path) -> tuple[Item, ...]:
    """Every picture under a folder, in sub-folders too, sorted by path; no classes, no masks.

    Raises:
        FileNotFoundError: The folder is missing or holds no picture.
    """
    if folder.is_file() and folder.suffix.lower() in PICTURE_SUFFIXES:
        return (Item(path=folder),)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"expected a folder of pictures at {shown(folder)}, found "
            f"{'another file' if folder.exists() else 'nothing'}"
        )
    problems: list[str] = []
    paths = sorted(
        path
        for inside in _folders_under(folder)
        for path in _files(inside, problems)
        if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()
    )
    raise_problems(problems, where=shown(folder))
    if not paths:
        raise FileNotFoundError(
            f"no pictures under {shown(folder)}: expected files with one of the suffixes "
            f"{', '.join(PICTURE_SUFFIXES)}"
        )
    return tuple(Item(path=path) for path in paths)


def raise_problems(problems: Sequence[str], *, where: str) -> None:
    """Raise one error that lists the problems (up to ten), or return if there are none.

    Args:
        problems: One line each.
        where: What has them, for the first line.

    Raises:
        ValueError: There are problems.
    """
    if problems:
        raise ValueError(list_problems(problems, where=where))


def list_problems(problems: Sequence[str], *, where: str) -> str:
    """A line that counts the problems, and up to ten of them."""
    listed = list(problems[:_LISTED_PROBLEMS])
    if len(problems) > len(listed):
        listed.append(f"... and {len(problems) - len(listed)} more")
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return f"{count} in {where}:\n  " + "\n  ".join(listed)


def _folders_under(folder: Path) -> list[Path]:
    """A folder and all in it, links followed, each once: links may go round in circles."""
    found: dict[Path, Path] = {}
    waiting = [folder]
    while waiting:
        path = waiting.pop()
        if path.resolve() not in found:
            found[path.resolve()] = path
            waiting.extend(p for p in sorted(path.iterdir()) if p.is_dir() and _visible(p))
    return list(found.values())


def _files(folder: Path, problems: list[str]) -> list[Path]:
    """What is in a folder and not hidden, sorted; names and links that are wrong are problems."""
    entries = sorted(path for path in folder.iterdir() if _visible(path))
    found = []
    for path in entries:
        if not path.exists():
            problems.append(
                f"{shown(path)}: a link that leads nowhere, or in a circle; mend or remove it"
            )
        elif not path.name.isprintable() and any("\ud800" <= c <= "\udfff" for c in path.name):
            problems.append(f"{shown(path)}: its name is not in UTF-8; rename it")
        else:
            found.append(path)
    others = [path for path in found if path.suffix.lower() in _OTHER_PICTURES]
    overlooked = [path for path in others if path.is_file()]
    if overlooked:
        kinds = ", ".join(sorted({path.suffix.lower() for path in overlooked}))
        _log.warning(
            "%s: left out %d files (%s); readable ones are %s",
            shown(folder),
            len(overlooked),
            kinds,
            ", ".join(PICTURE_SUFFIXES),
        )
    return found


def _folders(folder: Path, problems: list[str]) -> dict[str, Path]:
    """The folders in ``images`` or ``masks`` by class; pictures beside them are problems."""
    found: dict[str, Path] = {}
    for path in _files(folder, problems):
        name = same_form(path.name)
        if path.is_dir():
            if name in found:
                problems.append(f"{shown(path)}: a second folder for the class {name!r}; join them")
            found[name] = path
        elif path.suffix.lower() in MASK_SUFFIXES:
            kind = "masks stand" if folder.name == "masks" else "pictures stand"
            other = "pictures do" if folder.name == "masks" else "in CLASS/ID.png"
            problems.append(f"{shown(path)}: {kind} in one folder a class, as {other}")
    return found


def _by_stem(
    folder: Path, problems: list[str], *, suffixes: Sequence[str] = PICTURE_SUFFIXES
) -> dict[str, Path]:
    """The pictures of one folder by file name without suffix; doubles become problems."""
    found: dict[str, Path] = {}
    for path in _files(folder, problems):
        if path.is_dir():
            if any(p.suffix.lower() in suffixes and _visible(p) for p in path.iterdir()):
                problems.append(
                    f"{shown(path)}: pictures in a folder of a class folder, which are not read; "
                    "move them up, or the folder away"
                )
            continue
        if path.suffix.lower() not in suffixes:
            continue
        stem = same_form(path.stem)
        if stem in found:
            problems.append(
                f"{shown(path)}: a second file for {shown(found[stem].name)}; names without their "
                "suffix must differ within a class, since a mask is found by them"
            )
            continue
        found[stem] = path
    return found


def _why_empty(folder: Path) -> str:
    others = sorted({p.suffix.lower() for p in folder.iterdir() if p.is_file() and _visible(p)})
    if others:
        return (
            f"{shown(folder)}: no pictures in this class folder, only files with the suffixes "
            f"{', '.join(map(repr, others))}; readable ones are {', '.join(PICTURE_SUFFIXES)}"
        )
    return f"{shown(folder)}: an empty class folder; add pictures, or remove it"


def _visible(path: Path) -> bool:
    return not path.name.startswith(".")


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"
