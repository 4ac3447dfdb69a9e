"""What a network that gives no classes is asked about in each picture: a region, or a box.

A segmentation is asked about a class over its own region, a detector about a box that it found; so
class activation, pictures and metrics of both have one score an image.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visattn.basics.logits import main_output
from visattn.basics.suggestions import nearest
from visattn.recording.questions import (
    Box,
    Question,
    Region,
    class_name,
    covered_cells,
    logit_planes,
)
from visattn.recording.targets import overlaps

_NUMBER = r"-?\d+(?:\.\d+)?"
_RECTANGLE = re.compile(rf"(.*?):({_NUMBER}(?:,{_NUMBER}){{3}})", re.DOTALL)
_BACKGROUND = {"background", "__background__"}
_LISTED = 3

LEAST_OVERLAP = 0.5
"""The IoU that a detector's box must have with the rectangle that is asked for."""


@final
@dataclass(frozen=True)
class Asked:
    """What is asked about in every picture.

    Attributes:
        label: The class.
        box: Left, top, right and bottom in the pixels of the picture that the network gets.
    """

    label: int
    box: tuple[float, float, float, float] | None = None

    @classmethod
    def of(cls, words: str, *, names: Sequence[str] | None = None) -> "Asked":
        """From ``CLASS`` or ``CLASS:LEFT,TOP,RIGHT,BOTTOM``, the class by number or name.

        Raises:
            ValueError: There is no such class, or no such rectangle.

        Example:
            >>> Asked.of("3:10,20,50,60")
            Asked(label=3, box=(10.0, 20.0, 50.0, 60.0))
            >>> Asked.of("cat", names=["dog", "cat"])
            Asked(label=1, box=None)
        """
        found = _RECTANGLE.fullmatch(words)
        label, box = (found[1], found[2]) if found else (words, None)
        if label.isdecimal():
            number = int(label)
        elif names is not None and label in names:
            number = list(names).index(label)
        else:
            known = nearest(label, names=list(names)) if names else "; its classes have no names"
            raise ValueError(
                f"a target is CLASS or CLASS:LEFT,TOP,RIGHT,BOTTOM, such as 3 or 3:10,20,50,60; "
                f"there is no class {label!r}{known}"
            )
        if box is None:
            return cls(number)
        left, top, right, bottom = map(float, box.split(","))
        if not (0 <= left < right and 0 <= top < bottom):
            raise ValueError(
                "a rectangle is left, top, right and bottom in pixels, left below right and top"
                f" below bottom, not {box}"
            )
        return cls(number, (left, top, right, bottom))


def question_of(
    outputs: Any,
    *,
    size: tuple[int, int],
    asked: Asked | None = None,
    names: Sequence[str] | None = None,
) -> Question | None:
    """What a segmentation or detector is asked about in the pictures to which it said this.

    Of a segmentation the class with the largest predicted region, another than the background (by
    its name, else class 0) where another is predicted, over that region; or the class that is
    asked for over its predicted region, or over a rectangle. Of a detector the box with the highest
    score, of the class that is asked for if one is; or the box of that class that covers a
    rectangle best, by an IoU of 0.5 at least.

    Args:
        outputs: What the network said: logits (N, K, h, w), alone, as ``"out"`` or as ``logits``;
            or, of torchvision's detectors, a dictionary an image with boxes, labels and scores.
        size: Height and width of the pictures.
        asked: What to ask about.
        names: Names of the classes.

    Returns:
        The question; None for logits (N, K) of classes.

    Raises:
        TypeError: The outputs are nothing of the kind.
        ValueError: There is no such class.

    Example:
        >>> logits = torch.zeros(1, 3, 1, 4)
        >>> logits[0, 2, 0, 2:] = 1
        >>> question_of(logits, size=(2, 8)).words
        ['class 2, predicted on 50 % of the picture']
    """
    if _are_detections(outputs):
        return _box(outputs, size=size, asked=asked, names=names)
    logits = main_output(outputs)
    if logits is not None and logits.ndim == 4 and logits.shape[1] and min(logits.shape[2:]) > 0:
        return _region(logit_planes(outputs), size=size, asked=asked, names=names)
    if logits is not None and logits.ndim in (1, 2):
        return None
    came = type(outputs).__name__ if logits is None else f"logits {tuple(logits.shape)}"
    if getattr(outputs, "pred_boxes", None) is not None:
        raise TypeError(
            f"the network is a detector that answers by queries, as DETR does ({came}), which no "
            "command asks. In Python visattn.class_activation does, by a target function such as "
            "lambda outputs: outputs.logits[:, QUERY, CLASS]"
        )
    raise TypeError(
        f"the network returned {came}: expected logits (N, K) of classes, logits (N, K, h, w) of a "
        "segmentation, or what torchvision's detectors give, a dictionary an image with boxes, "
        "labels and scores. Anything else is asked about in Python by a target function of "
        "visattn.class_activation"
    )


def gives_classes(model: nn.Module, images: Tensor) -> bool:
    """Whether a model gives logits (N, K) of classes, and no segmentation or boxes.

    Args:
        model: In evaluation mode.
        images: Some (N, C, H, W).

    Raises:
        TypeError: It gives nothing of the kind, see `question_of`.
    """
    with torch.inference_mode():
        outputs = model(images)
    return question_of(outputs, size=(images.shape[2], images.shape[3])) is None


def _region(
    logits: Tensor, *, size: tuple[int, int], asked: Asked | None, names: Sequence[str] | None
) -> Region:
    logits = logits.detach()
    count, known = logits.shape[:2]
    predicted = logits.argmax(1)
    if asked is None:
        areas = F.one_hot(predicted, known).sum((1, 2))
        others = areas.clone()
        others[:, _background(names)] = 0
        labels = torch.where(others.any(1), others.argmax(1), areas.argmax(1))
    elif asked.label >= known:
        raise ValueError(f"the network has the classes 0 to {known - 1}, not {asked.label}")
    else:
        labels = torch.full((count,), asked.label, device=logits.device)
    cells = predicted == labels[:, None, None]
    if asked is not None and asked.box is not None:
        cells = covered_cells(torch.tensor(asked.box), size, cells=cells.shape[1:]).to(cells.device)
        cells = cells.expand(count, -1, -1)
    words, instead = [], []
    for label, part, seen in zip(labels.tolist(), cells, predicted, strict=True):
        instead.append("" if part.any() else _classes_seen(seen, names))
        name = class_name(label, names)
        share = f"{float(part.float().mean()):.0%}".replace("%", " %")
        if asked is not None and asked.box is not None:
            words.append(f"{name} in the outlined rectangle")
        else:
            there = f"predicted on {share} of the picture"
            words.append(f"{name}, {there if part.any() else 'predicted nowhere'}")
    return Region(labels, cells, size=size, words=words, instead=instead)


def _box(
    outputs: Sequence[Mapping[str, Tensor]],
    *,
    size: tuple[int, int],
    asked: Asked | None,
    names: Sequence[str] | None,
) -> Box:
    boxes, labels, words, instead = [], [], [], []
    for found in outputs:
        scores = found["scores"].detach().clone()
        fits = torch.ones_like(scores, dtype=torch.bool)
        if asked is not None:
            fits = found["labels"] == asked.label
        if asked is not None and asked.box is not None:
            wanted = torch.tensor([asked.box]).to(found["boxes"])
            covered = overlaps(found["boxes"].detach(), wanted[0])
            fits &= covered >= LEAST_OVERLAP
            best = covered.where(fits, -1)
        else:
            best = scores.where(fits, -1)
        kind = "" if asked is None else f" of {class_name(asked.label, names)}"
        if not bool(fits.any()):
            where = " there" if asked is not None and asked.box is not None else ""
            boxes.append(torch.zeros(4))
            labels.append(-1)
            words.append(f"no box{kind} is found{where}")
            instead.append(_boxes_seen(found, asked, names))
            continue
        place = int(best.argmax())
        boxes.append(found["boxes"][place].detach().float().cpu())
        labels.append(int(found["labels"][place]))
        words.append(f"box of {class_name(labels[-1], names)}, score {float(scores[place]):.2f}")
        instead.append("")
    together, classes = torch.stack(boxes), torch.tensor(labels)
    return Box(together, classes, size=size, words=words, instead=instead)


def _boxes_seen(
    found: Mapping[str, Tensor], asked: Asked | None, names: Sequence[str] | None
) -> str:
    """The boxes of one picture in words: those of the class, and those that cover most, first."""
    count = len(found["scores"])
    if not count:
        return "no box at all (a detector gives none below a score of its own)"
    boxes, scores, labels = (found[key].detach().cpu() for key in ("boxes", "scores", "labels"))
    order, covered = scores.clone(), None
    if asked is not None and asked.box is not None:
        covered = overlaps(boxes, torch.tensor(asked.box).to(boxes))
        order = covered + 2 * (labels == asked.label)
    said = []
    for place in order.argsort(descending=True, stable=True)[:_LISTED].tolist():
        at = ",".join(f"{side:.0f}" for side in boxes[place].tolist())
        iou = "" if covered is None else f", IoU {float(covered[place]):.2f}"
        name = class_name(int(labels[place]), names)
        said.append(f"{name} at {at} (score {float(scores[place]):.2f}{iou})")
    more = f"; and {count - _LISTED} more" if count > _LISTED else ""
    return "; ".join(said) + more


def _classes_seen(predicted: Tensor, names: Sequence[str] | None) -> str:
    """The classes of the places (h, w) of one picture in words, the largest first."""
    labels, counts = predicted.flatten().unique(return_counts=True)
    order = counts.argsort(descending=True, stable=True)[:_LISTED]
    shares = counts[order] / predicted.numel()
    return "; ".join(
        f"{class_name(int(labels[row]), names)} on {float(share):.0%}".replace("%", " %")
        for row, share in zip(order.tolist(), shares, strict=True)
    )


def _are_detections(outputs: Any) -> bool:
    return (
        isinstance(outputs, Sequence)
        and len(outputs) > 0
        and all(
            isinstance(found, Mapping) and {"boxes", "labels", "scores"} <= set(found)
            for found in outputs
        )
    )


def _background(names: Sequence[str] | None) -> list[int]:
    if names is None:
        return [0]
    return [place for place, name in enumerate(names) if name.lower() in _BACKGROUND]
