"""What autograd keeps for a gate, and what is let go since it can be made again.

It keeps a map twice where a gate stands between two modules that keep what it reads and what it
gives: a ReLU its result, a normalisation its input. One of the two follows from the other, and is
let go after the forward pass. Where somebody's own hooks hold what is saved (activation
checkpointing, ``save_on_cpu``), nothing is.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from visattn.blocks.fused.doubles import Double
from visattn.blocks.fused.formulas import Autocast, Formula
from visattn.blocks.fused.function import Call, Fused, run_again
from visattn.blocks.fused.sources import Source

_NEAR = 4
"""Steps from a module's output to the normalisation in it: an activation may follow."""


def kept_apart(
    block: nn.Module, formula: type[Formula], x: Tensor, source: Source, kept: tuple[Any, ...]
) -> Tensor:
    """The gate of x by its formula, with what x follows from kept for the backward pass.

    Args:
        block: The gate.
        formula: Of its kind.
        x: The map; overwritten unless it is what is kept.
        source: How x follows from ``kept``.
        kept: Tensors, or None for a weight that isn't there.
    """
    double = Double(block)
    call = Call(block, double, formula, source, len(kept), Autocast.now(x.device.type))
    y: Tensor = Fused.apply(x, call, *kept, *double.parameters)
    if source.is_kept:
        _release_read(x, y)
    return y


def release_given(norm: nn.Module, inputs: Sequence[Any], output: Any) -> None:
    """Forward hook of a normalisation: don't keep its input, if that is what a gate gave.

    The gate is run again for it in the backward pass, which it would be in any case.
    """
    if torch.compiler.is_compiling() or not inputs or not isinstance(output, Tensor):
        return
    call = _call_of(inputs[0])
    by: Any = output.grad_fn
    for _ in range(_NEAR):
        if call is None or by is None or hasattr(by, "_raw_saved_input"):
            break
        by = by.next_functions[0][0] if by.next_functions else None
    if call is not None and hasattr(by, "_raw_saved_input"):
        _let_go(by._raw_saved_input, inputs[0], partial(run_again, inputs[0].grad_fn))


def _release_read(x: Tensor, y: Tensor) -> None:
    """Keep the map x that a gate has read by the gated map y, if the gate can be undone.

    The function that gave x, a ReLU for one, keeps its result; it gets it back from y, and so does
    the gate. Whoever changed y afterwards would have changed that result in the plain model, which
    autograd refuses; it is refused here, too.
    """
    node: Any = y.grad_fn
    undo, node.undo = node.undo, None
    by: Any = x.grad_fn
    same = hasattr(by, "_raw_saved_result") and x.dtype is y.dtype
    undone = undo() if same else None
    if undone is not None and _let_go(by._raw_saved_result, x, undone):
        _let_go(node._raw_saved_tensors[node.few], x, undone)


def _call_of(y: Any) -> Call | None:
    """The call of a gate that gave y and keeps what it reads apart."""
    call = getattr(y.grad_fn, "call", None) if type(y) is Tensor else None
    return call if type(call) is Call else None


def _let_go(saved: Any, x: Tensor, again: Callable[[], Tensor]) -> bool:
    """Let a saved tensor go and be made again when it is asked for, if it is x; whether it was."""
    found = [x]

    def pack(tensor: Tensor) -> Tensor | None:
        if not tensor.is_set_to(found[0]):
            return tensor
        found.clear()
        return None

    try:
        saved.register_hooks(pack, lambda kept: again() if kept is None else kept)
    except RuntimeError:  # somebody's own hooks hold it
        found.clear()
        return False
    gone = not found
    found.clear()
    return gone
