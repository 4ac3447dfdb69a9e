"""What a classifier is trained on: from a model, a batch and the progress to a loss."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visattn.blocks.spatial_mask import SpatialMask
from visattn.data.background_swap import composite, remove_foreground, swap_backgrounds
from visattn.training.labelled_bank import LabelledBank
from visattn.training.losses import mask_loss
from visattn.training.mask_pass import predict_mask, predict_with_mask


class Objective(ABC):
    """Turns a batch into a loss; may pass the model several times, and may keep a state.

    A batch holds ``image`` (N, 3, H, W), normalised; ``label`` (N,); ``mask`` (N, 1, H, W) in
    [0, 1], NaN where unlabelled; ``index`` (N,), rows of the dataset.
    """

    @abstractmethod
    def __call__(
        self, model: nn.Module, batch: Mapping[str, Tensor], progress: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of one step.

        Args:
            model: From images to logits.
            batch: As the data module gives it.
            progress: The share of the training that is done, in [0, 1].

        Returns:
            The loss, a scalar with a graph, and its parts by name, detached.
        """


@final
class CrossEntropy(Objective):
    """Cross-entropy of the labels, on the images as they are.

    Args:
        label_smoothing: Share of the target that is spread evenly over the classes, in [0, 1).

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
        >>> batch = {"image": torch.randn(4, 3, 2, 2), "label": torch.tensor([0, 1, 0, 1])}
        >>> loss, parts = CrossEntropy()(model, batch, 0.0)
        >>> sorted(parts)
        ['cross_entropy']
    """

    def __init__(self, *, label_smoothing: float = 0.0) -> None:
        _check_share("label_smoothing", label_smoothing)
        self.label_smoothing = label_smoothing

    def __call__(
        self, model: nn.Module, batch: Mapping[str, Tensor], progress: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `Objective`."""
        logits = model(batch["image"])
        loss = F.cross_entropy(logits, batch["label"], label_smoothing=self.label_smoothing)
        return loss, {"cross_entropy": loss.detach()}


@final
class MaskedFocus(Objective):
    """Learn the object's mask from few labelled images, and the class behind that mask.

    The model has a spatial mask (`visattn.blocks.SpatialMask`). A step goes through

    1. *mask*: labelled images, as they are and on other backgrounds, teach the mask. They come
       from a bank of those seen so far, so that they are in every step however few they are.
       During the ``warmup`` this is all, and the rest of the network does not run.
    2. *predict*: the model estimates the masks of the images that have none.
    3. *swap*: every object is put on the background of another image, cut out by its mask, given
       or predicted. The background then says nothing about the class, nor does what is left of it
       at the object's edge.
    4. *classify*: cross-entropy on the swapped images, together with the mask loss against the
       masks that they were cut with; a predicted mask counts by its confidence |2 m - 1|.

    Where every image has its mask, steps 1 and 2 fall away. Until the first image with a mask has
    come, nothing is learned.

    Put the mask in with ``detach=True``: otherwise the class loss widens the mask to read what is
    around the object. A mask of the annealed form is closed along the way: its ``leak`` falls from
    1 to 0 during the first half of the training.

    Args:
        label_smoothing: Share of the target that is spread evenly over the classes, in [0, 1).
        warmup: Share of the training, in [0, 1), in which only the mask learns, while images
            without a mask are about.
        swap: How likely an image gets another background, in [0, 1].
        mask_weight: Weight of the mask loss beside the cross-entropy.
        predicted_weight: Weight of a pixel of a predicted mask beside one of a given mask.
        labelled: Labelled images from the bank in each step.
        bank: Most labelled images to hold, see `LabelledBank`.
        rim: Pixels at the edge of a mask whose colours are not trusted in swapping, see
            `visattn.data.background_swap.swap_backgrounds`.
        shift: Largest shift of a background along each axis, as a share of the side.
        site: The mask's site, where the model has several.

    Raises:
        ValueError: If an argument is out of its range; in a step, if the model has no mask, or if
            none of the first 2,000 images has one.
    """

    def __init__(
        self,
        *,
        label_smoothing: float = 0.1,
        warmup: float = 0.15,
        swap: float = 1.0,
        mask_weight: float = 1.0,
        predicted_weight: float = 0.5,
        labelled: int = 16,
        bank: int = 512,
        rim: int = 1,
        shift: float = 0.3,
        site: str | None = None,
    ) -> None:
        _check_share("label_smoothing", label_smoothing)
        _check_share("warmup", warmup)
        if not 0 <= swap <= 1:
            raise ValueError(f"swap must be in [0, 1], got {swap}.")
        for name, value in (("mask_weight", mask_weight), ("predicted_weight", predicted_weight)):
            if value < 0:
                raise ValueError(f"{name} must be at least 0, got {value}.")
        if labelled < 2:
            raise ValueError(f"labelled must be at least 2, got {labelled}.")
        self.label_smoothing = label_smoothing
        self.warmup = warmup
        self.swap = swap
        self.mask_weight = mask_weight
        self.predicted_weight = predicted_weight
        self.labelled = labelled
        self.rim = rim
        self.shift = shift
        self.site = site
        self.bank = LabelledBank(bank)
        self._missed = 0

    def __call__(
        self, model: nn.Module, batch: Mapping[str, Tensor], progress: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `Objective`."""
        images, given = batch["image"], batch["mask"]
        _close(model, leak=max(0.0, 1 - 2 * progress))
        self.bank.add(images, given, batch["index"])
        if not given.isnan().any():
            return self._classify(model, batch, given, torch.ones_like(given))
        masks, trust = self._complete(model, images, given)
        labelled = self._labelled_loss(model, images, masks, progress)
        loss, parts = self.mask_weight * labelled, {"labelled_mask": labelled.detach()}
        if not len(self.bank):
            self._miss(len(images))
        elif progress >= self.warmup:
            rest, more = self._classify(model, batch, masks, trust)
            loss, parts = loss + rest, parts | more
        return loss, parts

    def _miss(self, images: int) -> None:
        """Count the images that went by before the first one with a mask."""
        self._missed += images
        if self._missed >= _PATIENCE:
            raise ValueError(
                f"MaskedFocus: none of the first {self._missed} training images has a mask, and "
                "without any nothing can be learned. Give masks for some training images (look "
                "at the data's folder of masks and at its share of masks), or take another "
                "objective, such as CrossEntropy."
            )

    def _complete(self, model: nn.Module, images: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        """Masks without NaN, the missing pixels predicted, and how far each pixel is trusted."""
        # Not under no_grad: there, autocast of older PyTorch (issue 158232) keeps weights that it
        # casts without their graph, and the later passes of this step would take them.
        logits = predict_mask(model, images, site=self.site).detach().float()
        logits = _resized(logits, given.shape[-2:])
        missing = given.isnan()
        confidence = (2 * torch.sigmoid(logits) - 1).abs() * self.predicted_weight
        masks = torch.where(missing, torch.sigmoid(_SHARPNESS * logits), given)
        return masks, torch.where(missing, confidence, 1)

    def _labelled_loss(
        self, model: nn.Module, images: Tensor, masks: Tensor, progress: float
    ) -> Tensor:
        """Mask loss on labelled images, half of them on the backgrounds of other images."""
        if not len(self.bank):
            logits = predict_mask(model, images, site=self.site)
            return mask_loss(logits, torch.full_like(logits, torch.nan))
        views, targets = self.bank.draw(self.labelled)
        # Until the predictions are worth something, only labelled images lend their background.
        pool, pool_masks = views, targets
        if progress >= self.warmup / 2:
            pool, pool_masks = torch.cat([views, images]), torch.cat([targets, masks])
        half = self.labelled // 2
        lent = torch.randint(len(pool), (self.labelled - half,), device=pool.device)
        known = targets[half:].nan_to_num(0)
        backgrounds = remove_foreground(
            pool[lent], pool_masks[lent].nan_to_num(0), rim=self.rim + 1
        )
        swapped = composite(views[half:], known, backgrounds, rim=self.rim)
        logits = predict_mask(model, torch.cat([views[:half], swapped]), site=self.site)
        return mask_loss(logits, _averaged(targets, logits.shape[-2:]))

    def _classify(
        self, model: nn.Module, batch: Mapping[str, Tensor], masks: Tensor, trust: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy and mask loss on images with swapped backgrounds."""
        images, _ = swap_backgrounds(
            batch["image"], masks, probability=self.swap, rim=self.rim, shift=self.shift
        )
        logits, mask_logits = predict_with_mask(model, images, site=self.site)
        size = mask_logits.shape[-2:]
        mask = mask_loss(mask_logits, _averaged(masks, size), weight=_averaged(trust, size))
        entropy = F.cross_entropy(logits, batch["label"], label_smoothing=self.label_smoothing)
        loss = entropy + self.mask_weight * mask
        return loss, {"cross_entropy": entropy.detach(), "mask": mask.detach()}


_PATIENCE = 2000
"""After so many images without a mask it is not by chance: with 1 % of masks once in 5e8."""

_SHARPNESS = 4.0
"""Predicted masks are sharpened for cutting out: sigmoid(4 z) in place of sigmoid(z)."""


def _averaged(masks: Tensor, size: Sequence[int]) -> Tensor:
    """Masks at the size of the logits; a place with a NaN among its pixels is NaN."""
    return masks if masks.shape[-2:] == size else F.adaptive_avg_pool2d(masks, (size[0], size[1]))


def _resized(logits: Tensor, size: torch.Size) -> Tensor:
    """Logits at the size of the images."""
    if logits.shape[-2:] == size:
        return logits
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)


def _close(model: nn.Module, *, leak: float) -> None:
    """Set the leak of every annealed mask."""
    for module in model.modules():
        if isinstance(module, SpatialMask) and module.form == "annealed":
            module.set_leak(leak)


def _check_share(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be in [0, 1), got {value}.")
