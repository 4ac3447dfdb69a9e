"""The base of all data modules of images: from the pictures of each split to loaders."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from torch.utils.data import DataLoader

from visattn.basics.squares import Fit, Interpolation
from visattn.data.augmentation import DEFAULT_AUGMENTATION, ONLY_SWAP, Augmentation, Augmenter
from visattn.data.files.picture_paths import several
from visattn.data.folders import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    FolderDataset,
    PictureDataset,
    check_data_sets,
)
from visattn.data.layout import Item
from visattn.data.loading.loaders import evaluation_loader, share_of, training_loader
from visattn.data.mask_share import keep_masks
from visattn.data.masks import SOFT, MaskValues
from visattn.data.optional import lightning as L
from visattn.data.swap_transform import PictureBackgrounds, RemovedForegrounds


class ImageData(L.LightningDataModule, ABC):
    """What the data modules share: from the pictures of each split to loaders.

    Batches are dictionaries of ``image``, ``label``, ``mask`` and ``index``, see `FolderDataset`.
    A final class says where the pictures are and which classes there are; its ``options`` are the
    arguments here.

    Args:
        size: Side of the square pictures, in pixels.
        fit: ``"crop"`` scales the short side to ``size`` and cuts out the centre; ``"stretch"``
            scales both sides.
        interpolation: The filter that pictures and masks are scaled with, see
            `visattn.data.decoding.Decoder`; a training from weights takes theirs.
        batch_size: Pictures a batch, of each process where several train together.
        workers: Processes that load, at most one a core; 0 loads in the main process.
        train_split: What to train on.
        val_split: What to validate on; None for nothing.
        val_swaps: Validate each picture that has a mask on so many backgrounds of training pictures
            in place of its own, always the same ones: what is chosen by it was not chosen for
            reading the background. 0 shows the pictures as they are.
        test_splits: What to test on, a loader each; left out, all splits whose name begins with
            ``test``.
        predict_folder: A folder of pictures, a picture, a glob, or several of these, to predict on.
        mask_values: What the values of the mask files mean; soft by default, alpha = value / 255.
        mask_share: The share of the training masks that may be used; the others are never read.
            Masks of validation and test are all there, to measure with.
        mask_seed: Which masks are kept.
        mask_form: ``"box"`` gives training only the box around each mask, see
            `visattn.data.masks.only_box`.
        masked: Show each picture, in training and testing, through its true mask: an upper bound.
        augmentation: What changes during training; None for nothing.
        mean: Per channel, taken off the picture in [0, 1].
        std: Per channel, divided by after that.
        cache: Whether to keep decoded pictures of training and validation in memory, five bytes a
            pixel.
        check: Whether to read all files before training begins.
        skip_broken: Whether to go on without pictures of which a file is broken; how many is
            logged.
        group_balanced: Draw training pictures evenly over the groups (class, background) in place
            of evenly over the pictures; those of small groups come several times an epoch.
        seed: Seed of the order and the augmentation.

    Raises:
        FileNotFoundError: ``predict_folder`` is missing.
        ValueError: An option out of its range.
    """

    def __init__(
        self,
        *,
        size: int = 96,
        fit: Fit = "crop",
        interpolation: Interpolation = "bilinear",
        batch_size: int = 64,
        workers: int = 2,
        train_split: str = "train",
        val_split: str | None = "val",
        val_swaps: int = 0,
        test_splits: Sequence[str] | None = None,
        predict_folder: str | Path | Sequence[str | Path] | None = None,
        mask_values: MaskValues = SOFT,
        mask_share: float = 1.0,
        mask_seed: int = 0,
        mask_form: Literal["mask", "box"] = "mask",
        masked: bool = False,
        augmentation: Augmentation | None = DEFAULT_AUGMENTATION,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
        cache: bool = True,
        check: bool = True,
        skip_broken: bool = False,
        group_balanced: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("size", size, 1),
            ("batch_size", batch_size, 1),
            ("workers", workers, 0),
            ("val_swaps", val_swaps, 0),
            ("seed", seed, 0),
            ("mask_seed", mask_seed, 0),
        ):
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        keep_masks((), share=mask_share)  # an error now, not after rendering
        if augmentation is not None and augmentation.swap and mask_share == 0:
            raise ValueError(
                f"augmentation.swap={augmentation.swap} needs masks, but mask_share=0 keeps none"
            )
        if augmentation is not None and augmentation.swap_from is not None:
            PictureBackgrounds(augmentation.swap_from)  # the same
        if masked and mask_share < 1:
            raise ValueError(
                "masked=true shows each picture through its mask, so it needs all masks: "
                f"mask_share must be 1, got {mask_share}"
            )
        alone = predict_folder is not None and not several(predict_folder)
        if alone and not Path(str(predict_folder)).exists():
            raise FileNotFoundError(
                f"expected pictures to predict on at {predict_folder} (predict_folder), found "
                "nothing"
            )
        self.batch_size, self.workers, self.seed = batch_size, workers, seed
        self.train_split, self.val_split, self.val_swaps = train_split, val_split, val_swaps
        self.test_splits = None if test_splits is None else tuple(test_splits)
        self.predict_folder = predict_folder
        self.mask_share, self.mask_seed = mask_share, mask_seed
        self.mask_form, self.masked = mask_form, masked
        self.augmentation, self.cache, self.check = augmentation, cache, check
        self.group_balanced = group_balanced
        self.skip_broken = skip_broken
        self.reading: dict[str, Any] = {
            "size": size,
            "fit": fit,
            "interpolation": interpolation,
            "mean": mean,
            "std": std,
        }
        self.mask_values = MaskValues.of(mask_values)
        self._sets: dict[str, FolderDataset] = {}
        self._predict_set: PictureDataset | None = None

    @abstractmethod
    def locate(self) -> Path:
        """The folder of the data set; made first where it can be. Cheap when it is there."""

    @property
    @abstractmethod
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of their labels, known before anything is read."""

    @property
    @abstractmethod
    def splits(self) -> tuple[str, ...]:
        """The names of all splits, in the order in which their results are to be shown."""

    @abstractmethod
    def items(self, split: str) -> tuple[Item, ...]:
        """Every picture of one of the ``splits``, with its mask where there is one."""

    def shards(self, items: Sequence[Item]) -> list[int] | None:
        """The shard of each picture, so that an epoch reads near ones together; None for none."""
        return None

    @property
    def num_classes(self) -> int:
        """How many classes there are.

        Raises:
            ValueError: Fewer than two: there is nothing to tell apart.
        """
        names = self.class_names
        if len(names) < 2:
            raise ValueError(
                f"expected at least two classes to tell apart in {self.locate()}, found "
                f"{', '.join(map(repr, names)) or 'none'}; give each a folder, "
                f"{self.train_split}/images/CLASS"
            )
        return len(names)

    @property
    def test_names(self) -> tuple[str, ...]:
        """The test splits in the order of the test loaders."""
        if self.test_splits is not None:
            return self.test_splits
        names = tuple(name for name in self.splits if name.startswith("test"))
        if not names:
            raise ValueError(
                f"no split in {self.locate()} begins with 'test' (there are "
                f"{', '.join(self.splits)}); name those to test on in test_splits"
            )
        return names

    @property
    def steps(self) -> int:
        """Batches of an epoch of training, on one device."""
        return max(1, len(self.dataset(self.train_split)) // self.batch_size)

    def dataset(self, split: str) -> FolderDataset:
        """The data set of a split: no augmentation; for training, only the masks it may use.

        Raises:
            ValueError: There is no such split, or a fault in it, see `FolderDataset`.
        """
        if split not in self._sets:
            training = split == self.train_split
            self._sets[split] = FolderDataset(
                self.locate(),
                split=split,
                class_names=self.class_names,
                items=self.items(split),
                mask_values=self.mask_values,
                mask_share=self.mask_share if training else 1.0,
                mask_seed=self.mask_seed,
                mask_form=self.mask_form if training else "mask",
                masked=self.masked,
                cache=self.cache and split in (self.train_split, self.val_split),
                skip_broken=self.skip_broken,
                **self.reading,
            )
        return self._sets[split]

    def prepare_data(self) -> None:
        """Make the folder where it can be made; called once, on one process."""
        self.locate()

    def setup(self, stage: str) -> None:
        """Find the pictures that a stage needs, and check their files.

        Args:
            stage: ``"fit"``, ``"validate"``, ``"test"`` or ``"predict"``.

        Raises:
            ValueError: Splits, classes, pictures or masks that are wrong; with their paths.
        """
        if stage == "predict":
            self._prediction_set()
            return
        validation = () if self.val_split is None else (self.val_split,)
        wanted = {
            "fit": (self.train_split, *validation),
            "validate": validation,
            "test": () if stage != "test" else self.test_names,
        }
        fresh = [split for split in wanted[stage] if split not in self._sets]
        found = [self.dataset(split) for split in wanted[stage]]
        if self.check and not self.skip_broken:
            check_data_sets([data for data in found if data.split in fresh])
        if stage == "fit":
            train = self.dataset(self.train_split)
            L.pytorch.utilities.rank_zero_info(
                f"training: {len(train)} pictures of {self.num_classes} classes, "
                f"{train.masks_kept} of {train.masks_found} masks used"
            )

    def train_dataloader(self) -> DataLoader[Any]:
        """The training split, shuffled and augmented anew each epoch."""
        train = self.dataset(self.train_split)
        return training_loader(
            train.with_augment(self._augmenter(train), seed=self.seed),
            count=len(train),
            batch_size=self.batch_size,
            workers=self.workers,
            seed=self.seed,
            groups=train.groups() if self.group_balanced else None,
            shards=self.shards(train.items),
            share=share_of(self.trainer),
            epochs=None if self.trainer is None else self.trainer.max_epochs,
        )

    def val_dataloader(self) -> DataLoader[Any] | list[DataLoader[Any]]:
        """The validation split; no loader where ``val_split`` is None."""
        if self.val_split is None:
            return []
        dataset = self.dataset(self.val_split)
        return self._swapped(dataset) if self.val_swaps else self._testing(dataset)

    def test_dataloader(self) -> list[DataLoader[Any]]:
        """A loader for each of `test_names`."""
        return [self._testing(self.dataset(split)) for split in self.test_names]

    def predict_dataloader(self) -> DataLoader[Any]:
        """The pictures in ``predict_folder``."""
        return self._testing(self._prediction_set())

    def _prediction_set(self) -> PictureDataset:
        if self.predict_folder is None:
            raise ValueError(
                "nothing to predict on: set predict_folder to a folder of pictures (no classes "
                "needed)"
            )
        if self._predict_set is None:
            self._predict_set = PictureDataset(
                self.predict_folder, **self.reading, skip_broken=self.skip_broken
            )
            if self.check and not self.skip_broken:
                self._predict_set.check()
        return self._predict_set

    def _swapped(self, dataset: FolderDataset) -> DataLoader[Any]:
        """Each picture with a mask on ``val_swaps`` backgrounds of training pictures."""
        rows = [row for row, item in enumerate(dataset.items) if item.mask_path is not None]
        if not rows:
            raise ValueError(
                f"val_swaps={self.val_swaps} puts objects on other backgrounds by their masks, and"
                f" no picture of the split {self.val_split!r} has one: give masks, or val_swaps: 0"
            )
        swap = Augmenter(
            ONLY_SWAP.transforms(backgrounds=self._backgrounds(rim=ONLY_SWAP.swap_rim))
        )
        return evaluation_loader(
            dataset.with_augment(swap, seed=self.seed),
            batch_size=self.batch_size,
            workers=self.workers,
            share=share_of(self.trainer),
            rows=[(row, number) for number in range(self.val_swaps) for row in rows],
        )

    def _backgrounds(self, *, rim: int) -> RemovedForegrounds:
        """Those of the training pictures that have a mask."""
        train = self.dataset(self.train_split)
        return RemovedForegrounds(train.items, decode=train.decoded, rim=rim)

    def _testing(self, dataset: FolderDataset | PictureDataset) -> DataLoader[Any]:
        return evaluation_loader(
            dataset,
            batch_size=self.batch_size,
            workers=self.workers,
            share=share_of(self.trainer),
        )

    def _augmenter(self, train: FolderDataset) -> Augmenter | None:
        if self.augmentation is None:
            return None
        backgrounds = None
        if self.augmentation.swap and self.augmentation.swap_from is None:
            backgrounds = self._backgrounds(rim=self.augmentation.swap_rim)
        return Augmenter(self.augmentation.transforms(backgrounds=backgrounds))
