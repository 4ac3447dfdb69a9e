"""The data module of the sushi scenes, rendered when first needed."""

from pathlib import Path
from typing import Any, final

from visattn.data.folder_data import GenericLayout
from visattn.data.generated.sushi.folder import render_sushi
from visattn.data.generated.sushi.names import KINDS
from visattn.data.generated.sushi.parameters import TEST_VARIANTS, SushiParameters


@final
class SushiData(GenericLayout):
    """Sushi scenes, rendered when first needed: the plate betrays the class with probability rho.

    See `visattn.data.generated.sushi.render_sushi` for the splits, of which each test variant shows
    the same pieces of sushi on other backgrounds.

    Args:
        root: Where to render to; left out, a folder in the user's cache made from the options.
        size: Side of the pictures, in pixels.
        rho: Share of training pictures on their class's own plate.
        train: Pictures to train on, over all classes.
        val: Pictures to validate on.
        test: Foregrounds of the test set.
        variants: Test variants to render, one split each.
        kinds: The classes, of `visattn.data.generated.sushi.KINDS`; all if left out.
        train_random: Whether to render ``train_random`` too, the training foregrounds on random
            plates, and train on it: an upper bound.
        adversarial: For how many of the test set's foregrounds to render ``test_adversarial``, each
            on 64 backgrounds; in a test a foreground counts only if it is recognised on all.
        scene_seed: Seed of the scenes; ``seed`` is that of the training.
        render_workers: Processes that render; left out, one a processor.
        options: Those of `visattn.data.image_data.ImageData`.

    Raises:
        ValueError: An option out of its range, or an unknown variant.
    """

    def __init__(
        self,
        *,
        root: str | Path | None = None,
        size: int = 96,
        rho: float = 0.95,
        train: int = 2400,
        val: int = 400,
        test: int = 480,
        variants: list[str] | None = None,
        kinds: list[str] | None = None,
        train_random: bool = False,
        adversarial: int = 0,
        scene_seed: int = 0,
        render_workers: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            size=size,
            train_split="train_random" if train_random else "train",
            check=False,  # rendered here, and whole or not there
            **options,
        )
        self.parameters = SushiParameters(
            size=size,
            rho=rho,
            train=train,
            val=val,
            test=test,
            seed=scene_seed,
            variants=TEST_VARIANTS if variants is None else variants,
            kinds=KINDS if kinds is None else kinds,
            train_random=train_random,
            adversarial=adversarial,
        )
        self.root = root
        self.render_workers = render_workers

    @property
    def class_names(self) -> tuple[str, ...]:
        """The kinds of sushi, sorted by name as their folders are."""
        return tuple(sorted(self.parameters.kinds))

    def locate(self) -> Path:
        """The folder of the scenes, rendered if it is not there."""
        return render_sushi(self.root, **vars(self.parameters), workers=self.render_workers)
