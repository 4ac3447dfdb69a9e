"""Whether what a network says depends on what a map marks, by every metric."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from visattn.evaluation.asking import Remembered, as_classifier
from visattn.metrics import Baseline, deletion, insertion, masked_confidence, road
from visattn.recording.questions import Question


def answering(model: nn.Module, asked: Tensor | Question) -> list[Callable[[Tensor], Any]]:
    """What metrics ask: the classifier, or a question's yes and no for each picture."""
    if isinstance(asked, Tensor):
        return [Remembered(model)]
    rows = range(len(asked.found))
    return [Remembered(as_classifier(model, asked, picture=row)) for row in rows]


def dependence(
    answers: Sequence[Callable[[Tensor], Any]],
    images: Tensor,
    maps: Tensor,
    asked: Tensor | Question,
    *,
    multilabel: bool,
    **options: Any,
) -> dict[str, Tensor]:
    """Each metric of one map a picture, (N,) by name.

    Args:
        answers: Those of `answering`.
        images: (N, C, H, W).
        maps: (N, H, W).
        asked: The classes (N,), or the question of a segmentation or detector; NaN where it has
            nothing to ask about.
        multilabel: The logits are labels that hold each by itself.
        **options: Baselines, steps, shares, seed and batch size, see `evaluate_maps`.
    """
    if isinstance(asked, Tensor):
        return _measured(answers[0], images, maps, asked, multilabel=multilabel, **options)
    yes, parts = torch.ones(1, dtype=torch.long), []
    for row, answer in enumerate(answers):
        one = slice(row, row + 1)
        found = _measured(answer, images[one], maps[one], yes, multilabel=False, **options)
        if not bool(asked.found[row]):
            found = {name: torch.full_like(value, torch.nan) for name, value in found.items()}
        parts.append(found)
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _measured(
    model: Callable[[Tensor], Any],
    images: Tensor,
    maps: Tensor,
    classes: Tensor,
    *,
    deletion_baseline: Baseline,
    insertion_baseline: Baseline,
    steps: int,
    shares: Sequence[float],
    seed: int,
    multilabel: bool,
    batch_size: int,
) -> dict[str, Tensor]:
    asked: Any = {"classes": classes, "multilabel": multilabel, "batch_size": batch_size}
    pixels = images.shape[2] * images.shape[3]
    path = {**asked, "step": -(-pixels // steps)}
    shown = masked_confidence(model, images, maps, **asked)
    deleted = deletion(model, images, maps, baseline=deletion_baseline, **path)
    inserted = insertion(model, images, maps, baseline=insertion_baseline, **path)
    return {
        "deletion": deleted.area,
        "flipping": deleted.drop,
        "insertion": inserted.area,
        "drop": shown.drop,
        "increase": shown.increase.double(),
        "road": road(model, images, maps, shares=shares, seed=seed, **asked).combined,
    }
