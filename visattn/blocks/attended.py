"""A module of the backbone and the attention that stands at it, as one unit."""

from collections.abc import Callable, Iterator
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

Where = Literal["after", "before", "around", "instead"]
Layout = Literal["NCHW", "NHWC"]


class Attended(nn.Module):
    """A module and attention in the module's place in a model.

    With b the module and a the attention, the unit computes

    - ``"after"``: ``a(b(x))``;
    - ``"before"``: ``b(a(x))``;
    - ``"around"``: ``a(x, b(x))``;
    - ``"instead"``: ``a(x)``; the base is kept aside for `unwrap`, neither among the parameters
      nor in the state dict.

    The unit answers for its base: state-dict keys of the base are those that it had before
    (``bn3.weight`` and not ``bn3.base.weight``), and attributes that the unit lacks are looked up
    in the base.

    Args:
        base: The backbone's own module.
        attention: Takes and gives maps (N, C, H, W).
        where: How the attention stands to the base.
        site: The name of the place, for plans and recordings.
        layout: Of the base's maps; those with channels last are turned for the attention and back.
        child: The attention's name in state dicts; it must be free in the base.
        origin: How the attention was made, for saving it: plain values only.
    """

    def __init__(
        self,
        base: nn.Module,
        attention: nn.Module,
        *,
        where: Where,
        site: str,
        layout: Layout = "NCHW",
        child: str = "attention",
        origin: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if where == "instead":
            object.__setattr__(self, "_aside", (base,))
        else:
            self.base = base
        self.add_module(child, attention)
        self.where = where
        self.site = site
        self.layout = layout
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

    @property
    def original(self) -> nn.Module:
        """The base, kept aside or not."""
        return vars(self)["_aside"][0] if self.where == "instead" else self.get_submodule("base")

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the base takes, and what it gives."""
        base, attention = self.original, self.block
        if not self.enabled:
            return base(*args, **kwargs)
        if self.where == "after":
            return self._turned(attention, base(*args, **kwargs))
        if self.where == "before":
            return base(self._turned(attention, args[0]), *args[1:], **kwargs)
        if self.where == "around":
            return self._turned(attention, args[0], base(*args, **kwargs))
        return self._turned(attention, args[0])

    def _turned(self, attention: nn.Module, *maps: Tensor) -> Tensor:
        """The attention on maps of the base's layout."""
        if self.layout == "NCHW":
            return attention(*maps)
        return attention(*(x.permute(0, 3, 1, 2) for x in maps)).permute(0, 2, 3, 1)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move a base that is kept aside along with the rest."""
        if self.where == "instead" and recurse:
            self.original._apply(fn)
        return super()._apply(fn, recurse)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of a base that is kept aside along with the rest."""
        if self.where == "instead":
            self.original.train(mode)
        return super().train(mode)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "base" or "where" not in vars(self):
                raise
            return getattr(self.original, name)

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


def _find_base(unit: Attended, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Give the base's entries the names that loading looks for; load a base that is kept aside."""
    own = f"{prefix}{unit.child}."
    entries = {
        key.removeprefix(prefix): key
        for key in state
        if key.startswith(prefix) and not key.startswith(own)
    }
    if unit.where == "instead":
        shapes = {name: tensor.shape for name, tensor in unit.original.state_dict().items()}
        fitting = {n: key for n, key in entries.items() if shapes.get(n) == state[key].shape}
        unit.original.load_state_dict({n: state.pop(k) for n, k in fitting.items()}, strict=False)
        entries = {name: key for name, key in entries.items() if name not in fitting}
    for name, key in entries.items():
        state[f"{prefix}base.{name}"] = state.pop(key)
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


def attended(model: nn.Module) -> Iterator[Attended]:
    """The units in a model, in the order of its modules."""
    return (module for module in model.modules() if isinstance(module, Attended))


def attended_units(model: nn.Module) -> list[Attended]:
    """The units in a model, at least one.

    Raises:
        ValueError: There is none.
    """
    units = list(attended(model))
    if not units:
        raise ValueError(f"{type(model).__name__} has no attention that wrap put in.")
    return units


def natural_paths(module: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """(path, module) for all modules, with the paths that state dicts use.

    They are those of ``named_modules`` but for units and compiled models, which stand in the path
    of what they contain.
    """
    yield path, module
    for name, child in module.named_children():
        below = path if is_transparent(module, name) else joined(path, name)
        yield from natural_paths(child, below)


def is_transparent(module: nn.Module, child: str) -> bool:
    """Whether a child stands for its parent: the base of a unit, the model of a compiled one."""
    return (isinstance(module, Attended) and child == "base") or child == "_orig_mod"


def joined(path: str, name: str) -> str:
    """The path of a child."""
    return f"{path}.{name}" if path else name


def replace_module(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put ``new`` wherever ``old`` is a child, except inside ``new``."""
    for parent in list(model.modules()):
        if parent is new:
            continue
        for name, child in parent._modules.items():
            if child is old:
                parent._modules[name] = new


def strip(model: nn.Module) -> nn.Module:
    """Put the base of each unit back in its place; give the model."""
    while units := list(attended(model)):
        for unit in units:
            replace_module(model, unit, unit.original)
    return model


class ZeroStart(nn.Module):
    """``y + s (block(x) - y)`` with one trained scalar s that starts at 0.

    Makes the identity at the start of any block that doesn't offer it. For a block in a map's way
    y is x; for a block that stands in for a convolution y is what the convolution gives.

    Args:
        block: From maps (N, C, H, W) to maps of y's shape.

    Source: the residual scalar of Bachlechner et al., ReZero, arXiv:2003.04887.
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block
        self.strength = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Mix y, or the input, with the block's output."""
        kept = x if y is None else y
        return kept + self.strength * (self.block(x) - kept)
