"""Data sets from folders of pictures, with masks where there are some."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from visattn.basics.squares import Fit, Interpolation
from visattn.data.checking import check_items, readable_items
from visattn.data.decoding import Bytes, Decoded, Decoder, SharedCache
from visattn.data.files.picture_paths import Pictures, folder_of, pictures_at
from visattn.data.layout import (
    Item,
    class_folders,
    raise_problems,
    scan_split,
    split_names,
)
from visattn.data.mask_share import keep_masks
from visattn.data.masks import SOFT, MaskValues, only_box

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Augment(Protocol):
    """Changes a decoded picture and its mask alike, the same way for the same seed."""

    def __call__(self, decoded: Decoded, *, seed: Sequence[int]) -> Decoded:
        """The changed picture; ``decoded`` itself is left as it is."""
        ...


@final
class FolderDataset(Dataset[dict[str, Tensor | int]]):
    """Pictures in ``SPLIT/images/CLASS/ID.*``, masks in ``SPLIT/masks/CLASS/ID.*`` where given.

    An item of the data set is a dictionary: ``image`` float32 (3, H, W), normalised; ``label`` int;
    ``mask`` float32 (1, H, W) in [0, 1], NaN everywhere for a picture without a mask and NaN on
    single pixels that nothing is known about; ``background`` int, which of `background_names` the
    picture shows, -1 where that is unknown; ``index`` int, the row: ``dataset.items[index]`` has
    the path and the metadata. ``dataset[index, epoch]`` draws another augmentation each epoch, and
    the same one for the same seed, index and epoch, on any number of workers.

    Args:
        root: The folder that holds the splits.
        split: Which split.
        size: Side of the square pictures, in pixels.
        fit: ``"crop"`` scales the short side to ``size`` and cuts out the centre; ``"stretch"``
            scales both sides.
        interpolation: ``"bilinear"`` or ``"bicubic"``, see `visattn.data.decoding.Decoder`.
        class_names: The classes in the order of their labels. Left out, those of the split
            ``train`` where there is one, else the split's own.
        items: The split's pictures, where they stand in another layout than this one; then
            ``root`` and ``split`` are for messages only, and ``class_names`` must be given.
        mask_values: What the values of the mask files mean; soft by default, alpha = value / 255.
        mask_share: The share of this split's masks that may be used; the others are dropped
            here, before anything reads them. Drawn per class, at least one of each class that has
            any; a smaller share's masks are among those of a larger one.
        mask_seed: Which masks the draw keeps.
        mask_form: ``"box"`` keeps of each mask only the box around it, see
            `visattn.data.masks.only_box`: background outside, unknown inside.
        masked: Multiply each normalised picture by its mask, so that the mean colour stands around
            the object: what a perfect mask would show. Each picture must have a mask.
        background_column: Column of ``metadata.csv`` that says which background a picture shows.
        augment: Changes picture and mask; see `visattn.data.Augmenter`.
        seed: Seed of the augmentation.
        mean: Per channel, taken off the picture in [0, 1].
        std: Per channel, divided by after that.
        cache: Whether to keep the decoded pictures in memory (5 bytes a pixel), shared by forked
            workers.
        skip_broken: Whether to read all files at once here, and to go on without pictures of which
            a file is broken; how many is logged, and is ``skipped``.

    Raises:
        FileNotFoundError: There is no such folder, or no split in it.
        ValueError: An option out of its range; an unknown split; an empty class folder; a class
            that training does not have; a mask without a picture; a picture without a mask where
            ``masked`` needs one.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as root:
        ...     folder = Path(root) / "train" / "images" / "buri"
        ...     folder.mkdir(parents=True)
        ...     Image.new("RGB", (40, 30)).save(folder / "1.png")
        ...     item = FolderDataset(root, split="train", size=16)[0]
        >>> item["image"].shape, item["label"], bool(item["mask"].isnan().all())
        (torch.Size([3, 16, 16]), 0, True)
    """

    def __init__(
        self,
        root: str | Path,
        *,
        split: str,
        size: int,
        fit: Fit = "crop",
        interpolation: Interpolation = "bilinear",
        class_names: Sequence[str] | None = None,
        items: Sequence[Item] | None = None,
        mask_values: MaskValues = SOFT,
        mask_share: float = 1.0,
        mask_seed: int = 0,
        mask_form: Literal["mask", "box"] = "mask",
        masked: bool = False,
        background_column: str = "style",
        augment: Augment | None = None,
        seed: int = 0,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        cache: bool = False,
        skip_broken: bool = False,
    ) -> None:
        self.root, self.split = Path(root), split
        self.decoder = Decoder(
            size, fit=fit, interpolation=interpolation, mask_values=MaskValues.of(mask_values)
        )
        if class_names is None:
            if items is not None:
                raise ValueError("items came without class_names, the classes by label")
            source = "train" if "train" in split_names(self.root) else split
            class_names = class_folders(self.root, source)
        self.class_names = tuple(class_names)
        found = (
            scan_split(self.root, split, class_names=self.class_names)
            if items is None
            else tuple(items)
        )
        self.items = keep_masks(found, share=mask_share, seed=mask_seed)
        if skip_broken:
            self.items = readable_items(
                self.items, mask_values=self.decoder.mask_values, where=self.where
            )
        self.skipped = len(found) - len(self.items)
        self.masks_found = sum(item.mask_path is not None for item in found)
        if mask_form not in ("mask", "box"):
            raise ValueError(f"mask_form must be 'mask' or 'box', got {mask_form!r}")
        self.mask_form, self.masked = mask_form, masked
        if masked:
            _check_all_masked(self.items, split=split)
        self.background_column = background_column
        shown = [item.metadata.get(background_column, "") for item in self.items]
        self.background_names = tuple(sorted({name for name in shown if name}))
        numbers = {name: number for number, name in enumerate(self.background_names)}
        self._backgrounds = [numbers.get(name, -1) for name in shown]
        self.augment, self.seed = augment, seed
        self.mean, self.std = tuple(mean), tuple(std)
        self._lookup = _normalisation(mean, std)
        self._cache = SharedCache(len(self.items), size=size) if cache else None

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int | tuple[int, int]) -> dict[str, Tensor | int]:
        index, epoch = index if isinstance(index, tuple) else (index, 0)
        decoded = self.decoded(index)
        if self.augment is not None:
            decoded = self.augment(decoded, seed=(self.seed, epoch, index))
        image, mask = _normalised(decoded.image, self._lookup), _mask_tensor(decoded)
        if self.mask_form == "box":
            mask = mask * 0  # all that is known is background; resampling softened the box's edge
        return {
            "image": image * mask.nan_to_num(0) if self.masked else image,
            "label": self.items[index].label,
            "mask": mask,
            "background": self._backgrounds[index],
            "index": index,
        }

    @property
    def masks_kept(self) -> int:
        """How many pictures have a mask that may be used; ``masks_found`` is how many there are."""
        return sum(item.mask_path is not None for item in self.items)

    def groups(self) -> list[tuple[int, int]]:
        """The group (label, background) of each picture; -1 for an unknown background.

        Raises:
            ValueError: No background is known.
        """
        if not self.background_names:
            raise ValueError(
                f"groups of class and background need the pictures' backgrounds, and none of the "
                f"split {self.split!r} of {self.root} is known: give them in the column "
                f"{self.background_column!r} of metadata.csv (columns split, class, id, "
                f"{self.background_column})"
            )
        labels = [item.label for item in self.items]
        return list(zip(labels, self._backgrounds, strict=True))

    def decoded(self, index: int) -> Decoded:
        """The picture and mask at a row as uint8 arrays, neither augmented nor normalised.

        Raises:
            IndexError: There is no such row.
            ValueError: A file cannot be read, or the mask has another size; it names the file.
        """
        if not 0 <= index < len(self.items):
            raise IndexError(f"no row {index} in a data set of {len(self.items)} pictures")
        cached = self._cache.get(index) if self._cache is not None else None
        if cached is None:
            cached = self.decoder(self.items[index])
            if self.mask_form == "box" and cached.alpha is not None:
                cached = Decoded(cached.image, *only_box(cached.alpha))
            if self._cache is not None:
                self._cache.put(index, cached)
        return cached

    def with_augment(self, augment: Augment | None, *, seed: int = 0) -> "FolderDataset":
        """The same data set, cache and all, with another augmentation."""
        other = copy.copy(self)
        other.augment, other.seed = augment, seed
        return other

    def check(self, rows: Sequence[int] | None = None) -> None:
        """Read every file, so that a fault is found before training begins.

        Masks that cover nothing or everything of their picture are counted and logged.

        Args:
            rows: Look at these pictures alone.

        Raises:
            ValueError: Pictures or masks that cannot be read, masks of another size than their
                picture; up to ten are listed with their path.
        """
        check_data_sets([self], rows=rows)

    @property
    def where(self) -> str:
        """The split and its folder, for messages."""
        return f"the split {self.split!r} of {self.root}" if self.split else str(self.root)


def check_data_sets(
    data_sets: Sequence[FolderDataset], *, rows: Sequence[int] | None = None
) -> None:
    """Read the files of several splits, so that all that are broken are told at once.

    Args:
        data_sets: The splits.
        rows: Look at these pictures of each alone.

    Raises:
        ValueError: As of `FolderDataset.check`.
    """
    problems: dict[str, list[str]] = {}
    for data in data_sets:
        items = data.items if rows is None else [data.items[row] for row in rows]
        found = check_items(items, mask_values=data.decoder.mask_values)
        if found:
            problems[data.where] = found
    raise_problems(
        [line for found in problems.values() for line in found], where=" and ".join(problems)
    )


@final
class PictureDataset(Dataset[dict[str, Tensor | int]]):
    """All pictures under a folder, or named, without classes and masks, to predict on.

    An item is the dictionary of `FolderDataset` with label and background -1, a mask of NaN.

    Args:
        folder: The folder (sub-folders count), a picture, a glob, or several of these.
        size: Side of the square pictures, in pixels.
        fit: ``"crop"`` or ``"stretch"``, as in `FolderDataset`.
        interpolation: ``"bilinear"`` or ``"bicubic"``, as in `FolderDataset`.
        mean: Per channel, taken off the picture in [0, 1].
        std: Per channel, divided by after that.
        skip_broken: As in `FolderDataset`.

    Raises:
        FileNotFoundError: The folder is missing or holds no picture.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as root:
        ...     Image.new("RGB", (40, 30)).save(Path(root) / "1.png")
        ...     PictureDataset(root, size=16)[0]["image"].shape
        torch.Size([3, 16, 16])
    """

    def __init__(
        self,
        folder: Pictures,
        *,
        size: int,
        fit: Fit = "crop",
        interpolation: Interpolation = "bilinear",
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        skip_broken: bool = False,
    ) -> None:
        items = pictures_at(folder)
        self.folder = folder_of(folder, items)
        self._rows = FolderDataset(
            self.folder,
            split="",
            size=size,
            fit=fit,
            interpolation=interpolation,
            class_names=(),
            items=items,
            mean=mean,
            std=std,
            skip_broken=skip_broken,
        )
        self.items, self.decoder = self._rows.items, self._rows.decoder

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, Tensor | int]:
        return self._rows[index]

    def check(self, rows: Sequence[int] | None = None) -> None:
        """Read every file, as `FolderDataset.check` does."""
        self._rows.check(rows)


def _check_all_masked(items: Sequence[Item], *, split: str) -> None:
    without = [item.path for item in items if item.mask_path is None]
    if without:
        raise ValueError(
            f"masked=True shows each picture through its mask, but {len(without)} of {len(items)} "
            f"pictures of the split {split!r} have none, such as {without[0]}; give every picture "
            "one, and use them all (mask_share=1)"
        )


def _normalisation(mean: Sequence[float], std: Sequence[float]) -> npt.NDArray[np.float32]:
    """The normalised value of each channel's 256 values, (3, 256)."""
    if len(mean) != 3 or len(std) != 3:
        raise ValueError(f"expected 3 values each, one a channel, got mean={mean}, std={std}")
    if min(std) <= 0:
        raise ValueError(f"std must be above 0, got {tuple(std)}")
    levels = np.arange(256, dtype=np.float64) / 255.0
    offsets, scales = np.asarray(mean)[:, None], np.asarray(std)[:, None]
    return ((levels - offsets) / scales).astype(np.float32)


def _normalised(image: Bytes, lookup: npt.NDArray[np.float32]) -> Tensor:
    planes = np.empty((3, *image.shape[:2]), dtype=np.float32)
    for channel in range(3):
        np.take(lookup[channel], image[..., channel], out=planes[channel], mode="clip")
    return torch.from_numpy(planes)


def _mask_tensor(decoded: Decoded) -> Tensor:
    if decoded.alpha is None:
        return torch.full((1, *decoded.image.shape[:2]), torch.nan)
    mask = decoded.alpha.astype(np.float32)
    mask /= 255.0
    if decoded.unknown is not None:
        mask[decoded.unknown >= 128] = np.nan
    return torch.from_numpy(mask)[None]
