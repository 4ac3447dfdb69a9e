"""Oxford-IIIT Pet: 37 breeds of cats and dogs, each picture with a trimap.

Parkhi, Vedaldi, Zisserman and Jawahar, Cats and Dogs, CVPR 2012.
"""

from pathlib import Path
from typing import Any, final

from visattn.data.files.names import inside
from visattn.data.layout import Item
from visattn.data.masks import MaskValues
from visattn.data.public.held_out import HeldOutData
from visattn.data.public.recognition import PETS_FOLDER, Publication

PUBLICATION = Publication(
    "Oxford-IIIT Pet", "https://www.robots.ox.ac.uk/~vgg/data/pets/ (or set download to true)"
)
_FILES = ("images", "annotations/trainval.txt", "annotations/test.txt", "annotations/trimaps")

TRIMAP = MaskValues(foreground=(1,), background=(2,), ignore=(3,))
"""What the values of a trimap mean: the animal, the background, and the border between them."""

_SPECIES = ("cat", "dog")


def pet_items(root: Path, *, split: str) -> tuple[Item, ...]:
    """The pictures of one list of the annotations, in its order.

    Args:
        root: The folder with ``images`` and ``annotations``.
        split: ``"trainval"`` or ``"test"``, as they are published.

    Returns:
        Items whose label is the breed, with ``species`` (cat or dog) in the metadata.

    Raises:
        FileNotFoundError: The folder does not hold the data set.
        ValueError: The list has a line of another form.
    """
    PUBLICATION.require(root, *_FILES)
    listed = root / "annotations" / f"{split}.txt"
    items = []
    for number, line in enumerate(listed.read_text(encoding="utf-8").splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 4 or not all(word.isdigit() for word in words[1:]):
            raise ValueError(
                f"{listed}, line {number}: expected NAME CLASS SPECIES BREED, such as "
                f"Abyssinian_1 1 1 1, found {line!r}"
            )
        trimap = inside(root / "annotations" / "trimaps", f"{words[0]}.png", source=listed)
        items.append(
            Item(
                path=inside(root / "images", f"{words[0]}.jpg", source=listed),
                mask_path=trimap if trimap.is_file() else None,
                label=int(words[1]) - 1,
                class_name=words[0].rpartition("_")[0].replace("_", " ").title(),
                metadata={"species": _SPECIES[int(words[2]) - 1]},
            )
        )
    return tuple(items)


@final
class PetData(HeldOutData):
    """Oxford-IIIT Pet: which of 37 breeds, with masks of the animal whose border is unknown.

    The layout is that of torchvision's ``OxfordIIITPet``. Splits: ``trainval`` and ``test`` as
    published; ``train`` and ``val`` share ``trainval`` out. There is one background a picture,
    so neither a BG-gap nor groups.

    Args:
        root: The folder that holds ``oxford-iiit-pet``, or that folder itself.
        download: Let torchvision download it (800 MB) where it is missing.
        options: ``val_share`` and those of `visattn.data.image_data.ImageData`.

    Raises:
        FileNotFoundError: The data set is not in ``root``.
        ValueError: An option out of its range.
    """

    def __init__(self, root: str | Path, *, download: bool = False, **options: Any) -> None:
        super().__init__(mask_values=TRIMAP, **options)
        self.root, self.download = Path(root), download
        self.locate()

    @property
    def class_names(self) -> tuple[str, ...]:
        """The breeds, in the order of the data set's own numbers."""
        names = {item.label: item.class_name for item in self.published("trainval")}
        return tuple(names[label] for label in sorted(names))

    def locate(self) -> Path:
        """The folder with ``images`` and ``annotations``, downloaded if it may be."""
        if (self.root / "annotations").is_dir():
            return self.root
        folder = self.root / PETS_FOLDER
        if self.download and not folder.is_dir():
            from torchvision.datasets import OxfordIIITPet

            OxfordIIITPet(self.root, download=True)
        PUBLICATION.require(folder, *_FILES)
        return folder

    def read(self, split: str) -> tuple[Item, ...]:
        """The pictures of ``trainval`` or ``test``."""
        return pet_items(self.locate(), split=split)
