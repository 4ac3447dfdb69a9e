"""The data module of the tasty scenes, rendered when first needed."""

from pathlib import Path
from typing import Any, final

from visattn.data.augmentation import Augmentation
from visattn.data.folder_data import GenericLayout
from visattn.data.generated.tasty.folder import render_tasty
from visattn.data.generated.tasty.parameters import CLASSES, TastyParameters


@final
class TastyData(GenericLayout):
    """Is this buri tasty? Two classes, and the answer is on a face far away from the buri.

    Four diners along the top, two of them smiling, each in a ring of one colour; far below a buri
    on a plate of one of these colours. See `visattn.data.generated.tasty.render_tasty` for the
    splits. The mask of a picture is the head of the diner whose sushi it is. There is no
    augmentation by default: it would change the distance, the colours, or who sits where.

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
        augmentation: What changes during training; None for nothing.
        options: Those of `visattn.data.image_data.ImageData`.

    Raises:
        ValueError: An option out of its range.

    Example:
        >>> TastyData(size=48, train=8, val=4, test=4).class_names
        ('not_tasty', 'tasty')
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
        augmentation: Augmentation | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            size=size,
            augmentation=augmentation,
            check=False,  # rendered here, and whole or not there
            **options,
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
