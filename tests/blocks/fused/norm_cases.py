"""Normalisations with gates behind them, and how far two forms of them lie apart."""

import copy

import torch
from torch import nn

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def case(kind, shape, *, affine=True, zero=False, ties=False, seed=0):
    """A normalisation, a gate, a map, and a gradient for the output."""
    torch.manual_seed(seed)
    norm, block = nn.BatchNorm2d(shape[1], affine=affine), kind(shape[1])
    for parameter in (*norm.parameters(), *block.parameters()):
        nn.init.normal_(parameter, std=0.7)
    if zero:
        nn.init.zeros_(norm.weight)
    u = torch.randn(shape) * 2 + 5
    return norm, block, (u.round() if ties else u), torch.randn(shape)


def results(form, norm, block, u, d, *, dtype=torch.float32):
    """Output, gradients and statistics of one form."""
    norm, block = copy.deepcopy(norm), copy.deepcopy(block)
    x = u.to(dtype, copy=True).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
        y = form(norm, block, x)
    y.backward(d.to(y.dtype))
    parameters = [p for module in (norm, block) for p in module.parameters()]
    buffers = [b.float() for module in (norm, block) for b in module.buffers()]
    return [y.detach(), x.grad, *(p.grad for p in parameters), *buffers]


def plain(norm, block, x):
    return block.forward(norm(x))


def distances(found, wanted):
    """Largest difference over the largest value, of each."""
    return [
        float((f.float() - w.float()).abs().max() / w.float().abs().max().clamp(min=1e-3))
        for f, w in zip(found, wanted, strict=True)
    ]
