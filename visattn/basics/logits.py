"""What logits say of classes, a single one included."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def main_output(outputs: Any) -> Tensor | None:
    """The tensor that a model gives: itself, its ``logits``, or ``"out"`` of a segmentation.

    Example:
        >>> main_output({"out": torch.ones(1), "aux": torch.zeros(1)})
        tensor([1.])
    """
    if isinstance(outputs, Mapping):
        outputs = outputs.get("logits", outputs.get("out"))
    elif not isinstance(outputs, Tensor):
        outputs = getattr(outputs, "logits", None)
    return outputs if isinstance(outputs, Tensor) else None


def class_logits(logits: Any) -> Tensor:
    """Logits (N, K) of at least two classes: of a single one, (N, 1) or (N,), of no and yes.

    These are -z and z, so the larger is the predicted class's. What a model of Hugging Face's kind
    gives is read by its ``logits``.

    Raises:
        TypeError: If a model gave something else, such as a segmentation or boxes.

    Example:
        >>> class_logits(torch.tensor([[2.0], [-1.0]])).tolist()
        [[-2.0, 2.0], [1.0, -1.0]]
    """
    found = main_output(logits)
    if found is None or found.ndim not in (1, 2):
        came = type(logits).__name__ if found is None else tuple(found.shape)
        raise TypeError(
            f"the model must return logits (N, K), it returned {came}; overlay, report and "
            "evaluate-maps take segmentations and torchvision's detectors, too, and ask them about "
            "a region or a box"
        )
    single = found[:, None] if found.ndim == 1 else found
    return torch.cat([-single, single], 1) if single.shape[1] == 1 else found


def class_probabilities(logits: Any, *, multilabel: bool = False) -> Tensor:
    """Probabilities (N, K) of the classes: the softmax; of a single logit by its sigmoid.

    Args:
        logits: Logits (N, K), (N, 1) or (N,), or what has them as ``logits``.
        multilabel: The K logits are labels that hold each by itself: the sigmoid of each.

    Example:
        >>> class_probabilities(torch.tensor([[0.75], [0.25]]).logit())
        tensor([[0.2500, 0.7500],
                [0.7500, 0.2500]])
    """
    both = class_logits(logits)
    if both is not main_output(logits):
        return (both.float() / 2).softmax(1)
    return both.float().sigmoid() if multilabel else both.float().softmax(1)
