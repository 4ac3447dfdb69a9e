"""A module of the backbone and the attention that stands after or before it, as one unit."""

from typing import Any, Literal

import torch
from torch import Tensor, nn


class Attended(nn.Module):
    """``attention(base(x))`` or ``base(attention(x))``, in the place of ``base`` in a model.

    The unit answers for its base: state-dict keys of the base are those that it had before
    (``bn3.weight`` and not ``bn3.base.weight``), and attributes that the unit lacks are looked up
    in the base.

    Args:
        base: The backbone's own module.
        attention: Maps (N, C, H, W) to (N, C, H, W).
        where: Whether the attention stands ``"after"`` or ``"before"`` the base.
        site: The name of the place, for plans and recordings.
        child: The attention's name in state dicts; it must be free in the base.
        origin: How the attention was made, for saving it: plain values only.
    """

    def __init__(
        self,
        base: nn.Module,
        attention: nn.Module,
        *,
        where: Literal["after", "before"],
        site: str,
        child: str = "attention",
        origin: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.base = base
        self.add_module(child, attention)
        self.where = where
        self.site = site
        self.child = child
        self.origin = origin or {}
        self.enabled = True
        self.training = base.training
        self.register_state_dict_post_hook(_hide_base)
        self.register_load_state_dict_pre_hook(_find_base)
        self.register_load_state_dict_post_hook(_name_missing)

    @property
    def block(self) -> nn.Module:
        """The attention."""
        return self.get_submodule(self.child)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the base takes, and what it gives."""
        base, attention = self.base, self.block
        if not self.enabled:
            return base(*args, **kwargs)
        if self.where == "before":
            return base(attention(args[0]), *args[1:], **kwargs)
        return attention(base(*args, **kwargs))

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("base"), name)

    def extra_repr(self) -> str:
        """The place, for printing."""
        return f"site={self.site!r}, where={self.where!r}" + ("" if self.enabled else ", disabled")


def _hide_base(unit: nn.Module, state: dict[str, Tensor], prefix: str, _: Any) -> None:
    """Give the base's entries, and its version, the names that they had without the unit."""
    inner = f"{prefix}base."
    for key in [key for key in state if key.startswith(inner)]:
        state[prefix + key.removeprefix(inner)] = state.pop(key)
    versions = getattr(state, "_metadata", {})
    for key in [key for key in versions if f"{key}.".startswith(inner)]:
        versions[(prefix + f"{key}.".removeprefix(inner)).removesuffix(".")] = versions.pop(key)


def _find_base(unit: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Give the base's entries the names that loading looks for."""
    own = f"{prefix}{unit.child}."
    for key in [key for key in state if key.startswith(prefix) and not key.startswith(own)]:
        state[f"{prefix}base.{key.removeprefix(prefix)}"] = state.pop(key)
    object.__setattr__(unit, "_loading", prefix)


def _name_missing(unit: nn.Module, keys: Any) -> None:
    """Report missing keys of the base by the names that they have in state dicts."""
    prefix = vars(unit).pop("_loading", None)
    if prefix is None:
        return
    inner = f"{prefix}base."
    for names in (keys.missing_keys, keys.unexpected_keys):
        names[:] = [
            prefix + name.removeprefix(inner) if name.startswith(inner) else name for name in names
        ]


class ZeroStart(nn.Module):
    """``x + s (block(x) - x)`` with one trained scalar s that starts at 0.

    Makes the identity at the start of any block that doesn't offer it.

    Args:
        block: Maps (N, C, H, W) to (N, C, H, W).

    Source: the residual scalar of Bachlechner et al., ReZero, arXiv:2003.04887.
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block
        self.strength = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Mix the input with the block's output."""
        return x + self.strength * (self.block(x) - x)
