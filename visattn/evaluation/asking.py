"""What each picture of an evaluation is asked about: a class, a region, or a box."""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, final

import torch
from torch import Tensor, nn

from visattn.basics.logits import class_logits, main_output
from visattn.recording.asking import Asked, gives_classes, question_of
from visattn.recording.network_maps import asked_classes
from visattn.recording.questions import Question


def asked_about(
    model: nn.Module,
    images: Tensor,
    *,
    batch_size: int,
    asked: Asked | None = None,
    names: Sequence[str] | None = None,
) -> Tensor | Question:
    """The classes (N,) that a classifier predicts; of a segmentation or detector the question.

    Args:
        model: In evaluation mode.
        images: (N, C, H, W).
        batch_size: Images a call of a classifier; others see one at a time.
        asked: What to ask about instead.
        names: Names of the classes, for the words of the question.

    Raises:
        TypeError: The model gives nothing that can be asked about.
        ValueError: There is no such class, or a classifier is asked about a rectangle.
    """
    if gives_classes(model, images[:1]):
        with torch.no_grad():
            logits = [class_logits(model(part)) for part in images.split(batch_size)]
        together = torch.cat(logits)
        chosen = asked_classes(together, asked)
        return together.argmax(1) if chosen is None else chosen
    with torch.no_grad():
        outputs = model(images)
    size = (images.shape[2], images.shape[3])
    question = question_of(outputs, size=size, asked=asked, names=names)
    if question is None:
        raise TypeError("the model gives logits of classes for some images and not for others")
    return question


def as_classifier(
    model: nn.Module, question: Question, *, picture: int
) -> Callable[[Tensor], Tensor]:
    """Versions of one picture (n, C, H, W) to logits (n, 2), whose softmax is no and yes.

    Yes is the mean probability of the class over the region, or the score of the box, see
    `Question.share`; so what is measured of classes is measured of these.
    """

    def logits(versions: Tensor) -> Tensor:
        yes = torch.cat(
            [question.share(model(version[None]), picture=picture) for version in versions]
        ).double()
        return torch.stack([1 - yes, yes], 1).log()

    return logits


@final
class Remembered:
    """A classifier that answers each image once, and remembers it: many metrics show the same.

    Args:
        model: Images (N, C, H, W) to logits, each image by itself, as in evaluation mode.
    """

    def __init__(self, model: Callable[[Tensor], Any]) -> None:
        self._model = model
        self._known: dict[bytes, Tensor] = {}

    def __call__(self, images: Tensor) -> Any:
        """Logits (N, K) or (N,), or whatever else the model gives."""
        names = [_fingerprint(image) for image in images]
        fresh = {name: row for row, name in enumerate(names) if name not in self._known}
        if fresh:
            outputs = self._model(images[list(fresh.values())])
            logits = main_output(outputs)
            if logits is None or logits.ndim not in (1, 2) or len(logits) != len(fresh):
                return self._model(images)
            self._known.update(zip(fresh, logits, strict=True))
        return torch.stack([self._known[name] for name in names])


def _fingerprint(image: Tensor) -> bytes:
    bytes_of = image.detach().contiguous().view(torch.uint8).cpu().numpy()
    return blake2b(bytes_of.tobytes(), digest_size=16).digest()
