"""Normalisations that take a single value a channel or group, and layers with them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visattn.basics.leaves import leaf_module


@leaf_module
class SafeBatchNorm2d(nn.BatchNorm2d):
    """``nn.BatchNorm2d`` that also trains on a single value a channel.

    A map of one place in a batch of one, such as after a global pool, has no variance, and
    ``nn.BatchNorm2d`` raises an error in training. Here it is normalised with the running
    statistics, as in evaluation, and they stay as they are. In all other cases, and in its
    parameters, it is ``nn.BatchNorm2d``.

    Example:
        >>> import torch
        >>> SafeBatchNorm2d(4).train()(torch.randn(1, 4, 1, 1)).shape
        torch.Size([1, 4, 1, 1])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, H, W)."""
        if self.training and x.numel() > x.shape[1]:
            return self._trained(x)
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )

    @torch.jit.unused
    def _trained(self, x: Tensor) -> Tensor:
        """Normalise with the statistics of a batch, and learn them; not in ``torch.jit.script``."""
        return super().forward(x)


@leaf_module
class SafeGroupNorm(nn.GroupNorm):
    """``nn.GroupNorm`` that also takes a single value a group, which becomes the bias.

    Example:
        >>> import torch
        >>> SafeGroupNorm(4, 4)(torch.randn(1, 4, 1, 1)).abs().max().item() < 1e-3
        True
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, ...)."""
        return torch.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


def with_norm(convolution: nn.Conv2d) -> nn.Sequential:
    """A convolution, `SafeBatchNorm2d` and a ReLU."""
    norm = SafeBatchNorm2d(convolution.out_channels)
    return nn.Sequential(convolution, norm, nn.ReLU(inplace=True))
