"""The layout of a data set on disk: which pictures, masks, classes and metadata there are.

    ROOT/SPLIT/images/CLASS/ID.png       any picture suffix
    ROOT/SPLIT/masks/CLASS/ID.png        where there is one; any picture suffix, or .npy
    ROOT/metadata.csv                    optional: columns split, class, id and any others

Other forms are read too, see `visattn.data.files.forms`.
Nothing here opens a picture. Names are the same in whichever form their accents are written.
"""

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
from visattn.data.files.listing import (
    MASK_SUFFIXES as MASK_SUFFIXES,
    class_folders_in,
    files_in,
    folders_under,
    list_problems as list_problems,
    pictures_by_stem,
    raise_problems as raise_problems,
    why_empty,
)
from visattn.data.files.metadata import read_metadata
from visattn.data.files.names import same_form, shown
from visattn.data.files.split_table import SPLITS_FILE, read_splits
from visattn.data.masks import MaskValues


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

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for split in ("train", "test"):
        ...         (Path(root) / split / "images" / "buri").mkdir(parents=True)
        ...     split_names(Path(root))
        ('test', 'train')
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
    mask_folders = class_folders_in(mask_root, problems) if mask_root.is_dir() else {}
    masks = {
        name: pictures_by_stem(folder, problems, suffixes=MASK_SUFFIXES)
        for name, folder in mask_folders.items()
    }
    for name in known:
        if name not in labels:
            problems.append(
                f"{shown(folders[name])}: the class {name!r} is not among the classes of training "
                f"({_some(class_names)}); add it to training, or remove it here"
            )
            continue
        pictures = pictures_by_stem(folders[name], problems)
        _take_masks(pictures, masks.setdefault(name, {}), problems)
        if not pictures:
            problems.append(why_empty(folders[name]))
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
    found = class_folders_in(form.pictures(split), problems)
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
        for inside in folders_under(folder)
        for path in files_in(inside, problems)
        if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()
    )
    raise_problems(problems, where=shown(folder))
    if not paths:
        raise FileNotFoundError(
            f"no pictures under {shown(folder)}: expected files with one of the suffixes "
            f"{', '.join(PICTURE_SUFFIXES)}"
        )
    return tuple(Item(path=path) for path in paths)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"
