"""What a model says to the pictures, the objects alone and the backgrounds alone."""

from typing import Any

import torch
from torch import Tensor, nn

from visattn.basics.logits import class_probabilities, main_output
from visattn.report_page.contents import Answer
from visattn.report_page.subjects import Scenes, Subject

LISTED = 5
"""So many of the likeliest classes are kept where there are many."""


def answers_of(
    subject: Subject, scenes: Scenes, logits: Tensor, *, batch_size: int
) -> list[Answer]:
    """What the model says to the pictures, the objects alone and the backgrounds alone.

    ``logits`` (N, K) are its answers to the whole pictures.

    Raises:
        ValueError: If a label is none of the model's classes.
    """
    highest = int(scenes.labels.max())
    if highest >= max(2, logits.shape[1]):
        raise ValueError(
            f"labels go up to {highest}, but {type(subject.model).__name__} knows the classes 0 to"
            f" {max(2, logits.shape[1]) - 1}"
        )
    masked, multilabel = scenes.masked, subject.multilabel
    whole = class_probabilities(logits, multilabel=multilabel)
    shares = {"whole": whole}
    for kind, images in (("object", scenes.objects), ("background", scenes.backgrounds)):
        shares[kind] = whole.clone()
        if masked.any():
            batches = images[masked].split(batch_size)
            found = [logits_of(subject.model, subject.normalised(batch)) for batch in batches]
            shares[kind][masked] = class_probabilities(torch.cat(found), multilabel=multilabel)
    few = whole.shape[1] if whole.shape[1] <= 2 * LISTED else LISTED
    answers = []
    for row, label in enumerate(scenes.labels.tolist()):
        of_row = {
            kind: rows[row] for kind, rows in shares.items() if kind == "whole" or masked[row]
        }
        top = {place for rows in of_row.values() for place in rows.topk(few).indices.tolist()}
        if label >= 0:
            top.add(label)
        classes = sorted(top, key=lambda place: -float(whole[row, place]))
        listed = {kind: rows[classes].tolist() for kind, rows in of_row.items()}
        answers.append(
            Answer(classes, listed["whole"], listed.get("object"), listed.get("background"))
        )
    return answers


def logits_of(model: nn.Module, images: Tensor) -> Tensor:
    """Logits (N, K) on the CPU, in single precision.

    Raises:
        TypeError: If the model returns something else.
    """
    with torch.inference_mode():
        return checked_logits(model(images), model=model, images=images)


def checked_logits(outputs: Any, *, model: nn.Module, images: Tensor) -> Tensor:
    """What a model gave for images, as logits (N, K) on the CPU, in single precision.

    Raises:
        TypeError: If it is something else.
    """
    logits = main_output(outputs)
    if logits is not None and logits.shape == (len(images),):
        logits = logits[:, None]
    if logits is None or logits.ndim != 2 or len(logits) != len(images):
        shape = type(outputs).__name__ if logits is None else tuple(logits.shape)
        raise TypeError(
            f"a model of a report must return logits (N, K) for images (N, 3, H, W); for"
            f" {tuple(images.shape)} {type(model).__name__} returned {shape}"
        )
    return logits.float().cpu().clone()
