"""The metrics as torchmetrics classes: fed batch by batch, synchronised over processes.

Each class only gathers; the numbers come from the functions. ``compute`` returns a dictionary, for
a value never travels without its chance level and the number of images left out; ``log_dict`` of
Lightning and ``MetricCollection`` take it as it is. Needs the extra ``visattn[train]``.
"""

from visattn.metrics.streaming.background import BackgroundGap, FlipRate
from visattn.metrics.streaming.images import (
    EnergyPointing,
    MaskIoU,
    PointingGame,
    PointingGameByClass,
    RankAccuracy,
    RocAuc,
    TopAreaIoU,
)
from visattn.metrics.streaming.pooled import MaxBoxAccuracy, PixelAveragePrecision
from visattn.metrics.streaming.probes import (
    DeletionArea,
    InsertionArea,
    MaskedConfidenceChange,
    RoadCombined,
)

__all__ = [
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
]
