"""Metrics: where a map lies, whether the answer depends on it, what is read of the background.

All are functions of whole batches and need torch alone. Most give one value an image, NaN where it
is undefined: over many batches, torchmetrics' ``MeanMetric(nan_strategy="ignore")`` takes them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
