"""Images with a mask for every step of an objective, however few of them there are."""

from collections.abc import Mapping
from typing import final

from torch import Tensor

from visattn.training.objectives.base import Patience, check_in
from visattn.training.objectives.labelled_bank import Labelled, LabelledBank


@final
class LabelledSupply:
    """Keeps the images of the batches that have a mask, and draws as many in every step.

    Args:
        labelled: Images in each step.
        bank: Most images to hold, see `visattn.training.objectives.labelled_bank.LabelledBank`.
        patience: How long to wait for the first one.

    Raises:
        ValueError: If ``labelled`` or ``bank`` is below 1.
    """

    def __init__(self, *, labelled: int, bank: int, patience: Patience) -> None:
        check_in("[1, inf)", labelled=labelled)
        self.labelled = labelled
        self.bank = LabelledBank(bank)
        self._patience = patience

    def __call__(self, batch: Mapping[str, Tensor]) -> Labelled | None:
        """Keep what a batch brings, and draw; None until the first image with a mask has come.

        Raises:
            ValueError: If none of the first 2,000 images has a mask.
        """
        images = batch["image"]
        self.bank.add(images, batch["mask"], batch["index"], labels=batch["label"])
        if not len(self.bank):
            self._patience.wait(len(images))
            return None
        return self.bank.draw(self.labelled)
