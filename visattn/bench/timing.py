"""Seconds of several things in turn, so that whatever else the machine does hits all alike."""

import math
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

Name = TypeVar("Name", bound=Hashable)

SHORTEST = 0.02
"""Seconds below which a thing is repeated within a round."""
_LARGEST = 2**25
"""Bytes, as of a large map."""


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of a ratio over the rounds."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        """The median and half of the distance between the quartiles."""
        half = (self.high - self.low) / 2
        shown = f"{half:.0f}" if half >= 10 else f"{half:.2f}".removeprefix("0")
        return f"{number(self.median)} ±{shown}"


def number(ratio: float) -> str:
    """With three decimals near 1, and three digits above.

    Example:
        >>> number(1.0049), number(23.456), number(1512.3)
        ('1.005', '23.5', '1,512')
    """
    if ratio >= 99.95:
        return f"{ratio:,.0f}"
    return f"{ratio:.3f}" if ratio < 2 else f"{ratio:#.3g}"


def interleaved(
    runs: Mapping[Name, Callable[[], object]],
    *,
    rounds: int,
    now: Callable[[], float] = time.perf_counter,
    before: Callable[[], object] = lambda: None,
) -> dict[Name, list[float]]:
    """Seconds of each run in each round; who begins moves on from round to round.

    One round before them doesn't count; it tells how often a short run is repeated, which goes once
    more beforehand. What ``before`` gives at the beginning of a round is held to its end.
    """
    names = list(runs)
    counts = dict.fromkeys(names, 1)
    seconds: defaultdict[Name, list[float]] = defaultdict(list)
    for index in range(-1, rounds) if runs else ():
        held = before()
        first = index % len(names)
        for name in names[first:] + names[:first]:
            if counts[name] > 1:
                runs[name]()  # what is new about the memory isn't measured
            start = now()
            for _ in range(counts[name]):
                runs[name]()
            taken = (now() - start) / counts[name]
            if index >= 0:
                seconds[name].append(taken)
            else:
                counts[name] = math.ceil(SHORTEST / max(taken, 1e-5))
        del held
    return seconds


class Scatter:
    """Takes memory here and there, so that whatever comes next lies elsewhere than before.

    How it lies in the caches makes a pass over a map a third slower, and stays for as long as a
    process allocates the same: rounds would repeat one draw of it, and another process has another.
    """

    def __init__(self) -> None:
        self._chance = random.Random(0)

    def __call__(self) -> list[Tensor]:
        """Some blocks of a CPU's memory, among which others were given back."""
        sizes = [self._chance.randrange(1, _LARGEST) for _ in range(6)]
        blocks = [torch.zeros(size, dtype=torch.uint8, device="cpu") for size in sizes]
        self._chance.shuffle(blocks)
        return blocks[::2]


def spread(times: Sequence[float], *, over: Sequence[float]) -> Spread | None:
    """Of the ratios of the same round; None of no rounds.

    Example:
        >>> print(spread([2.0, 3.0, 9.0], over=[1.0, 1.0, 1.0]))
        3.00 ±3.50
    """
    ratios = [a / b for a, b in zip(times, over, strict=True)]
    if not ratios:
        return None
    low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else 3 * ratios
    return Spread(statistics.median(ratios), max(low, min(ratios)), min(high, max(ratios)))


def clock(device: torch.device) -> Callable[[], float]:
    """What tells the time: with one thread on a CPU, that of the process alone.

    Then what else the machine does isn't counted. Elsewhere it is the wall's, and an accelerator
    finishes what it was given before it is read.
    """
    if device.type == "cpu":
        return time.process_time if torch.get_num_threads() == 1 else time.perf_counter

    def finished() -> float:
        torch.accelerator.synchronize()
        return time.perf_counter()

    return finished
