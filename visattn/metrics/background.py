"""Does the classifier read the background? Numbers from predictions on variants of one test set.

The variants show the same foregrounds on other backgrounds (Xiao et al., "Noise or signal: the
role of image backgrounds in object recognition", 2020, arXiv:2006.09994). All functions take
predicted classes, not logits, and no model: whoever predicts is the caller's affair.
"""

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from visattn.metrics.intervals import (
    Difference,
    Proportion,
    check_lengths,
    paired_difference,
    wilson,
)

Classes = Tensor | Sequence[int]


@dataclass(frozen=True)
class WorstGroup:
    """The (class, background) group with the lowest accuracy.

    Attributes:
        accuracy: Its accuracy; NaN if no group is large enough. The interval is the group's own
            and knows nothing of the group's having been picked for being the lowest.
        label: Its class; None if no group is large enough.
        background: Its background; None if no group is large enough.
        groups: How many groups were large enough.
        left_out: How many groups were too small and left out.
    """

    accuracy: Proportion
    label: int | None
    background: Hashable
    groups: int
    left_out: int


def accuracy(predictions: Classes, labels: Classes) -> Proportion:
    """Share of images whose class is predicted, with Wilson's 95 % interval.

    Args:
        predictions: Predicted classes (N,), integers.
        labels: True classes (N,), integers.

    Returns:
        The share; NaN for no image.

    Raises:
        TypeError: If the values are no integers.
        ValueError: If the shapes differ.

    Example:
        >>> print(accuracy([0, 1, 1, 2], [0, 1, 2, 2]))
        75.0 % (30.1 to 95.4, n = 4)
    """
    predictions, labels = _paired(predictions=predictions, labels=labels)
    return _share(predictions == labels)


def accuracies(
    predictions: Mapping[str, Classes], labels: Classes | Mapping[str, Classes]
) -> dict[str, Proportion]:
    """Accuracy on each variant of a test set, each with its number of images and interval.

    Args:
        predictions: Predicted classes (N,) by variant.
        labels: True classes (N,), the same for every variant, or by variant.

    Returns:
        The accuracy of each variant, in the order of ``predictions``.

    Raises:
        KeyError: If ``labels`` is a mapping that lacks a variant.
        ValueError: If a variant's predictions and labels differ in number.

    Example:
        >>> found = accuracies({"original": [0, 1], "mixed-rand": [0, 0]}, [0, 1])
        >>> found["original"].value, found["mixed-rand"].value
        (1.0, 0.5)
    """
    found = {}
    for variant, predicted in predictions.items():
        if not isinstance(labels, Mapping):
            true = labels
        elif variant in labels:
            true = labels[variant]
        else:
            raise KeyError(f"labels has no variant {variant!r}; it has {sorted(labels)}")
        try:
            found[variant] = accuracy(predicted, true)
        except (TypeError, ValueError) as error:
            raise type(error)(f"variant {variant!r}: {error}") from error
    return found


def background_gap(
    mixed_same: Classes, mixed_rand: Classes, labels: Classes, *, confidence: float = 0.95
) -> Difference:
    """BG-gap: accuracy on mixed-same minus accuracy on mixed-rand.

    The two variants show the same foregrounds in the same order, so the interval is that of a
    difference of paired shares (Newcombe's closed form, see ``paired_difference``).

    Args:
        mixed_same: Predicted classes (N,), foregrounds on a background of another image of
            their class.
        mixed_rand: Predicted classes (N,), the same foregrounds on a background of a random class.
        labels: True classes (N,).
        confidence: Coverage of the interval.

    Returns:
        The gap in [-1, 1] with its interval; NaN for no image.

    Raises:
        TypeError: If the values are no integers.
        ValueError: If the shapes differ.

    Example:
        >>> background_gap([0, 1, 2, 2], [0, 1, 0, 0], [0, 1, 2, 2]).value
        0.5
    """
    same, rand, true = _paired(mixed_same=mixed_same, mixed_rand=mixed_rand, labels=labels)
    first, second = same == true, rand == true
    return paired_difference(
        both=int((first & second).sum()),
        only_first=int((first & ~second).sum()),
        only_second=int((~first & second).sum()),
        neither=int((~first & ~second).sum()),
        confidence=confidence,
    )


def worst_group(
    predictions: Classes,
    labels: Classes,
    backgrounds: Tensor | Sequence[Hashable],
    *,
    minimum: int = 10,
) -> WorstGroup:
    """The lowest accuracy over the (class, background) groups that are large enough.

    Sagawa et al., "Distributionally robust neural networks for group shifts", 2020,
    arXiv:1911.08731. Of groups with equal accuracy the larger one is named.

    Args:
        predictions: Predicted classes (N,), integers.
        labels: True classes (N,), integers.
        backgrounds: Background of each image (N,): an identity or a style, numbers or names.
        minimum: Groups of fewer images are left out, and counted.

    Returns:
        The group, its accuracy, and the numbers of groups.

    Raises:
        TypeError: If predictions or labels are no integers.
        ValueError: If the lengths differ or ``minimum`` is less than 1.

    Example:
        >>> found = worst_group([0] * 8, [0] * 4 + [1] * 4, ["plate"] * 8, minimum=4)
        >>> found.accuracy.value, found.label, found.background
        (0.0, 1, 'plate')
    """
    if minimum < 1:
        raise ValueError(f"minimum must be at least 1 image, not {minimum}")
    predictions, labels = _paired(predictions=predictions, labels=labels)
    behind = backgrounds.tolist() if isinstance(backgrounds, Tensor) else list(backgrounds)
    if len(behind) != len(labels):
        raise ValueError(
            f"one background an image was expected: {len(labels)} labels, {len(behind)} backgrounds"
        )
    groups = list(zip(labels.tolist(), behind, strict=True))
    images = Counter(groups)
    correct = Counter(
        group for group, hit in zip(groups, (predictions == labels).tolist(), strict=True) if hit
    )
    large = [group for group, number in images.items() if number >= minimum]
    left_out = len(images) - len(large)
    if not large:
        return WorstGroup(wilson(0, images=0), None, None, 0, left_out)
    worst = min(large, key=lambda group: (correct[group] / images[group], -images[group]))
    share = wilson(correct[worst], images=images[worst])
    return WorstGroup(share, worst[0], worst[1], len(large), left_out)


def flip_rate(predictions: Classes, swapped: Classes) -> Proportion:
    """Share of images whose prediction changes when only the background does. Needs no labels.

    Args:
        predictions: Predicted classes (N,), integers.
        swapped: Predicted classes (N,) of the same foregrounds on another background.

    Returns:
        The share with Wilson's 95 % interval; NaN for no image.

    Raises:
        TypeError: If the values are no integers.
        ValueError: If the shapes differ.

    Example:
        >>> flip_rate([0, 1, 2, 3], [0, 1, 2, 0]).value
        0.25
    """
    predictions, swapped = _paired(predictions=predictions, swapped=swapped)
    return _share(predictions != swapped)


def adversarial_accuracy(predictions: Tensor | Sequence[Classes], labels: Classes) -> Proportion:
    """Share of foregrounds that are classified correctly on every one of a set of backgrounds.

    Xiao et al., 2020, arXiv:2006.09994 ("adversarial backgrounds").

    Args:
        predictions: Predicted classes (N, B): foreground n on background b.
        labels: True classes (N,), integers.

    Returns:
        The share with Wilson's 95 % interval over the foregrounds; NaN for no image.

    Raises:
        TypeError: If the values are no integers.
        ValueError: If the shapes do not fit or there is no background.

    Example:
        >>> adversarial_accuracy([[0, 0, 0], [1, 1, 0]], [0, 1]).value
        0.5
    """
    if not isinstance(predictions, Tensor):
        predictions = torch.stack([_classes(row, what="predictions") for row in predictions])
    true = _classes(labels, what="labels")
    if predictions.ndim != 2 or len(predictions) != len(true) or predictions.shape[1] == 0:
        raise ValueError(
            f"predictions must be (N, B) with N = {len(true)} labels and at least one background, "
            f"not {tuple(predictions.shape)}"
        )
    columns = [_classes(column, what="predictions") for column in predictions.unbind(1)]
    return _share((torch.stack(columns, 1) == true[:, None]).all(1))


def gap_recovery(ours: float, *, plain: float, oracle: float) -> float:
    r"""How much of the way from the plain model to the oracle was gone.

    .. math:: (a_{ours} - a_{plain}) \; / \; (a_{oracle} - a_{plain})

    Args:
        ours: Accuracy on mixed-rand of the model in question.
        plain: That of the plain model.
        oracle: That of the model that is given the true mask.

    Returns:
        1 where ``ours`` reaches the oracle, 0 where it stays at the plain model; it may leave
        [0, 1]. NaN where plain and oracle do not differ.

    Example:
        >>> round(gap_recovery(0.93, plain=0.43, oracle=0.98), 3)
        0.909
    """
    return (ours - plain) / (oracle - plain) if oracle != plain else math.nan


def _share(hits: Tensor) -> Proportion:
    return wilson(int(hits.sum()), images=len(hits))


def _paired(**columns: Classes) -> list[Tensor]:
    read = {name: _classes(values, what=name) for name, values in columns.items()}
    check_lengths(**read)
    return list(read.values())


def _classes(values: Classes, *, what: str) -> Tensor:
    classes = torch.as_tensor(values).detach().cpu()
    if classes.ndim != 1:
        hint = "; take the argmax of logits first" if classes.ndim == 2 else ""
        raise ValueError(f"{what} must be classes (N,), not {tuple(classes.shape)}{hint}")
    if classes.numel() == 0:
        return classes.long()
    if classes.dtype.is_floating_point or classes.dtype.is_complex or classes.dtype == torch.bool:
        raise TypeError(f"{what} must be integers (classes), not {classes.dtype}")
    return classes.long()
