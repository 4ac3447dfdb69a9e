"""Metrics: where a map lies, and whether a classifier reads the background.

The functions need torch alone. The classes that gather batches (``MaskIoU`` and its like) need
torchmetrics, which comes with the extra ``visattn[train]``; they are imported when first asked for.
"""

from typing import TYPE_CHECKING, Any

from visattn.metrics.background import (
    WorstGroup,
    accuracies,
    accuracy,
    adversarial_accuracy,
    background_gap,
    flip_rate,
    gap_recovery,
    relative_foreground_sensitivity,
    worst_group,
)
from visattn.metrics.inputs import resize_saliency
from visattn.metrics.intervals import (
    Difference,
    Proportion,
    Spread,
    mean_std,
    paired_difference,
    wilson,
)
from visattn.metrics.localisation import (
    chance_level,
    energy_pointing,
    mask_iou,
    pointing_game,
    top_area_iou,
)
from visattn.metrics.ranking import pixel_average_precision, rank_accuracy, roc_auc
from visattn.metrics.summaries import Summary, mean_over_classes, summarise

if TYPE_CHECKING:
    from visattn.metrics.streaming import (
        BackgroundGap,
        EnergyPointing,
        FlipRate,
        MaskIoU,
        PixelAveragePrecision,
        PointingGame,
        RankAccuracy,
        TopAreaIoU,
    )

_STREAMING = (
    "BackgroundGap",
    "EnergyPointing",
    "FlipRate",
    "MaskIoU",
    "PixelAveragePrecision",
    "PointingGame",
    "RankAccuracy",
    "TopAreaIoU",
)

__all__ = [
    "BackgroundGap",
    "Difference",
    "EnergyPointing",
    "FlipRate",
    "MaskIoU",
    "PixelAveragePrecision",
    "PointingGame",
    "Proportion",
    "RankAccuracy",
    "Spread",
    "Summary",
    "TopAreaIoU",
    "WorstGroup",
    "accuracies",
    "accuracy",
    "adversarial_accuracy",
    "background_gap",
    "chance_level",
    "energy_pointing",
    "flip_rate",
    "gap_recovery",
    "mask_iou",
    "mean_over_classes",
    "mean_std",
    "paired_difference",
    "pixel_average_precision",
    "pointing_game",
    "rank_accuracy",
    "relative_foreground_sensitivity",
    "resize_saliency",
    "roc_auc",
    "summarise",
    "top_area_iou",
    "wilson",
    "worst_group",
]


def __getattr__(name: str) -> Any:
    if name in _STREAMING:
        from visattn.metrics import streaming

        return getattr(streaming, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
