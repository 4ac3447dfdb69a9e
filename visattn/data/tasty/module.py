"""The data module of the tasty scenes, rendered when first needed."""

from pathlib import Path
from typing import final

from visattn.data.augmentation import Augmentation
from visattn.data.folders import IMAGENET_MEAN, IMAGENET_STD
from visattn.data.masks import SOFT
from visattn.data.modules import ImageData
from visattn.data.tasty.folder import CLASSES, TastyParameters, render_tasty


@final
class TastyData(ImageData):
    """Is this buri tasty? Two classes, and the answer is on a face far away from the buri.

    Four diners along the top, two of them smiling, each in a ring of one colour; far below a buri
    on a plate of one of these colours. See `visattn.data.tasty.render_tasty` for the splits. The
    mask of a picture is the head of the diner whose sushi it is. There is no augmentation by
    default: it would change the distance, the colours, or who sits where.

    Args:
        root: Where to render to; left out, a folder in the user's cache made from the options.
        size: Side of the pictures, in pixels.
        diners: Number of diners, even.
        distance: Rows of bare table between rings and plate; nearly all there is room for if None.
        distances: Distances to test on besides, a split ``test_distance_D`` each.
        train: Pictures to train on, a multiple of 4 as the next two.
        val: Pictures to validate on.
        test: Pictures of each test split.
        train_without_faces: Further pictures to train on, with empty rings and either answer; a
            multiple of 4.
        scene_seed: Seed of the scenes; ``seed`` is that of the training.
        batch_size: Pictures a batch.
        workers: Processes that load; 0 loads in the main process.
        test_splits: What to test on; left out, all that is rendered.
        predict_folder: A folder of pictures, or one picture, to predict on.
        mask_share: The share of the training masks that may be used; the others are never read.
        mask_seed: Which masks are kept.
        augmentation: What changes during training; None for nothing.
        mean: Per channel, taken off the picture in [0, 1].
        std: Per channel, divided by after that.
        cache: Whether to keep decoded pictures of training and validation in memory.
        seed: Seed of the order and the augmentation.

    Raises:
        ValueError: An option out of its range.
    """

    def __init__(
        self,
        *,
        root: str | Path | None = None,
        size: int = 64,
        diners: int = 4,
        distance: int | None = None,
        distances: list[int] | None = None,
        train: int = 8000,
        val: int = 800,
        test: int = 800,
        train_without_faces: int = 0,
        scene_seed: int = 0,
        batch_size: int = 64,
        workers: int = 2,
        test_splits: list[str] | None = None,
        predict_folder: str | Path | None = None,
        mask_share: float = 1.0,
        mask_seed: int = 0,
        augmentation: Augmentation | None = None,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
        cache: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(
            size=size,
            fit="crop",
            batch_size=batch_size,
            workers=workers,
            train_split="train",
            val_split="val",
            test_splits=test_splits,
            predict_folder=predict_folder,
            mask_values=SOFT,
            mask_share=mask_share,
            mask_seed=mask_seed,
            augmentation=augmentation,
            mean=mean,
            std=std,
            cache=cache,
            check=False,  # rendered here, and whole or not there
            seed=seed,
        )
        self.parameters = TastyParameters(
            size=size,
            diners=diners,
            distance=distance,
            distances=tuple(distances or ()),
            train=train,
            val=val,
            test=test,
            train_without_faces=train_without_faces,
            seed=scene_seed,
        )
        self.root = root

    @property
    def class_names(self) -> tuple[str, ...]:
        """``not_tasty`` and ``tasty``."""
        return CLASSES

    def locate(self) -> Path:
        """The folder of the scenes, rendered if it is not there."""
        return render_tasty(self.parameters, self.root)
