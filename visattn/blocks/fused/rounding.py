"""What a normalisation gives on a CPU, to the bit: a gate that is 1 changes nothing then.

PyTorch rounds in ways of its own, which differ from version to version, so that it is asked.
"""

import itertools
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from visattn.blocks.fused.channels import Norm, constants, share_of
from visattn.blocks.fused.library import call, parts_of

_by_pytorch: Any = torch.batch_norm_update_stats


def at_rest(norm: Norm) -> tuple[Tensor, Tensor]:
    """The a and b (C,) that PyTorch rounds in a way of its own: x of u = 1 with b = 0, of u = 0."""
    assert norm.running is not None
    mean, variance = norm.running
    zeros, ones = (t[None, :, None, None] for t in constants(len(mean), mean.device))
    none, on = zeros.flatten(), torch.backends.cudnn.enabled
    rest = False, 0.0, norm.eps, on
    a = torch.batch_norm(ones, norm.weight, None, none, variance, *rest)
    b = torch.batch_norm(zeros, norm.weight, norm.bias, mean, variance, *rest)
    return a.flatten(), b.flatten()


def statistics(
    u: Tensor, means: Tensor, squares: Tensor, learner: nn.BatchNorm2d | None
) -> tuple[Tensor, Tensor]:
    """As `visattn.blocks.fused.channels.statistics`."""
    running: Any = (None, None)
    share = None if learner is None else share_of(learner)
    if learner is not None and share is not None:
        running = learner.running_mean, learner.running_var
    plain = [t is None or (t.dtype is torch.float32 and t.is_contiguous()) for t in running]
    ours = all(plain) and u.is_contiguous() and _adds_up_like_pytorch()
    run = _in_c if ours else _by_pytorch
    mean, variance = run(u, running[0], running[1], share or 0.0)
    return mean.double(), variance.double()


def _in_c(u: Tensor, mean: Any, variance: Any, share: float) -> tuple[Tensor, Tensor]:
    """What ``torch.batch_norm_update_stats`` gives and does to running statistics, if any."""
    count, channels, height, width = u.shape
    found = u.new_empty((2, channels)).unbind()
    numbers = count, channels, height * width, float(share), 1.0 - share
    parts = parts_of(channels // 8, u)
    call("statistics", channels, numbers, u, *found, mean, variance, parts=parts)
    return found[0], found[1]


@cache
def _adds_up_like_pytorch() -> bool:
    """Whether this PyTorch adds numbers in the order that `_in_c` has."""
    many = torch.arange(3 * 99 * 20, dtype=torch.float64, device="cpu")
    many = many.mul(0.618).frac().view(3, 99, 4, 5)
    u = (many - 0.5).mul(1e9).float()
    u = torch.cat((u, -u.flip(0, 2), many.float()), 2)  # sums whose bits tell the order
    found = []
    for run, x in itertools.product((_in_c, _by_pytorch), (u, many.float())):
        running = x[0, :, -1, 0].clone(), x[1, :, -1, 1].clone()
        found.append((*run(x, *running, 0.3), *running))
    ours, theirs = itertools.chain(*found[:2]), itertools.chain(*found[2:])
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
