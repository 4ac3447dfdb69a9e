"""Which public data set a folder holds, and whether it is whole; Lightning is not needed for that.

Each ``find_...`` gives the folder that the data set's own module takes as its root, or None.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visattn.data.files.metadata import text_of

if TYPE_CHECKING:
    from visattn.data.image_data import ImageData

WATERBIRDS_COLUMNS = ("img_filename", "y", "split", "place")
IMAGENET9_TEST = "bg_challenge"
PETS_FOLDER = "oxford-iiit-pet"
SPAWRIOUS_FOLDER = "spawrious224"
METASHIFT_GROUPS = "imageID_to_group.pkl"
_FOODS_ARCHIVE = "UECFOODPIXCOMPLETE"
_FOODS_INSIDE = ("data/UECFoodPIXCOMPLETE", "UECFoodPIXCOMPLETE", "")


@dataclass(frozen=True)
class Publication:
    """A public data set, or a part of one: its name and the page where it is published."""

    name: str
    page: str

    def require(self, root: Path, *names: str) -> None:
        """Make sure that all these files and folders are there under ``root``.

        Raises:
            FileNotFoundError: One of them is missing.
        """
        missing = [name for name in names if not (root / name).exists()]
        if not missing:
            return
        if root.is_dir():
            inside = sorted(path.name for path in root.iterdir())
            found = f"a folder with {', '.join(inside[:8])}" if inside else "an empty folder"
            found += f" and {len(inside) - 8} more" if len(inside) > 8 else ""
        else:
            found = "a file" if root.exists() else "nothing"
        raise FileNotFoundError(
            f"expected {self.name} at {root}: missing {', '.join(missing)}; found {found}. "
            f"Get it from {self.page} and unpack it as it is"
        )


def find_waterbirds(root: Path) -> Path | None:
    """Waterbirds: a ``metadata.csv`` with its columns."""
    path = root / "metadata.csv"
    if not path.is_file():
        return None
    columns = next(csv.reader(text_of(path).splitlines()), [])
    return root if set(WATERBIRDS_COLUMNS) <= set(columns) else None


def find_imagenet9(root: Path) -> Path | None:
    """ImageNet-9: the folder that holds ``bg_challenge``, found from that one, too."""
    holder = root.resolve().parent if root.resolve().name == IMAGENET9_TEST else root
    return holder if (holder / IMAGENET9_TEST).is_dir() else None


def find_pets(root: Path) -> Path | None:
    """Oxford-IIIT Pet: trimaps in the folder, or in ``oxford-iiit-pet`` in it."""
    folders = (root, root / PETS_FOLDER)
    return next((f for f in folders if (f / "annotations" / "trimaps").is_dir()), None)


def find_foods(root: Path) -> Path | None:
    """UECFoodPix Complete: the folder with ``train/img``, at ``root`` or where it is unpacked."""
    folders = (top / inside for top in (root, root / _FOODS_ARCHIVE) for inside in _FOODS_INSIDE)
    return next((folder for folder in folders if (folder / "train" / "img").is_dir()), None)


def find_spawrious(root: Path) -> Path | None:
    """Spawrious: ``spawrious224`` with its numbered folders, at ``root`` or in it."""
    folders = [root / SPAWRIOUS_FOLDER]
    folders += [root] if root.resolve().name == SPAWRIOUS_FOLDER else []
    return next((folder for folder in folders if (folder / "0").is_dir()), None)


def find_metashift(root: Path) -> Path | None:
    """MetaShift: its file of groups beside ``train``."""
    return root if (root / METASHIFT_GROUPS).is_file() and (root / "train").is_dir() else None


_FINDERS = {
    "WaterbirdsData": find_waterbirds,
    "ImageNet9Data": find_imagenet9,
    "PetData": find_pets,
    "FoodPixData": find_foods,
    "SpawriousData": find_spawrious,
    "MetaShiftData": find_metashift,
}


def published_data(root: Path, **options: Any) -> "ImageData | None":
    """The data module of the public data set that a folder holds; None for any other folder.

    Args:
        root: The folder.
        options: Those that all data modules have, see `visattn.data.image_data.ImageData`.

    Raises:
        FileNotFoundError: The data set is there, but not whole.
        ValueError: An option out of its range.
    """
    for name, find in _FINDERS.items():
        folder = find(root)
        if folder is not None:
            import visattn.data

            return getattr(visattn.data, name)(folder, **options)
    return None
