"""What logits say of classes, a single one included."""

from typing import Any

import torch
from torch import Tensor


def class_logits(logits: Any) -> Tensor:
    """Logits (N, K) of at least two classes: of a single one, (N, 1) or (N,), of no and yes.

    These are -z and z, so the larger is the predicted class's.

    Raises:
        TypeError: If a model gave something else, such as a segmentation or boxes.

    Example:
        >>> class_logits(torch.tensor([[2.0], [-1.0]])).tolist()
        [[-2.0, 2.0], [1.0, -1.0]]
    """
    if not isinstance(logits, Tensor) or logits.ndim not in (1, 2):
        came = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise TypeError(
            f"the model must return logits (N, K), it returned {came}; overlay, report and "
            "evaluate-maps take segmentations and torchvision's detectors, too, and ask them about "
            "a region or a box"
        )
    single = logits[:, None] if logits.ndim == 1 else logits
    return torch.cat([-single, single], 1) if single.shape[1] == 1 else logits


def class_probabilities(logits: Tensor, *, multilabel: bool = False) -> Tensor:
    """Probabilities (N, K) of the classes: the softmax; of a single logit by its sigmoid.

    Args:
        logits: Logits (N, K), (N, 1) or (N,).
        multilabel: The K logits are labels that hold each by itself: the sigmoid of each.

    Example:
        >>> class_probabilities(torch.tensor([[0.75], [0.25]]).logit())
        tensor([[0.2500, 0.7500],
                [0.7500, 0.2500]])
    """
    both = class_logits(logits)
    if both is not logits:
        return (both.float() / 2).softmax(1)
    return logits.float().sigmoid() if multilabel else logits.float().softmax(1)
