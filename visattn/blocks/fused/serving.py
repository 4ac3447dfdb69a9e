"""Which gates run by the passes over a map, and whether a GPU's kernels can be trusted."""

import warnings
from functools import cache
from typing import Any

import torch
from torch import nn

from visattn.blocks.fused.formulas import ByMean, ByMeanAndMax, Formula
from visattn.blocks.fused.norm_gates import gate_after_norm

FORMULAS: tuple[type[Formula], ...] = (ByMean, ByMeanAndMax)
"""Of the gates that can run like this."""

_TYPES = (torch.float32, torch.float16, torch.bfloat16)


def serves(formula: type[Formula], block: nn.Module, u: torch.Tensor) -> bool:
    """Whether a gate of that formula can run by Triton on a map, as far as this GPU was seen."""
    kind: Any = type(block)
    return formula in FORMULAS and u.dtype in _TYPES and _agrees(formula, kind, u.device)


@cache
def _agrees(formula: Any, kind: Any, device: torch.device) -> bool:
    """Whether, on a small map, the kernels run on a device and give what the plain form gives."""
    from visattn.blocks.fused import triton_kernels

    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        block = kind(24).float().to(device).requires_grad_(False)
        u = torch.randn(3, 24, 7, 5, dtype=torch.float32).to(device)
    norm = nn.BatchNorm2d(24, device=device, dtype=torch.float32)
    found = []
    try:
        with torch.enable_grad(), torch.autocast(device.type, enabled=False):
            for fused in (True, False):
                x = u.clone().requires_grad_()
                y = (
                    gate_after_norm(norm, block, x, formula, triton_kernels)
                    if fused
                    else block.forward(norm(x))
                )
                found += [y.detach(), *torch.autograd.grad(y, x, u.flip(0))]
        same = all(torch.allclose(found[i], found[i + 2], rtol=1e-3, atol=1e-4) for i in (0, 1))
        fault = "they don't give what the plain form gives" if not same else ""
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"
    if fault:
        warnings.warn(
            f"visattn's Triton kernels for {kind.__name__} aren't used on {device}: {fault}",
            stacklevel=2,
        )
    return not fault
