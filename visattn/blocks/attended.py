"""A module of the backbone and the attention that stands at it, as one unit."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn

from visattn.blocks.folding import guard_folding
from visattn.blocks.fused.choice import after, fusable, spare_inputs
from visattn.blocks.loading import (
    find_base as _find_base,
    hide_base as _hide_base,  # noqa: F401  # models that earlier versions pickled name it
    name_missing as _name_missing,
    note_origin as _note_origin,
)
from visattn.blocks.scripting import unscriptable
from visattn.blocks.standing import (
    Layout,
    Standing,
    Unit,
    Where,
    base_of as base_of,
    block_of as block_of,
    free_name,
)


@unscriptable("a module with attention that wrap put in")
class Attended(Unit):
    """A module and attention in the module's place in a model.

    With b the module and a the attention, the unit computes

    - ``"after"``: ``a(b(x))``;
    - ``"before"``: ``b(a(x))``;
    - ``"around"``: ``a(x, b(x))``;
    - ``"instead"``: ``a(x)``; the base is kept aside for `unwrap`, neither among the parameters
      nor in the state dict.

    Base and attention are children like any others, so that ``named_parameters``, ``state_dict``,
    ``functional_call``, export, FSDP and DCP call a tensor by one name (``bn3.base.weight``), and a
    tool that exchanges modules by their type exchanges the base and leaves the attention where it
    is. State dicts of the plain model (``bn3.weight``) are loaded as well, and so are those that
    earlier versions wrote; `visattn.backbone_state_dict` gives one back.

    Everything that a unit is asked for and that is not ``nn.Module``'s is the base's: attributes,
    methods, items, whether read or set. Its own facts are in ``unit.visattn``, see `Standing`;
    `base_of` and `block_of` give its two parts.

    Args:
        base: The backbone's own module.
        attention: Takes and gives maps (N, C, H, W).
        where: How the attention stands to the base.
        site: The name of the place, for plans and recordings.
        layout: Of the base's maps; those with channels last are turned for the attention and back.
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
        origin: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        taken = {key.partition(".")[0] for key in base.state_dict()} | set(base._modules)
        child, inner = free_name("attention", taken), free_name("base", taken)
        if where == "instead":
            object.__setattr__(self, "_aside", (base,))
        else:
            self.add_module(inner, base)
        self.add_module(child, attention)
        self.training = base.training
        self.register_state_dict_post_hook(_note_origin)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_find_base)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_post_hook(_name_missing)  # type: ignore[no-untyped-call]
        object.__setattr__(
            self, "visattn", Standing(where, site, layout, inner, child, origin or {})
        )

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the base takes, and what it gives."""
        base, attention, where = base_of(self), block_of(self), self.visattn.where
        if not self.visattn.enabled:
            return base(*args, **kwargs)
        if where == "after" and self.visattn.layout == "NCHW":
            return after(base, attention, args, kwargs)
        if where == "after":
            return self._turned(attention, base(*args, **kwargs))
        if not args:  # called as conv(input=x)
            args = (kwargs.pop(next(iter(kwargs))),)
        if where == "before":
            return base(self._turned(attention, args[0]), *args[1:], **kwargs)
        if where == "around":
            return self._turned(attention, args[0], base(*args, **kwargs))
        return self._turned(attention, args[0])

    def _turned(self, attention: nn.Module, *maps: Tensor) -> Tensor:
        """The attention on maps of the base's layout."""
        if self.visattn.layout == "NCHW":
            return attention(*maps)
        return attention(*(x.permute(0, 3, 1, 2) for x in maps)).permute(0, 2, 3, 1)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move a base that is kept aside along with the rest."""
        if self.visattn.where == "instead" and recurse:
            base_of(self)._apply(fn)
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

    def train(self, mode: bool = True) -> Self:
        """Set the mode of a base that is kept aside along with the rest."""
        if self.visattn.where == "instead":
            base_of(self).train(mode)
        return super().train(mode)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Freeze or thaw a base that is kept aside along with the rest."""
        if self.visattn.where == "instead":
            base_of(self).requires_grad_(requires_grad)
        return super().requires_grad_(requires_grad)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """One of the unit's own, whatever the base has: tools count in a buffer of every module."""
        own = vars(self)
        facts = {key: own.pop(key) for key in ("visattn",) if key in own}  # the base isn't asked
        try:
            super().register_buffer(name, tensor, persistent)
        finally:
            own.update(facts)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if "visattn" not in vars(self):
                raise
        if name in _FOLDED:
            raise AttributeError(_lost(f"{name} is read", self.visattn.site))
        if name == "fuse" and hasattr(base_of(self), name):
            return partial(_fused, self)
        return getattr(base_of(self), name)

    def __setattr__(self, name: str, value: Any) -> None:
        if self._is_own(name):
            super().__setattr__(name, value)
        elif name in base_of(self)._parameters and isinstance(value, Tensor):
            raise AttributeError(_lost(f"{name} is set", self.visattn.site))
        else:
            setattr(base_of(self), name, value)

    def __delattr__(self, name: str) -> None:
        if self._is_own(name):
            super().__delattr__(name)
        else:
            delattr(base_of(self), name)

    def _is_own(self, name: str) -> bool:
        """Whether an attribute is the unit's and not the base's: what any module has, its parts."""
        return (
            "visattn" not in vars(self)
            or name.startswith("_")
            or name in vars(self)
            or name in self._modules
            or name in self._buffers
            or hasattr(nn.Module, name)
        )

    def __getitem__(self, place: Any) -> Any:
        return base_of(self)[place]  # type: ignore[index]

    def __len__(self) -> int:
        return len(base_of(self))  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        return iter(base_of(self))  # type: ignore[call-overload]

    def __bool__(self) -> bool:
        return True

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state of a unit that an earlier version pickled, too."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        own = vars(self)
        if "visattn" not in own:
            facts = {name: own.pop(name) for name in ("where", "site", "layout", "child", "origin")}
            own["visattn"] = Standing(**facts, inner="base", enabled=own.pop("enabled"))
            self._state_dict_hooks.clear()

    def extra_repr(self) -> str:
        """The place, for printing."""
        how = self.visattn
        return f"site={how.site!r}, where={how.where!r}" + ("" if how.enabled else ", disabled")


_FOLDED = ("running_mean", "running_var")
"""What is read of a normalisation from outside only by who folds it into a convolution."""


def _lost(what: str, site: str) -> str:
    return (
        f"{what} from outside of the module at {site!r}, as tools do that fold a convolution and a"
        " normalisation into one: the attention that stands between them would be lost. Fold the"
        " plain model before wrap, or put the attention behind the whole block: at='block' or"
        " at='stage'. The module itself is given by visattn.blocks.attended.base_of."
    )


def _fused(unit: Attended) -> Attended:
    """Timm's ``fuse`` gives a module in the place of another: the base's, inside of the unit."""
    unit._modules[unit.visattn.inner] = base_of(unit).fuse()  # type: ignore[operator]
    return unit


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

    Example:
        >>> unit = Attended(nn.ReLU(), nn.Identity(), where="after", site="relu")
        >>> [path for path, _ in natural_paths(nn.Sequential(unit))]
        ['', '0', '0', '0.attention']
    """
    yield path, module
    for name, child in module.named_children():
        below = path if is_transparent(module, name) else joined(path, name)
        yield from natural_paths(child, below)


def is_transparent(module: nn.Module, child: str) -> bool:
    """Whether a child stands for its parent: the base of a unit, the model of a compiled one."""
    return (isinstance(module, Attended) and child == module.visattn.inner) or child == "_orig_mod"


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
            replace_module(model, unit, base_of(unit))
    guard_folding(model, ())
    spare_inputs(model)
    return model


@fusable()
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
