"""UECFoodPix Complete: meals of 102 foods, sushi among them, each with a mask of its foods.

Okamoto and Yanai, UEC-FoodPix Complete: A Large-Scale Food Image Segmentation Dataset, MADiMa 2021.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, final

import numpy as np

from visattn.data.layout import Item, raise_problems
from visattn.data.masks import MaskValues, read_mask_file
from visattn.data.public.held_out import HeldOutData
from visattn.data.public.recognition import Publication, find_foods

PUBLICATION = Publication("UECFoodPix Complete", "https://mm.cs.uec.ac.jp/uecfoodpix/")

FOODS = 102
"""Numbers of foods in the masks: 1 to 102; 0 is background."""


def food_items(root: Path, *, split: str, names: tuple[str, ...]) -> tuple[Item, ...]:
    """The pictures of one split, by file name; the food of the most pixels is the picture's class.

    That food is the object, the other foods of the meal count as background. Masks are opened for
    it, 10,000 of them in the whole set.

    Args:
        root: The folder with ``train`` and ``test``.
        split: ``"train"`` or ``"test"``, as they are published.
        names: Names of the foods 1 to 102.

    Returns:
        The items; a picture whose mask shows no food is left out.

    Raises:
        FileNotFoundError: The folder does not hold the data set.
        ValueError: A picture without a mask, or a mask that cannot be read.
    """
    PUBLICATION.require(root, f"{split}/img", f"{split}/mask")
    pictures = sorted((root / split / "img").glob("*.jpg"))
    masks = [root / split / "mask" / f"{path.stem}.png" for path in pictures]
    problems = [
        f"{path}: a picture without a mask; expected {mask}"
        for path, mask in zip(pictures, masks, strict=True)
        if not mask.is_file()
    ]
    if not pictures:
        problems.append(f"{root / split / 'img'}: no pictures; expected ID.jpg")
    raise_problems(problems, where=f"the split {split!r} of {root}")
    with ThreadPoolExecutor(max_workers=4) as pool:
        foods = list(pool.map(_main_food, masks))
    return tuple(
        Item(
            path=path,
            mask_path=mask,
            label=food - 1,
            class_name=names[food - 1],
            mask_values=MaskValues(foreground=(food,), channel=0),
        )
        for path, mask, food in zip(pictures, masks, foods, strict=True)
        if food
    )


def food_names(path: Path) -> tuple[str, ...]:
    """The names of the foods 1 to 102 from ``category.txt``, lines of a number and a name.

    A number that the file doesn't name is called after itself, such as ``food 102``.

    Raises:
        FileNotFoundError: There is no such file.
    """
    named: dict[int, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        number, _, name = line.strip().partition("\t" if "\t" in line else " ")
        if number.isdigit() and name.strip():
            named[int(number)] = name.strip()
    return tuple(named.get(number, f"food {number}") for number in range(1, FOODS + 1))


@final
class FoodPixData(HeldOutData):
    """UECFoodPix Complete: which of 102 foods, with the mask of that food.

    Splits: ``trainval`` (published as ``train``) and ``test``; ``train`` and ``val`` share
    ``trainval`` out. There is one background a picture, so neither a BG-gap nor groups.

    Args:
        root: The unpacked ``UECFOODPIXCOMPLETE``, or any folder under it down to the one with
            ``train`` and ``test``.
        options: ``val_share`` and those of `visattn.data.image_data.ImageData`.

    Raises:
        FileNotFoundError: The data set is not in ``root``.
        ValueError: An option out of its range.
    """

    def __init__(self, root: str | Path, **options: Any) -> None:
        super().__init__(**options)
        self.root = Path(root)
        self._names = food_names(_category_file(self.locate()))

    @property
    def class_names(self) -> tuple[str, ...]:
        """The foods, in the order of their numbers in the masks."""
        return self._names

    def locate(self) -> Path:
        """The folder with ``train`` and ``test``."""
        found = find_foods(self.root)
        if found is None:
            PUBLICATION.require(self.root, "data/UECFoodPIXCOMPLETE/train/img")
        return found or self.root

    def read(self, split: str) -> tuple[Item, ...]:
        """The pictures of ``trainval`` or ``test``."""
        published = "train" if split == "trainval" else split
        return food_items(self.locate(), split=published, names=self._names)


def _category_file(root: Path) -> Path:
    for folder in (root, root.resolve().parent):
        if (folder / "category.txt").is_file():
            return folder / "category.txt"
    PUBLICATION.require(root, "category.txt")
    return root / "category.txt"


def _main_food(path: Path) -> int:
    """The food with the most pixels in a mask, 0 where there is none."""
    labels = read_mask_file(path, channel=0).labels(frozenset(range(1, FOODS + 1)))
    pixels = np.bincount(labels.ravel().astype(np.int64), minlength=FOODS + 1)
    pixels[0] = 0
    return int(pixels[: FOODS + 1].argmax()) if pixels[: FOODS + 1].any() else 0
