"""The one place that decides for each call whether a gate runs in its fused or its plain form.

The plain form runs, which is the gate's ``forward`` behind ordinary calls, wherever something is to
see or to follow what is inside: in compiled, exported, traced and scripted code, under
``torch.func`` and forward-mode gradients, with a hook on the gate, the normalisation or anything in
them (so in a recording), with parts that are not our own, and after ``visattn.fused(False)``.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from itertools import pairwise
from types import FunctionType
from typing import Any, TypeGuard, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from visattn.blocks.fused import compiled, native
from visattn.blocks.fused.bare import is_bare, is_plain, is_unseen, stays_bare
from visattn.blocks.fused.formulas import Again, ByMean, ByMeanAndMax, Formula
from visattn.blocks.fused.kept import kept_apart, release_given
from visattn.blocks.fused.norm_gates import gate_after_norm
from visattn.blocks.fused.serving import FORMULAS, serves
from visattn.blocks.fused.sources import Itself, normalised
from visattn.blocks.fused.switch import is_fused
from visattn.blocks.standing import Unit, block_of

M = TypeVar("M", bound=type[nn.Module])

_FORMULAS: dict[type[nn.Module], type[Formula]] = {}
_MADE_OF: dict[type[nn.Module], Mapping[str, type[nn.Module]]] = {}
_PARTS = (nn.Conv1d, nn.Conv2d, nn.LayerNorm, nn.BatchNorm2d, nn.ReLU, nn.Hardswish)
"""What a gate may be made of beside modules of our own: no random numbers, no other state."""
_HAS_TRITON = find_spec("triton") is not None
_FRESH = (nn.BatchNorm2d, nn.Conv2d)
"""Modules whose output is nobody else's."""


def fusable(formula: type[Formula] = Again, **parts: type[nn.Module]) -> Callable[[M], M]:
    """A class of gates that may run in a fused form.

    Args:
        formula: How; the plain form, run again in the backward pass, if none is named.
        parts: The kinds of what the formula calls by name; it isn't for a gate that has another.
    """
    at_rest = formula is ByMeanAndMax  # the plain form of others alone is as fast there

    def marked(kind: M) -> M:
        def __call__(self: nn.Module, *args: Any, **kwargs: Any) -> Any:  # noqa: N807
            if (at_rest or torch.is_grad_enabled()) and _may_fuse(self, args, kwargs):
                compiling = torch.compiler.is_compiling()
                x = args[0]
                return _in_graph((), None, self, x) if compiling else _fused(self, x, fresh=False)
            return nn.Module.__call__(self, *args, **kwargs)

        _FORMULAS[kind], _MADE_OF[kind] = formula, parts
        # code of its own: torch.compile allows few compilations of one
        code = __call__.__code__.replace(co_name="__call__")
        own = FunctionType(code, globals(), "__call__", None, __call__.__closure__)
        kind.__call__ = own  # type: ignore[method-assign]
        return kind

    return marked


def is_fusable(kind: object) -> bool:
    """Whether a class of gates has a fused form."""
    return kind in _FORMULAS


def after(base: nn.Module, block: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """``block(base(...))``, fused where that may be."""
    if not _may_fuse(block, args, kwargs):
        return block(base(*args, **kwargs))
    (u,) = args
    before, norm = _parts(base)
    if torch.compiler.is_compiling():
        return _in_graph(before, norm, block, u)
    if not _normalises(norm):
        x = base(u)
        if not is_plain(x) or x.ndim != 4:
            return block(x)
        return _fused(block, x, fresh=type(base) in _FRESH and is_bare(base))
    for module in before:
        u = module(u)
    if not (is_plain(u) and u.ndim == 4 and u.numel() > u.shape[1] == norm.num_features):
        return block(norm(u))
    formula = _FORMULAS[type(block)]
    tracked = _is_tracked(block, u) or _is_tracked(norm, u)
    passes = _passes(formula, block, u, norm=norm, tracked=tracked)
    if passes is not None:
        return gate_after_norm(norm, block, u, formula, passes, tracked=tracked)
    if not tracked:
        return formula.forward(block, norm(u), fresh=True)[0]
    x, source, kept = normalised(norm, u)
    return kept_apart(block, formula, x, source, kept)


def spare_inputs(model: nn.Module) -> None:
    """Have the normalisations behind gates that can be run again not keep what those gave.

    They get a forward hook for it, and lose it where there is no such gate any more.
    """
    for module in model.modules():
        parts = [part for part in module._modules.values() if part is not None]
        for part, following in pairwise(parts):
            if isinstance(following, nn.BatchNorm2d):
                hooks = following._forward_hooks
                for key in [key for key, hook in hooks.items() if hook is release_given]:
                    del hooks[key]
                if isinstance(part, Unit) and type(block_of(part)) in _FORMULAS:
                    following.register_forward_hook(release_given)


def _in_graph(
    before: Sequence[nn.Module], norm: nn.Module | None, block: nn.Module, u: Tensor
) -> Tensor:
    """In code that is being compiled: by operators where they pay, else in the plain form."""
    for module in before:
        u = module(u)
    if norm is not None and not _normalises(norm):
        u, norm = norm(u), None
    if not (is_plain(u) and u.ndim == 4) or (norm is not None and u.numel() == u.shape[1]):
        return block.forward(u if norm is None else norm(u))
    if compiled.serves(norm, block, u):
        return compiled.cbam_after_norm(norm, block, u)
    return block.forward(u if norm is None else norm(u))


def _passes(
    formula: type[Formula],
    block: nn.Module,
    u: Tensor,
    *,
    norm: nn.Module | None = None,
    tracked: bool,
) -> Any:
    """The module whose passes over a map are faster than PyTorch's; None where there is none."""
    if formula not in FORMULAS or not (tracked or u.is_cuda or formula is not ByMean):
        return None
    if _on_gpu(u):
        from visattn.blocks.fused import triton_kernels  # needs Triton

        return triton_kernels if norm is not None and serves(formula, block, u) else None
    single = norm is None or all(t.dtype is torch.float32 for t in norm.parameters())
    return native if single and native.is_native(u, training=block.training) else None


def _on_gpu(u: Tensor) -> bool:
    """Whether a map lies where Triton's kernels run."""
    return u.is_cuda and _HAS_TRITON


def _fused(block: nn.Module, x: Tensor, *, fresh: bool) -> Tensor:
    """The gate of a map that is kept."""
    formula, tracked = _FORMULAS[type(block)], _is_tracked(block, x)
    passes = None if x.is_cuda else _passes(formula, block, x, tracked=tracked)
    if passes is not None:
        return gate_after_norm(None, block, x, formula, passes, tracked=tracked, fresh=fresh)
    if tracked:
        return kept_apart(block, formula, x, Itself(), (x,))
    return formula.forward(block, x, fresh=fresh)[0]


def _may_fuse(block: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether nothing looks into this call of a gate on one map."""
    return (
        is_fused()
        and type(block) in _FORMULAS
        and (_may_compile(block) if torch.compiler.is_compiling() else is_unseen())
        and isinstance(args, tuple)  # torch.fx may follow even that
        and len(args) == 1
        and not kwargs
        and is_plain(args[0])
        and args[0].ndim == 4
        and (torch.compiler.is_compiling() or args[0].numel() > 0)
        and not torch.jit.is_tracing()
        and not torch._C._are_functorch_transforms_active()
        and torch.autograd.forward_ad._current_level < 0
        and not torch_module._has_any_global_hook()
        and (is_bare(block) if torch.compiler.is_compiling() else _is_simple(block))
        and all(type(block._modules.get(k)) is v for k, v in _MADE_OF[type(block)].items())
    )


def _may_compile(block: nn.Module) -> bool:
    """Whether there are operators for a gate in compiled code; exported code has none of ours."""
    # the flag itself: up to PyTorch 2.11 is_exporting() is true in whatever is compiled
    return _FORMULAS[type(block)] is ByMeanAndMax and not torch.compiler._is_exporting_flag


def _is_simple(module: nn.Module) -> bool:
    """Whether a module and all in it are bare, of kinds that a gate may have, and plain tensors."""
    kind, own = type(module), module.__dict__
    if not is_bare(module):
        return False
    if kind not in _PARTS:
        if not kind.__module__.startswith("visattn.blocks."):
            return False
        if Tensor in map(type, own.values()):
            return False  # computed where a parameter was
    for t in own["_parameters"].values():
        if not (t is None or is_plain(t)):
            return False
    return all(part is None or _is_simple(part) for part in own["_modules"].values())


def _is_tracked(block: nn.Module, x: Tensor) -> bool:
    """Whether autograd follows the call."""
    return torch.is_grad_enabled() and (
        x.requires_grad or any(p.requires_grad for p in block.parameters())
    )


def _parts(base: nn.Module) -> tuple[list[nn.Module], nn.Module]:
    """The modules that a base calls one after another and does no more: all but the last, the last.

    torchvision's ``Conv2dNormActivation`` and timm's ``ConvNormAct`` are such bases.
    """
    kind = type(base)
    one_by_one = kind.forward is nn.Sequential.forward or (
        kind.__name__ == "ConvNormAct" and kind.__module__.startswith("timm.")
    )
    parts = [part for part in base._modules.values() if part is not None]
    while one_by_one and len(parts) > 1 and _is_identity(parts[-1]):
        del parts[-1]
    return (parts[:-1], parts[-1]) if one_by_one and parts and stays_bare(base) else ([], base)


def _is_identity(module: nn.Module) -> bool:
    return type(module) is nn.Identity and stays_bare(module)


def _normalises(base: nn.Module) -> TypeGuard[nn.BatchNorm2d]:
    """Whether a module is a batch normalisation and no more.

    timm's ``BatchNormAct2d`` is one where its activation is the identity.
    """
    kind = type(base)
    bare = kind is nn.BatchNorm2d or (
        kind.__name__ == "BatchNormAct2d"
        and kind.__module__.startswith("timm.")
        and all(map(_is_identity, base.children()))
    )
    return (
        bare
        and stays_bare(base)
        and all(t is None or is_plain(t) for t in base._parameters.values())
    )
