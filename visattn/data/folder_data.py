"""The data module of a folder of one's own photos, and what it shares with rendered ones."""

from abc import ABC
from pathlib import Path
from typing import Any, final

from visattn.data.image_data import ImageData
from visattn.data.layout import Item, class_folders, scan_split, split_names


class GenericLayout(ImageData, ABC):
    """Data of the generic layout: ``SPLIT/images/CLASS/ID.*``, ``SPLIT/masks/CLASS/ID.*``."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The folders that hold ``images``, sorted by name."""
        return split_names(self.locate())

    def items(self, split: str) -> tuple[Item, ...]:
        """Every picture of a split, sorted by class and file name."""
        return scan_split(self.locate(), split, class_names=self.class_names)


@final
class FolderData(GenericLayout):
    """A folder of one's own photos: ``SPLIT/images/CLASS/ID.*``, ``SPLIT/masks/CLASS/ID.*``.

    Masks may be missing, for some pictures or for all. The classes are the class folders of the
    training split, sorted by name.

    Args:
        root: The folder that holds the splits.
        train_split: What to train on.
        options: Those of `visattn.data.image_data.ImageData`.

    Raises:
        FileNotFoundError: ``root`` or another folder is missing.
        ValueError: An option out of its range.
    """

    def __init__(self, root: str | Path, *, train_split: str = "train", **options: Any) -> None:
        super().__init__(train_split=train_split, **options)
        self.root = Path(root)
        split_names(self.root)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The class folders of the training split, sorted by name."""
        return class_folders(self.root, self.train_split)

    def locate(self) -> Path:
        """The folder."""
        return self.root
