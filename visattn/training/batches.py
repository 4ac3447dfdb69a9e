"""Batches of any data module as the classifier takes them, and what a data module must have."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class ClassificationData(Protocol):
    """What a `LightningDataModule` of one's own must have for a classifier of images.

    Its batches are mappings with ``image`` (N, 3, H, W), normalised, and ``label`` (N,), or tuples
    of these two; to predict on, images alone will do. In a mapping there may be, too: ``mask``
    (N, 1, H, W) in [0, 1], NaN where an image has none, together with ``index`` (N,), rows of the
    dataset; and ``background`` (N,), -1 where it is unknown.

    What else it may have: ``class_names``, in the order of the labels; ``test_names``, one a test
    loader; ``reading``, a mapping with ``size``, ``fit``, ``mean`` and ``std``, which go into the
    checkpoint, so that pictures are later read in the same way.

    Attributes:
        num_classes: How many classes there are, known before ``setup``.
    """

    num_classes: int


def class_count(data: Any) -> int:
    """The number of classes of a data module.

    Raises:
        TypeError: It doesn't say; the message has what is needed.
    """
    found = getattr(data, "num_classes", None)
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise TypeError(
            f"{type(data).__name__} must say how many classes there are: expected an attribute "
            f"num_classes, a number above 0 that is known before setup, got {found!r}; see "
            "visattn.training.batches.ClassificationData"
        )
    return found


def as_batch(found: Any, *, labelled: bool = True) -> dict[str, Tensor]:
    """A batch as a mapping with all that the classifier looks at.

    Args:
        found: What a loader gives, see `ClassificationData`.
        labelled: Whether there must be labels.

    Raises:
        ValueError: There is no image or no label, or masks come without rows.

    Example:
        >>> batch = as_batch((torch.zeros(2, 3, 4, 4), torch.tensor([0, 1])))
        >>> sorted(batch), batch["background"].tolist()
        (['background', 'image', 'index', 'label', 'mask'], [-1, -1])
    """
    if isinstance(found, Mapping):
        batch = dict(found)
    elif isinstance(found, Sequence) and not isinstance(found, str):
        batch = dict(zip(("image", "label"), found, strict=False))
    else:
        batch = {"image": found}
    missing = [key for key in ("image", "label")[: 1 + labelled] if key not in batch]
    if missing or not isinstance(batch["image"], Tensor):
        keys = ", ".join(map(str, batch)) if isinstance(found, Mapping) else type(found).__name__
        raise ValueError(
            f"expected batches with image (N, 3, H, W){' and label (N,)' if labelled else ''}, as "
            f"a mapping or a tuple, got {keys}"
        )
    image = batch["image"]
    if "mask" in batch and "index" not in batch:
        raise ValueError("batches with masks need index (N,), the rows of their dataset, too")
    unknown = torch.full((len(image),), -1, device=image.device)
    batch.setdefault("index", unknown)
    batch.setdefault("background", unknown)
    if "mask" not in batch:
        batch["mask"] = image.new_full((len(image), 1, *image.shape[-2:]), torch.nan)
    return batch
