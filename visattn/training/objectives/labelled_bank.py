"""The labelled images seen so far, to train on in every step however few they are."""

from collections.abc import Mapping
from typing import Any, NamedTuple, final

import torch
from torch import Tensor

from visattn.basics.processes import all_agree
from visattn.training.checks import check_in
from visattn.training.losses.mask_losses import labelled_images
from visattn.training.objectives.base import Batch, Patience, load_states, states_of


class Labelled(NamedTuple):
    """Images that have a mask.

    Attributes:
        images: (N, C, H, W).
        masks: (N, 1, H, W), with a NaN where a single pixel is unknown.
        labels: Their classes (N,), -1 where the bank was not told.
    """

    images: Tensor
    masks: Tensor
    labels: Tensor


class LabelledBank:
    """Keeps images that have a mask, as the data gave them last, and draws from them.

    With masks for 5 % of the images, many batches have one or none; a mask branch needs several in
    each step. An image is known by its row in the dataset, so a new view of it (another
    augmentation) takes the place of the old one. A full bank gives up a random image for a new one.
    On several processes each has a bank of its own, and the first one's is in the checkpoint.

    Args:
        capacity: Most images to hold; 512 of 64 x 64 pixels take 32 MB, of 224 x 224 400 MB.

    Raises:
        ValueError: If ``capacity`` is below 1.
    """

    def __init__(self, capacity: int = 512) -> None:
        check_in("[1, inf)", capacity=capacity)
        self.capacity = capacity
        self._kept: dict[int, tuple[Tensor, Tensor, int]] = {}
        self._moved = True

    def __len__(self) -> int:
        return len(self._kept)

    def state_dict(self) -> dict[str, Any]:
        """From rows to image, mask and label, in the order in which they came."""
        return {"kept": dict(self._kept)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Keep these instead."""
        self._kept = dict(state["kept"])
        self._moved = False

    def add(
        self, images: Tensor, masks: Tensor, rows: Tensor, *, labels: Tensor | None = None
    ) -> None:
        """Keep the images of a batch that have a mask.

        Args:
            images: (N, C, H, W).
            masks: (N, 1, H, W), NaN where unlabelled.
            rows: (N,), what an image is known by.
            labels: Their classes (N,).
        """
        if not self._moved:  # they came from a checkpoint
            for known, (image, mask, its) in self._kept.items():
                self._kept[known] = (image.to(images.device), mask.to(images.device), its)
            self._moved = True
        for place in labelled_images(masks).nonzero().flatten().tolist():
            row = int(rows[place])
            if row not in self._kept and len(self._kept) >= self.capacity:
                kept = list(self._kept)
                del self._kept[kept[int(torch.randint(len(kept), ()))]]
            label = -1 if labels is None else int(labels[place])
            self._kept[row] = (images[place].detach().clone(), masks[place].clone(), label)

    def draw(self, count: int) -> Labelled:
        """``count`` images, drawn evenly; each at most once as far as that reaches.

        Raises:
            ValueError: If the bank is empty.
        """
        if not self._kept:
            raise ValueError("LabelledBank: there is nothing to draw from; add labelled images.")
        kept = list(self._kept.values())
        order = torch.cat([torch.randperm(len(kept)) for _ in range(-(-count // len(kept)))])
        images, masks, labels = zip(*(kept[place] for place in order[:count].tolist()), strict=True)
        stacked = torch.stack(images)
        return Labelled(stacked, torch.stack(masks), torch.tensor(labels, device=stacked.device))


@final
class LabelledSupply:
    """A bank for an objective, which draws as many images in every step and waits for the first.

    Args:
        objective: Which one needs them, for the message.
        labelled: Images in each step.
        bank: Most images to hold, see `LabelledBank`.
        without: What becomes of the training without any mask.
        kind: What a mask is called.

    Raises:
        ValueError: If ``labelled`` or ``bank`` is below 1.
    """

    def __init__(
        self, objective: str, *, labelled: int, bank: int, without: str, kind: str = "mask"
    ) -> None:
        check_in("[1, inf)", labelled=labelled)
        self.labelled = labelled
        self.bank = LabelledBank(bank)
        self._patience = Patience(
            f"{objective}: none of the first {{images}} training images has a {kind}, and without "
            f"any {without}. Give one to some of them (look at the data's folder of masks and at "
            "its share of masks), or take another objective, such as CrossEntropy."
        )

    def state_dict(self) -> dict[str, Any]:
        """Of the bank, and of the wait."""
        return states_of(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from an earlier state."""
        load_states(self, state)

    def keep(self, batch: Batch) -> bool:
        """Keep what a batch brings; whether there is anything to draw, in every process.

        Raises:
            ValueError: If none of the first 2,000 images has a mask.
        """
        images = batch["image"]
        self.bank.add(images, batch["mask"], batch["index"], labels=batch["label"])
        if not len(self.bank):
            self._patience.wait(len(images))
        return all_agree(len(self.bank) > 0)

    def draw(self) -> Labelled:
        """The images of a step."""
        return self.bank.draw(self.labelled)
