"""Lightning's messages without those that a user can do nothing about."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_POINTLESS = (
    r".*does not have many workers which may be a bottleneck.*",
    r".*isinstance\(treespec, LeafSpec\).*",
    r".*The number of training batches \(\d+\) is smaller than the logging interval.*",
    r".*GPU available but not used.*",
    r".*Checkpoint directory .* exists and is not empty.*",
    r".*tensorboardX.* has been removed as a dependency.*",
    r".*Experiment logs directory .* exists and is not empty.*",
    r".*`ModelCheckpoint\(save_last=True.*",
    r".*You're resuming from a checkpoint that ended before the epoch ended.*",
    r".*LightningCLI's args parameter is intended to run from within Python.*",
    r".*The dirpath has changed from.*",
)
_LOGGERS = ("lightning.pytorch", "lightning.fabric")


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """A context in which Lightning tells what matters.

    Its notes (which accelerators there are, what else one could install) are dropped, and so are
    warnings about things that are meant or that nobody can change here. Other warnings pass.
    """
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    try:
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.WARNING)
        with warnings.catch_warnings():
            for message in _POINTLESS:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
