"""The data module of a folder of one's own photos, and what it shares with rendered ones."""

import logging
from abc import ABC
from pathlib import Path
from typing import Any, final

from visattn.data.files.splits import ensure_splits
from visattn.data.image_data import ImageData
from visattn.data.layout import Item, class_folders, scan_split, split_names

_log = logging.getLogger(__name__)


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

    ``SPLIT/CLASS/ID.*`` is read too, with masks in ``masks/SPLIT/CLASS/ID.*``; and masks beside the
    pictures as ``ID_mask.*``. A folder of classes without splits, ``CLASS/ID.*``, is split once,
    seven pictures in ten for training; the splits are written to ``splits.csv`` there, and told.

    Args:
        root: The folder that holds the splits, or the classes.
        train_split: What to train on.
        split_seed: Of the splits of a folder without any.
        split_group: What keeps pictures of one group in one split there: a column of
            ``metadata.csv``, or a regular expression whose match in the name names the group, such
            as ``"^[^_]+"``.
        options: Those of `visattn.data.image_data.ImageData`.

    Raises:
        FileNotFoundError: ``root`` or another folder is missing.
        ValueError: An option out of its range.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        train_split: str = "train",
        split_seed: int = 0,
        split_group: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(train_split=train_split, **options)
        self.root = Path(root)
        told = ensure_splits(self.root, seed=split_seed, group=split_group)
        if told is not None:
            _log.warning(told)
        split_names(self.root)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The class folders of the training split, sorted by name."""
        return class_folders(self.root, self.train_split)

    def locate(self) -> Path:
        """The folder."""
        return self.root
