"""What each picture of an evaluation is asked about: the predicted class, a region, or a box."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from visattn.basics.logits import class_logits
from visattn.recording.asking import Question, gives_classes, question_of


def asked_about(model: nn.Module, images: Tensor, *, batch_size: int) -> Tensor | Question:
    """The classes (N,) that a classifier predicts; of a segmentation or detector the question.

    Args:
        model: In evaluation mode.
        images: (N, C, H, W).
        batch_size: Images a call of a classifier; others see one at a time.

    Raises:
        TypeError: The model gives nothing that can be asked about.
    """
    if gives_classes(model, images[:1]):
        with torch.no_grad():
            logits = [class_logits(model(part)) for part in images.split(batch_size)]
        return torch.cat(logits).argmax(1)
    with torch.no_grad():
        outputs = model(images)
    question = question_of(outputs, size=(images.shape[2], images.shape[3]))
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
