"""Metrics: where a map lies, whether the answer depends on it, what is read of the background.

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
    worst_group,
)
from visattn.metrics.boxes import (
    BOX_OVERLAPS,
    BoxAccuracy,
    best_over_thresholds,
    box_hits,
    box_overlaps,
    max_box_accuracy,
    whole_image_accuracy,
)
from visattn.metrics.confidence import MaskedConfidence, masked_confidence
from visattn.metrics.curves import Curve, deletion, insertion
from visattn.metrics.imputation import linear_imputation
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
from visattn.metrics.probing import Baseline, baseline_images
from visattn.metrics.randomisation import Randomisation, randomisation_test, rank_correlation
from visattn.metrics.ranking import pixel_average_precision, rank_accuracy, roc_auc
from visattn.metrics.removal import Road, road
from visattn.metrics.sensitivity import (
    RESAMPLES,
    Sensitivity,
    bootstrap_sensitivity,
    relative_foreground_sensitivity,
)
from visattn.metrics.summaries import Summary, mean_over_classes, summarise

if TYPE_CHECKING:
    from visattn.metrics.streaming import (
        BackgroundGap,
        DeletionArea,
        EnergyPointing,
        FlipRate,
        InsertionArea,
        MaskedConfidenceChange,
        MaskIoU,
        MaxBoxAccuracy,
        PixelAveragePrecision,
        PointingGame,
        PointingGameByClass,
        RankAccuracy,
        RoadCombined,
        RocAuc,
        TopAreaIoU,
    )

_STREAMING = (
    "BackgroundGap",
    "DeletionArea",
    "EnergyPointing",
    "FlipRate",
    "InsertionArea",
    "MaskIoU",
    "MaskedConfidenceChange",
    "MaxBoxAccuracy",
    "PixelAveragePrecision",
    "PointingGame",
    "PointingGameByClass",
    "RankAccuracy",
    "RoadCombined",
    "RocAuc",
    "TopAreaIoU",
)

__all__ = [
    "BOX_OVERLAPS",
    "RESAMPLES",
    "BackgroundGap",
    "Baseline",
    "BoxAccuracy",
    "Curve",
    "DeletionArea",
    "Difference",
    "EnergyPointing",
    "FlipRate",
    "InsertionArea",
    "MaskIoU",
    "MaskedConfidence",
    "MaskedConfidenceChange",
    "MaxBoxAccuracy",
    "PixelAveragePrecision",
    "PointingGame",
    "PointingGameByClass",
    "Proportion",
    "Randomisation",
    "RankAccuracy",
    "Road",
    "RoadCombined",
    "RocAuc",
    "Sensitivity",
    "Spread",
    "Summary",
    "TopAreaIoU",
    "WorstGroup",
    "accuracies",
    "accuracy",
    "adversarial_accuracy",
    "background_gap",
    "baseline_images",
    "best_over_thresholds",
    "bootstrap_sensitivity",
    "box_hits",
    "box_overlaps",
    "chance_level",
    "deletion",
    "energy_pointing",
    "flip_rate",
    "gap_recovery",
    "insertion",
    "linear_imputation",
    "mask_iou",
    "masked_confidence",
    "max_box_accuracy",
    "mean_over_classes",
    "mean_std",
    "paired_difference",
    "pixel_average_precision",
    "pointing_game",
    "randomisation_test",
    "rank_accuracy",
    "rank_correlation",
    "relative_foreground_sensitivity",
    "resize_saliency",
    "road",
    "roc_auc",
    "summarise",
    "top_area_iou",
    "whole_image_accuracy",
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
