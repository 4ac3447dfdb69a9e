"""A moving average of a network's weights, which is what its training leaves."""

from typing import final

from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor

from visattn.training.checks import check_in


@final
class AveragedWeights(WeightAveraging):
    r"""Validates, keeps and leaves an exponential moving average of the weights.

    With :math:`w_t` the weights after step t = 0, 1, ... and :math:`a_0 = w_0`,

    .. math:: a_t = d_t a_{t-1} + (1 - d_t) w_t, \quad d_t = \min(d, (1 + t) / (10 + t)),

    so that the first steps, of which little is worth keeping, are soon forgotten. Buffers, such as
    the running statistics of batch normalisation, are averaged alike. A checkpoint holds the
    average as the network, and the weights beside it, with which a resumed training goes on.

    From YAML::

        trainer:
          callbacks:
            - class_path: visattn.training.AveragedWeights
              init_args:
                decay: 0.99

    Args:
        decay: d, in [0, 1): the average is over about the last 1 / (1 - d) steps.

    Raises:
        ValueError: If ``decay`` is out of its range.

    Source: Polyak and Juditsky, Acceleration of Stochastic Approximation by Averaging, 1992; the
    rising decay is that of TensorFlow's ``ExponentialMovingAverage``.

    Example:
        >>> AveragedWeights(decay=1.0)
        Traceback (most recent call last):
        ValueError: decay must be in [0, 1), got 1.0.
    """

    def __init__(self, *, decay: float = 0.99) -> None:
        check_in("[0, 1)", decay=decay)
        self.decay = decay
        super().__init__(avg_fn=self._averaged)

    def _averaged(self, average: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        steps = float(count)  # averaged so far
        decay = min(self.decay, (1 + steps) / (10 + steps))
        return average * decay + current * (1 - decay)
