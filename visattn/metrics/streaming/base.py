"""torchmetrics, with an error that names the extra to install."""

try:
    from torchmetrics import Metric
    from torchmetrics.utilities import dim_zero_cat
except ImportError as error:
    raise ImportError(
        "the metric classes need torchmetrics; install it with: pip install 'visattn[train]' "
        "(the functions of visattn.metrics work without it)"
    ) from error

__all__ = ["Metric", "dim_zero_cat"]
