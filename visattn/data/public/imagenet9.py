"""ImageNet-9 and its variants, the Backgrounds Challenge.

Xiao, Engstrom, Ilyas and Madry, Noise or Signal: The Role of Image Backgrounds in Object
Recognition, arXiv:2006.09994.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, final

from visattn.data.image_data import ImageData
from visattn.data.layout import PICTURE_SUFFIXES, Item, known_split, raise_problems
from visattn.data.masks import MaskValues
from visattn.data.public.recognition import IMAGENET9_TEST, Publication

_PAGE = "https://github.com/MadryLab/backgrounds_challenge"
PUBLICATION = Publication(
    "ImageNet-9",
    f"{_PAGE} (the test sets under Releases, the training sets linked in its README)",
)
TRAINING = Publication("the training set of ImageNet-9 (train_folder)", f"{_PAGE}#training-data")

CLASSES = (
    "dog",
    "bird",
    "wheeled vehicle",
    "reptile",
    "carnivore",
    "insect",
    "musical instrument",
    "primate",
    "fish",
)

VARIANTS = (
    "original",
    "mixed_same",
    "mixed_rand",
    "mixed_next",
    "only_fg",
    "only_bg_b",
    "only_bg_t",
    "no_fg",
)
"""The test sets: the same foregrounds on backgrounds of the same, a random and the next class,
foregrounds alone, backgrounds alone (the object's box black, or filled with background), and
pictures without the object's pixels."""

_WITH_FOREGROUND = frozenset(("original", "mixed_same", "mixed_rand", "mixed_next", "only_fg"))
_IMAGE_ID = re.compile(r"n\d{8}_\d+")
_BINARY = MaskValues(threshold=0)


def imagenet9_items(folder: Path, *, masks: Path | None = None) -> tuple[Item, ...]:
    """The pictures in a folder with one folder a class, ``00_dog`` to ``08_fish``.

    A picture that is put together is called after its foreground first and its background after
    that, such as ``fg_n02085936_1_bg_n01440764_2.JPEG``; any other is its own foreground. Sorted by
    class and foreground, so that variants with the same foregrounds have them in the same order.

    Args:
        folder: Such as ``bg_challenge/mixed_rand/val``.
        masks: ``bg_challenge/fg_mask/val``, if the foreground is in the pictures.

    Returns:
        Items with ``foreground`` in the metadata, by which variants are paired.

    Raises:
        FileNotFoundError: A class folder is missing.
        ValueError: A class folder holds no picture, or two of one foreground.
    """
    names = [f"{label:02}_{name}" for label, name in enumerate(CLASSES)]
    PUBLICATION.require(folder, *names)
    items: list[Item] = []
    problems: list[str] = []
    for label, name in enumerate(names):
        paths = [p for p in (folder / name).iterdir() if p.suffix.lower() in PICTURE_SUFFIXES]
        if not paths:
            problems.append(f"{folder / name}: no pictures in this class folder")
        by_foreground = sorted((_foreground(path.stem), path) for path in paths)
        for (foreground, path), (following, other) in pairwise(by_foreground):
            if foreground == following:
                problems.append(
                    f"{other}: shows the foreground {foreground}, as {path.name} does; variants "
                    "are paired by it, so each class folder has one picture of a foreground"
                )
        for foreground, path in by_foreground:
            mask = masks / name / f"{foreground}.npy" if masks is not None else None
            items.append(
                Item(
                    path=path,
                    mask_path=mask if mask is not None and mask.is_file() else None,
                    label=label,
                    class_name=CLASSES[label],
                    metadata={"foreground": foreground},
                )
            )
    raise_problems(problems, where=str(folder))
    return tuple(items)


def published_variants(root: Path) -> dict[str, tuple[Item, ...]]:
    """The pictures of each of the `VARIANTS` of the test set that are there, without masks.

    Args:
        root: The folder that holds ``bg_challenge``; none are found in any other.
    """
    folders = {name: root / IMAGENET9_TEST / name / "val" for name in VARIANTS}
    return {name: imagenet9_items(path) for name, path in folders.items() if path.is_dir()}


@final
class ImageNet9Data(ImageData):
    """ImageNet-9: nine coarse classes, and eight test sets with other backgrounds.

    The test gives the accuracy on each variant and the BG-gap, mixed-same minus mixed-rand. Masks
    exist for the test pictures that show their foreground, none for training.

    Args:
        root: The folder that holds ``bg_challenge`` (the release) and, to train, ``train_folder``.
        train_folder: Folder of ``train/CLASS`` and ``val/CLASS``: the unpacked training data, such
            as ``in9l``, ``original`` or ``mixed_rand``. Testing needs none.
        variants: The test sets, of `VARIANTS`; left out, all that are there.
        size: Side of the square pictures, in pixels.
        cache: Whether to keep decoded pictures of training and validation in memory, five bytes a
            pixel.
        options: Those of `visattn.data.image_data.ImageData`.

    Raises:
        FileNotFoundError: The data set is not in ``root``, or a variant is missing.
        ValueError: An option out of its range, or an unknown variant.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        train_folder: str = "in9l",
        variants: list[str] | None = None,
        size: int = 224,
        cache: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(size=size, cache=cache, mask_values=_BINARY, **options)
        self.root, self.train_folder = Path(root), train_folder
        self.locate()
        self.variants = _variants(self.root / IMAGENET9_TEST, variants)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The nine classes."""
        return CLASSES

    @property
    def splits(self) -> tuple[str, ...]:
        """``train`` and ``val``, and ``test_VARIANT`` for each variant."""
        return ("train", "val", *(f"test_{name}" for name in self.variants))

    def locate(self) -> Path:
        """The folder that holds ``bg_challenge``."""
        PUBLICATION.require(self.root, IMAGENET9_TEST)
        return self.root

    def items(self, split: str) -> tuple[Item, ...]:
        """The pictures of a split."""
        known_split(split, splits=self.splits, root=self.root)
        if split in ("train", "val"):
            TRAINING.require(self.root, f"{self.train_folder}/{split}")
            return imagenet9_items(self.root / self.train_folder / split)
        name, test = split.removeprefix("test_"), self.root / IMAGENET9_TEST
        masks = test / "fg_mask" / "val" if name in _WITH_FOREGROUND else None
        return imagenet9_items(test / name / "val", masks=masks)


def _foreground(stem: str) -> str:
    found = _IMAGE_ID.search(stem)
    return found[0] if found else stem.removeprefix("fg_").split("_bg_")[0]


def _variants(test: Path, wanted: Sequence[str] | None) -> tuple[str, ...]:
    for name in wanted or ():
        known_split(name, splits=VARIANTS, root=test)
    if wanted is not None:
        PUBLICATION.require(test, *(f"{name}/val" for name in wanted))
        return tuple(wanted)
    found = tuple(name for name in VARIANTS if (test / name / "val").is_dir())
    if not found:
        PUBLICATION.require(test, "original/val")
    return found
