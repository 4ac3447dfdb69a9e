"""Mean and standard deviation of any number of seeds, and how tables say them."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Statistic:
    """Mean and sample standard deviation over training seeds.

    Attributes:
        mean: Mean of the values.
        sd: Sample standard deviation (divided by n - 1); None of a single value.
        values: One a seed.
    """

    mean: float
    sd: float | None
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> "Statistic":
        """The statistic of at least one value.

        Example:
            >>> Statistic.of([0.5, 1.0, 0.0])
            Statistic(mean=0.5, sd=0.5, values=(0.5, 1.0, 0.0))
        """
        sd = statistics.stdev(values) if len(values) > 1 else None
        return cls(statistics.mean(values), sd, tuple(values))

    def text(self, *, scale: float = 1, digits: int = 3, sign: str = "") -> str:
        """Mean ± standard deviation, or the mean alone.

        Args:
            scale: What both are multiplied by.
            digits: Behind the point.
            sign: ``"+"`` to say the sign of what is above 0, too.

        Example:
            >>> Statistic.of([0.9, 1.0, 0.8]).text(), Statistic.of([0.5]).text(scale=100, digits=1)
            ('0.900 ± 0.100', '50.0')
            >>> Statistic.of([-0.01, 0.02, 0.02]).text(scale=100, digits=1, sign="+")
            '+1.0 ± 1.7'
        """
        mean = f"{scale * self.mean:{sign}.{digits}f}".replace("-", "−")
        return mean if self.sd is None else f"{mean} ± {scale * self.sd:.{digits}f}"
