"""Whether modules and tensors do no more than they say, so that a formula may stand for them."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from visattn.blocks.fused.doubles import HOOKS
from visattn.blocks.fused.kept import release_given


def is_plain(x: Any) -> bool:
    """Whether a tensor is no subclass that does other things: fake, distributed, quantised."""
    return type(x) in (Tensor, nn.Parameter) and not x.is_quantized


def is_bare(module: nn.Module) -> bool:
    """Whether nobody hooked into a module, replaced its ``forward`` or split it over devices."""
    own = module.__dict__  # which Dynamo follows, as it doesn't vars()
    for hooks in HOOKS:
        if (given := own[hooks]) and not _is_ours(given):
            return False
    return (
        "forward" not in own
        and "_is_replica" not in own
        and own.get("_compiled_call_impl") is None
        and "weight" not in own  # but among the parameters: nothing computed has their place
        and "bias" not in own
    )


def _is_ours(hooks: Mapping[int, Any]) -> bool:
    """Whether hooks are no more than the one that `wrap` put there."""
    return all(hook is release_given for hook in hooks.values())
