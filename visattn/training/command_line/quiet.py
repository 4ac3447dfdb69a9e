"""Lightning's messages without those that a user can do nothing about."""

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_POINTLESS_WARNINGS = (
    r".*does not have many workers which may be a bottleneck.*",
    r"You defined a `validation_step` but have no `val_dataloader`.*",
    r".*isinstance\(treespec, LeafSpec\).*",
    r".*The number of training batches \(\d+\) is smaller than the logging interval.*",
    r".*GPU available but not used.*",
    r".*`tensorboardX` has been removed as a dependency.*",
    r".*Experiment logs directory .* exists and is not empty.*",
    r".*callbacks used to create the checkpoint need to be provided.*",
    r".*The dirpath has changed from.*",
    r"You're using the WeightAveraging callback, but loading a checkpoint outside the 'fit'.*",
    r"Found \d+ module\(s\) in eval mode at the start of training.*",
    r"find_unused_parameters=True was specified in DDP constructor, but did not find.*",
    r".*LightningCLI's args parameter is intended to run from within Python.*",
)
_POINTLESS_NOTES = (
    r"[GT]PU available: ",
    r"HPU available: ",
    r".*Tip: For seamless",
    r"Loading `train_dataloader` to estimate",
    r"`Trainer\.fit` stopped",
    r"Seed set to",
    r"Restor(ing|ed) (states|all states)",
    r"Loaded model weights from the checkpoint",
)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """A context in which Lightning says only what matters.

    Its notes on accelerators and on what else one could install are dropped, and so are warnings
    about things that are meant or that nobody can change here. All others pass.
    """
    handlers = [
        handler
        for name in ("lightning.pytorch", "lightning.fabric", "lightning")
        for handler in logging.getLogger(name).handlers
    ]
    for handler in handlers:
        handler.addFilter(_matters)
    try:
        with warnings.catch_warnings():
            for message in _POINTLESS_WARNINGS:
                warnings.filterwarnings("ignore", message=message)
            # Lightning's command line calls jsonargparse in ways that are going out of use.
            warnings.filterwarnings("ignore", message=r"(?s).*", module=r"lightning\.pytorch\.cli")
            warnings.filterwarnings("ignore", message=r"(?s).*JSONARGPARSE_DEPRECATION_WARNINGS")
            yield
    finally:
        for handler in handlers:
            handler.removeFilter(_matters)


def _matters(entry: logging.LogRecord) -> bool:
    return not any(re.match(pattern, entry.getMessage()) for pattern in _POINTLESS_NOTES)
