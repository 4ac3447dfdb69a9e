"""How long the steps of a training wait for data."""

import time
from collections import defaultdict
from typing import final

from lightning.pytorch.profilers import Profiler

_FETCH, _STEP = "[_TrainingEpochLoop].train_dataloader_next", "run_training_batch"
MUCH, LONG = 0.05, 10.0
"""Share of the time above which more workers may help, in a training of so many seconds."""


@final
class DataWaits(Profiler):
    """Seconds in which a training waits for its next batch, and in which it computes.

    Validation and checkpoints are neither. The first batch, before which the workers start, is
    counted for itself: no further worker would bring it sooner. On a GPU a step returns before it
    is done, so the wait for data is what isn't hidden behind it.

    Example:
        >>> waits = DataWaits()
        >>> waits.first = 0.31
        >>> waits.seconds.update({_FETCH: 10.0, _STEP: 30.0})
        >>> waits.sentence(workers=2, cores=8)
        'a step waited for data 25.0 % of the time, the first 0.3 s: try --data.workers 4'
        >>> waits.sentence(workers=2, cores=2)
        'a step waited for data 25.0 % of the time, the first 0.3 s'
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.first: float | None = None
        self._begun: dict[str, float] = {}

    def start(self, action_name: str) -> None:
        """Note when one of the two begins."""
        if action_name in (_FETCH, _STEP):
            self._begun[action_name] = time.perf_counter()

    def stop(self, action_name: str) -> None:
        """Add what it took."""
        if action_name not in self._begun:
            return
        taken = time.perf_counter() - self._begun.pop(action_name)
        if action_name == _FETCH and self.first is None:
            self.first = taken
        else:
            self.seconds[action_name] += taken

    def share(self) -> float | None:
        """Of fetching and computing, that of fetching, but for the first; None before a step."""
        steps = self.seconds[_STEP]
        return self.seconds[_FETCH] / (self.seconds[_FETCH] + steps) if steps else None

    def sentence(self, *, workers: int | None, cores: int) -> str:
        """The share in words, with what helps if it is much; empty before a step."""
        share = self.share()
        if share is None:
            return ""
        said = f"a step waited for data {100 * share:.1f} % of the time"
        said += "" if self.first is None else f", the first {self.first:.1f} s"
        brief = sum(self.seconds.values()) < LONG
        if share < MUCH or brief or workers is None or workers >= cores:
            return said
        return f"{said}: try --data.workers {min(2 * workers or 2, cores)}"
