"""Waterbirds: birds of CUB pasted onto land and water, with CUB's segmentations as masks.

Sagawa, Koh, Hashimoto and Liang, Distributionally Robust Neural Networks, arXiv:1911.08731.
"""

import csv
import io
from pathlib import Path
from typing import Any, final

from visattn.data.files.metadata import text_of
from visattn.data.files.names import inside
from visattn.data.image_data import ImageData
from visattn.data.layout import Item, known_split, raise_problems
from visattn.data.public.recognition import WATERBIRDS_COLUMNS, Publication

PUBLICATION = Publication("Waterbirds", "https://github.com/kohpangwei/group_DRO#waterbirds")
SEGMENTATIONS = Publication(
    "the segmentations of CUB-200-2011", "https://www.vision.caltech.edu/datasets/cub_200_2011/"
)

BIRDS = ("landbird", "waterbird")
PLACES = ("land", "water")

_SPLITS = {"train": "0", "val": "1", "test": "2"}


def waterbird_items(
    root: Path, *, split: str, segmentations: Path | None = None
) -> tuple[Item, ...]:
    """The pictures of one split, in the order of ``metadata.csv``.

    Args:
        root: The folder with ``metadata.csv`` and CUB's class folders.
        split: ``"train"``, ``"val"`` or ``"test"``.
        segmentations: CUB's folder of segmentations, ``CLASS/ID.png``; no masks without. Their
            grey values are the alpha with which the birds were pasted.

    Returns:
        Items whose label is 1 for a waterbird; the place, land or water, stands under ``style`` in
        the metadata, where metrics by background look for it.

    Raises:
        FileNotFoundError: The folder does not hold the data set.
        ValueError: ``metadata.csv`` lacks a column or has another value in it.
    """
    PUBLICATION.require(root, "metadata.csv")
    path = root / "metadata.csv"
    items, problems = [], []
    with io.StringIO(text_of(path), newline="") as file:
        reader = csv.DictReader(file)
        lacking = [name for name in WATERBIRDS_COLUMNS if name not in (reader.fieldnames or ())]
        if lacking:
            raise ValueError(
                f"{path}: expected the columns {', '.join(WATERBIRDS_COLUMNS)}, missing "
                f"{', '.join(lacking)}"
            )
        for row in reader:
            if row["y"] not in ("0", "1") or row["place"] not in ("0", "1"):
                problems.append(
                    f"{path}, line {reader.line_num}: y and place must be 0 or 1, got "
                    f"{row['y']!r} and {row['place']!r}"
                )
            elif row["split"] == _SPLITS[split]:
                name = row["img_filename"]
                picture = inside(root, name, source=path)
                mask = segmentations / Path(name).with_suffix(".png") if segmentations else None
                label, place = int(row["y"]), int(row["place"])
                items.append(
                    Item(
                        path=picture,
                        mask_path=mask if mask is not None and mask.is_file() else None,
                        label=label,
                        class_name=BIRDS[label],
                        metadata={"style": PLACES[place], "species": Path(name).parent.name},
                    )
                )
    raise_problems(problems, where=str(path))
    return tuple(items)


@final
class WaterbirdsData(ImageData):
    """Waterbirds: landbird or waterbird, where the place gives the answer in 95 % of the training.

    The test gives the accuracy of each (bird, place) group, and of the worst. Validation and test
    have as many birds of a kind on land as on water; training has not, so published averages are
    weighted by training groups and differ from the plain accuracy.

    Args:
        root: The unpacked ``waterbird_complete95_forest2water2`` (or another such set).
        segmentations: CUB's ``segmentations`` folder; left out, the folder of that name in
            ``root`` or beside it, if there is one.
        size: Side of the square pictures, in pixels.
        cache: Whether to keep decoded pictures of training and validation in memory, five bytes a
            pixel.
        options: Those of `visattn.data.image_data.ImageData`.

    Raises:
        FileNotFoundError: The data set is not in ``root``, or the segmentations not where said.
        ValueError: An option out of its range.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        segmentations: str | Path | None = None,
        size: int = 224,
        cache: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(size=size, cache=cache, **options)
        self.root = Path(root)
        self.locate()
        self.segmentations = _segmentations(self.root, segmentations)

    @property
    def class_names(self) -> tuple[str, ...]:
        """``landbird`` and ``waterbird``."""
        return BIRDS

    @property
    def splits(self) -> tuple[str, ...]:
        """``train``, ``val`` and ``test``."""
        return tuple(_SPLITS)

    def locate(self) -> Path:
        """The folder with ``metadata.csv``."""
        PUBLICATION.require(self.root, "metadata.csv")
        return self.root

    def items(self, split: str) -> tuple[Item, ...]:
        """The pictures of a split."""
        known_split(split, splits=self.splits, root=self.root)
        return waterbird_items(self.root, split=split, segmentations=self.segmentations)


def _segmentations(root: Path, given: str | Path | None) -> Path | None:
    if given is not None:
        folder = Path(given)
        if not any(path.is_dir() for path in folder.glob("*")):
            SEGMENTATIONS.require(folder, "001.Black_footed_Albatross")
        return folder
    for folder in (root / "segmentations", root.resolve().parent / "segmentations"):
        if folder.is_dir():
            return folder
    return None
