"""The switch between the fused and the plain form of gates."""

import threading
from types import TracebackType
from typing import final

import torch


class _State(threading.local):
    on = True


_STATE = _State()
_OFF: list[bool] = []
"""One for each thread that has it off, which compiled code is guarded by: not by a thread's own."""


@final
class fused:  # noqa: N801  # named as torch.no_grad is
    """Whether gates run in their fused form, in this thread: from now on, or in a context.

    Fused, a gate (``se``, ``ese``, ``eca``, ``cbam``, ``bam``, ``gc``, ``coord``, ``simam``,
    ``triplet``, ``scse``) keeps for the backward pass what the batch normalisation before it keeps
    anyway, or its input alone, and rebuilds the rest. Where a normalisation follows a gate that
    `wrap` put in, it keeps none of what the gate gave; ``bam`` behind a ReLU leaves its own output
    as the one map that is kept. The numbers are the same to the last digits, and, on a CPU, where a
    gate is exactly 1 to the last bit. It is the default, and gives way to the plain form by itself
    wherever something looks inside: a recording, a hook, a mode that sees PyTorch's calls, a method
    or function that somebody replaced, an export, ``torch.func``, forward-mode gradients, and
    ``torch.compile`` but for ``cbam`` on a CPU, whose passes in C are operators there.

    On a CPU that has a C compiler, gates of a mean (and a maximum) take passes in C over large maps
    in single precision, contiguous or channels_last, together with the normalisation before them,
    compiled once into the user's cache. With ``VISATTN_NATIVE=0`` in the environment PyTorch's run:
    the same but for the last digits. Compiled code takes the plain form while any thread has it on.

    Args:
        enabled: False for the plain form.

    Example:
        >>> import torch, visattn
        >>> block = visattn.blocks.CBAM(8)
        >>> x = torch.randn(2, 8, 5, 5, requires_grad=True)
        >>> y = block(x)
        >>> with visattn.fused(False):
        ...     plain = block(x)
        >>> torch.equal(y, plain), y.grad_fn.name(), plain.grad_fn.name()
        (True, 'FusedBackward', 'MulBackward0')
    """

    def __init__(self, enabled: bool = True) -> None:
        self.before = _STATE.on
        _switch(bool(enabled))

    def __enter__(self) -> None:
        """Nothing: it holds already."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """As it was before."""
        _switch(self.before)


def _switch(on: bool) -> None:
    if on != _STATE.on:
        _STATE.on = on
        if on:
            _OFF.pop()
        else:
            _OFF.append(True)


def is_fused() -> bool:
    """Whether the fused form is switched on in this thread; in compiled code, in every one."""
    return not _OFF if torch.compiler.is_compiling() else _STATE.on
