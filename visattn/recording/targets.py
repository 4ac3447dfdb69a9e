"""What a class activation map is asked about: a class, labels, a value, a region, a box.

A target is a function of what the model gives for N images, which returns one score an image (N,):
any function will do, and these are the common ones.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from visattn.basics.logits import class_logits, main_output

Target = Callable[[Any], Tensor]
Classes = int | Sequence[int] | Tensor


def answered_logits(outputs: Any) -> Tensor:
    """Logits (N, K) of at least two classes (`class_logits`) in what a model gives.

    Raises:
        ValueError: If the outputs are nothing of the kind.
    """
    found = main_output(outputs)
    if found is None or found.ndim not in (1, 2) or 0 in found.shape:
        came = tuple(found.shape) if found is not None else type(outputs).__name__
        raise ValueError(
            f"the model must return logits (N, K), it returned {came}; for anything else give a "
            "target, such as those of visattn.recording.targets"
        )
    return class_logits(found)


def class_score(classes: Classes) -> Target:
    """The logit of a class: one for all images, or one an image (N,).

    A single logit is that of yes: class 1 has it, class 0 its negative.

    Example:
        >>> class_score([1, 0])(torch.tensor([[0.5, 2.0], [3.0, 1.0]]))
        tensor([2., 3.])
    """

    def score(outputs: Any) -> Tensor:
        logits = answered_logits(outputs)
        return logits.gather(1, checked_classes(classes, logits)[:, None])[:, 0]

    return score


def label_score(labels: Tensor) -> Target:
    """The sum of the logits of several labels: truth values (K,) for all images, or (N, K).

    Example:
        >>> label_score(torch.tensor([True, False, True]))(torch.tensor([[1.0, 2.0, 4.0]]))
        tensor([5.])
    """
    labels = torch.as_tensor(labels)
    if labels.dtype != torch.bool or labels.ndim not in (1, 2):
        raise ValueError(
            "labels must be truth values (K,) or (N, K), which labels of each image to sum, not "
            f"{labels.dtype} of shape {tuple(labels.shape)}; class_score takes a label's number"
        )

    def score(outputs: Any) -> Tensor:
        logits = main_output(outputs)
        if (
            logits is None
            or logits.ndim != 2
            or labels.shape not in (logits.shape, logits.shape[1:])
        ):
            raise ValueError(f"labels {tuple(labels.shape)} don't fit {_said(outputs)}")
        return logits.where(labels.to(logits.device), 0).sum(1)

    return score


def output_value(index: int = 0) -> Target:
    """A value of a regression (N,) or (N, K), as it is.

    Example:
        >>> output_value()(torch.tensor([[-2.0], [3.0]]))
        tensor([-2.,  3.])
    """

    def score(outputs: Any) -> Tensor:
        values = main_output(outputs)
        if values is None or values.ndim not in (1, 2):
            raise ValueError(f"values (N,) or (N, K) were expected, not {_said(outputs)}")
        values = values[:, None] if values.ndim == 1 else values
        if not 0 <= index < values.shape[1]:
            raise ValueError(f"there are the values 0 to {values.shape[1] - 1}, not {index}")
        return values[:, index]

    return score


def region_score(label: Classes, region: Tensor) -> Target:
    """A class over a region: the sum of its logits there, of a segmentation (N, K, h, w).

    Of a single logit a place class 1 has it, class 0 its negative.

    Args:
        label: The class: one for all images, or one an image.
        region: Truth values (N, h, w), or (h, w) for all images; of another size than the logits,
            the nearest pixel counts.

    Example:
        >>> logits = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])
        >>> region_score(1, torch.tensor([[False, True]]))(logits)
        tensor([4.])
    """
    region = torch.as_tensor(region)
    if region.dtype != torch.bool or region.ndim not in (2, 3):
        raise ValueError(
            "region must be truth values (N, h, w) or (h, w), such as `predicted == label`, not "
            f"{region.dtype} of shape {tuple(region.shape)}"
        )
    planes = region if region.ndim == 3 else region[None]
    empty = (~planes.flatten(1).any(1)).nonzero().flatten().tolist()
    if empty:
        raise ValueError(f"the region of image {empty[0]} is empty: there is nothing to ask about")

    def score(outputs: Any) -> Tensor:
        logits = main_output(outputs)
        if logits is None or logits.ndim != 4 or len(planes) not in (1, len(logits)):
            raise ValueError(
                f"a region {tuple(region.shape)} needs logits (N, K, h, w), not {_said(outputs)}"
            )
        logits = torch.cat([-logits, logits], 1) if logits.shape[1] == 1 else logits
        asked = torch.as_tensor(label, device=logits.device).expand(len(logits))
        if len(asked) and not 0 <= int(asked.min()) <= int(asked.max()) < logits.shape[1]:
            raise ValueError(f"there are the classes 0 to {logits.shape[1] - 1}, not {label}")
        inside = planes[:, None].to(logits)
        inside = torch.nn.functional.interpolate(inside, logits.shape[2:], mode="nearest-exact")
        chosen = logits[torch.arange(len(logits), device=logits.device), asked]
        return (chosen * inside[:, 0]).sum((1, 2))

    return score


def box_score(boxes: Tensor, labels: Classes, *, overlap: float = 0.5) -> Target:
    """The score of a detection: of the box of a label that covers a given one best.

    It takes what torchvision's detectors give, a dictionary an image with ``boxes``, ``labels`` and
    ``scores``. An image without such a box, as Score-CAM's hidden ones may be, scores 0.

    Args:
        boxes: A box an image (N, 4), left, top, right and bottom in the image's pixels.
        labels: Its class: one for all, or one an image.
        overlap: The IoU that a detection must have with the box at least.

    Example:
        >>> box = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
        >>> found = {"boxes": box, "labels": torch.tensor([3]), "scores": torch.tensor([0.9])}
        >>> box_score(box, 3)([found])
        tensor([0.9000])
    """
    boxes = torch.as_tensor(boxes)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes must be (N, 4), a box an image, not {tuple(boxes.shape)}")
    wanted = torch.as_tensor(labels).expand(len(boxes))

    def score(outputs: Any) -> Tensor:
        if not isinstance(outputs, Sequence) or len(outputs) != len(boxes):
            raise ValueError(
                f"detections of {len(boxes)} images, a dictionary each, were expected, not"
                f" {_said(outputs)}"
            )
        return torch.stack([_best(*row) for row in zip(outputs, boxes, wanted, strict=True)])

    def _best(found: Mapping[str, Tensor], box: Tensor, label: Tensor) -> Tensor:
        covered = overlaps(found["boxes"].detach(), box.to(found["boxes"]))
        covered = covered.where(found["labels"] == label.to(found["labels"]), -1)
        if not len(covered) or float(covered.max()) < overlap:
            return found["scores"].new_zeros(())
        return found["scores"][covered.argmax()]

    return score


def checked_classes(classes: Classes, logits: Tensor) -> Tensor:
    """Classes (N,) of logits (N, K).

    Raises:
        TypeError: If they are no integers.
        ValueError: If they are of another number, or the model doesn't know them.
    """
    count, known = logits.shape
    chosen = torch.as_tensor(classes, device=logits.device).detach()
    if chosen.dtype.is_floating_point or chosen.dtype.is_complex or chosen.dtype == torch.bool:
        raise TypeError(f"classes must be integers, not {chosen.dtype}")
    if chosen.shape not in ((), (count,)):
        raise ValueError(
            f"classes must be one class or one an image ({count},), not {tuple(chosen.shape)}"
        )
    chosen = chosen.long().expand(count).clone()
    if count and not 0 <= int(chosen.min()) <= int(chosen.max()) < known:
        raise ValueError(
            f"the model has the classes 0 to {known - 1}; classes go from {int(chosen.min())} to "
            f"{int(chosen.max())}"
        )
    return chosen


def overlaps(boxes: Tensor, box: Tensor) -> Tensor:
    """IoU of boxes (n, 4) with one (4,)."""
    sides = torch.minimum(boxes[:, 2:], box[2:]) - torch.maximum(boxes[:, :2], box[:2])
    common = sides.clamp(min=0).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (box[2:] - box[:2]).prod()
    return common / (areas - common)


def _said(outputs: Any) -> str:
    return str(tuple(outputs.shape)) if isinstance(outputs, Tensor) else type(outputs).__name__
