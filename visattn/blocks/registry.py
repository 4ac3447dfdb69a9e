"""The registry of blocks: from a name to a block and its own place."""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import Any, Literal

from torch import nn

from visattn.basics.suggestions import did_you_mean

FAMILIES = {
    "channel": "Channel: gates for channels",
    "place": "Place: gates for places",
    "joint": "Both: gates for channels and places",
    "context": "Context of the whole map",
    "self_attention": "Self-attention",
    "kernels": "Kernels chosen by attention",
    "masks": "Masks",
}
"""Families of the blocks that come with visattn, by their folders, and what they are called."""

BlockFactory = Callable[..., nn.Module]
"""Called as ``factory(channels, **options)``; a block class is one."""


@dataclass(frozen=True)
class BlockEntry:
    """A registered block and its own place.

    Attributes:
        name: The name for `wrap`.
        factory: Makes the block from a number of channels and options.
        at: Where it goes unless told otherwise, as in `wrap`.
        stages: The stages it goes to unless told otherwise; None is all.
        every: It goes to every n-th place of a stage, counted from the n-th.
        stands: How it stands to the module at its place: ``"after"`` it, ``"around"`` it (called
            with its input and its output), or ``"instead"`` of it, a convolution.
        brings_norm: It stands instead of the normalisation after the convolution, too.
        called: What it is, if the name stands for something else than the factory's docstring.
        published: Where, likewise.
    """

    name: str
    factory: BlockFactory
    at: str = "branch"
    stages: tuple[int, ...] | None = None
    every: int = 1
    stands: Literal["after", "around", "instead"] = "after"
    brings_norm: bool = False
    called: str = ""
    published: str = ""

    @classmethod
    def of(cls, name: str, factory: BlockFactory) -> "BlockEntry":
        """An entry whose place is the factory's own, or every branch."""
        return cls(
            name=name,
            factory=factory,
            at=getattr(factory, "default_at", "branch"),
            stages=getattr(factory, "default_stages", None),
            every=getattr(factory, "default_every", 1),
            stands=getattr(factory, "stands", "after"),
            brings_norm=getattr(factory, "brings_norm", False),
        )

    @property
    def kind(self) -> BlockFactory:
        """The factory without the options that its name stands for."""
        kind: BlockFactory = getattr(self.factory, "func", self.factory)
        return kind

    @property
    def source(self) -> str:
        """The paper, as far as it is known, and its code."""
        said = inspect.getdoc(self.kind) or ""
        return self.published or " ".join(said.partition("Source:")[2].split())

    @property
    def paper(self) -> str:
        """Its number at arXiv, its conference, or its first author."""
        found = re.search(r"arXiv:(\d+\.\d+)", self.source)
        found = found or re.search(r"([A-Z]{4} \d{4})", self.source)
        found = found or re.search(r"^(\S+ et al\.)", self.source)
        return found[1] if found else ""

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        return self.called or re.split(r"[:.,]", self.summary)[0]

    @property
    def year(self) -> str:
        """Of the paper, or nothing."""
        found = re.search(r"arXiv:(\d\d)\d\d\.|\b20(\d\d)\b", self.source)
        return f"20{found[1] or found[2]}" if found else ""

    @property
    def family(self) -> str:
        """The folder of a block that comes with visattn, such as ``"channel"``, or ``"other"``."""
        kind = self.kind
        home, _, rest = (
            getattr(kind, "__module__", "").removeprefix("visattn.blocks.").partition(".")
        )
        return home if rest and kind.__module__.startswith("visattn.blocks.") else "other"

    @property
    def summary(self) -> str:
        """First line of the block's docstring, and the options that its name stands for."""
        kind = self.kind
        options = getattr(self.factory, "keywords", {})
        line = (kind.__doc__ or "").strip().partition("\n")[0]
        given = ", ".join(f"{name}={value!r}" for name, value in options.items())
        return f"{line} With {given}." if given else line


_OURS = {
    "se": "channel.se.SE",
    "ese": "channel.ese.EffectiveSE",
    "eca": "channel.eca.ECA",
    "fca": "channel.fca.FrequencyChannelAttention",
    "gaussian": "channel.gaussian.GaussianContext",
    "gct": "channel.gct.GatedChannels",
    "ge": "channel.ge.GatherExcite",
    "lct": "channel.lct.LinearContextTransform",
    "nam": "channel.nam.NormAttention",
    "srm": "channel.srm.StyleRecalibration",
    "cbam": "joint.cbam.CBAM",
    "bam": "joint.bam.BAM",
    "gc": "context.gc.GlobalContext",
    "coord": "joint.coord.CoordinateAttention",
    "simam": "joint.simam.SimAM",
    "triplet": "joint.triplet.TripletAttention",
    "ela": "joint.ela.EfficientLocalAttention",
    "caa": "joint.caa.ContextAnchorAttention",
    "cpca": "joint.cpca.ChannelPriorAttention",
    "ema": "joint.ema.EfficientMultiScaleAttention",
    "gam": "joint.gam.GlobalAttention",
    "mlca": "joint.mlca.MixedLocalChannelAttention",
    "polarized": "joint.polarized.PolarizedAttention",
    "sa": "joint.sa.ShuffleAttention",
    "scsa": "joint.scsa.SynergisticAttention",
    "sge": "place.sge.SpatialGroupEnhance",
    "scse": "joint.scse.SCSE",
    "strip": "joint.strip.StripAttention",
    "nonlocal": "self_attention.nonlocal_.NonLocal",
    "axial": "self_attention.axial.Axial",
    "bat": "self_attention.bat.BilinearTransform",
    "criss_cross": "self_attention.criss_cross.CrissCross",
    "danet": "self_attention.danet.DualAttention",
    "external": "self_attention.external.ExternalAttention",
    "outlook": "self_attention.outlook.OutlookAttention",
    "cot": "self_attention.cot.ContextualTransformer",
    "lambda": "self_attention.lambda_.LambdaLayer",
    "latents": "self_attention.latents.Latents",
    "linear": "self_attention.linear.LinearAttention",
    "halo": "self_attention.halo.HaloAttention",
    "mhsa": "self_attention.mhsa.MultiHeadSelfAttention",
    "local": "self_attention.local.LocalSelfAttention",
    "sk": "kernels.sk.SelectiveKernel",
    "epsa": "kernels.epsa.PyramidSqueezeAttention",
    "lsk": "kernels.lsk.LargeSelectiveKernel",
    "lska": "kernels.lska.LargeKernelAttention",
    "parnet": "kernels.parnet.ParNetBlock",
    "splat": "kernels.splat.SplitAttention",
    "aa": "self_attention.augmented.AugmentedConv",
    "abn": "masks.abn.AttentionBranch",
    "residual_attention": "masks.residual_attention.ResidualAttention",
    "spatial_mask": "masks.spatial_mask.SpatialMask",
}
"""The blocks that come with visattn, and their classes; imported when they are first asked for."""

_PAPERS = {
    "bottleneck": (
        "Bottleneck transformer's attention",
        "Srinivas et al., Bottleneck Transformers for Visual Recognition, arXiv:2101.11605.",
    ),
    "double": (
        "Double attention",
        "Chen et al., A2-Nets: Double Attention Networks, arXiv:1810.11579.",
    ),
    "ceca": ("Circular ECA", ""),
    "ecam": ("ECA with a perceptron", ""),
    "gca": ("Global context, added", ""),
    "lcbam": ("Light CBAM", ""),
    "scoord": ("Simple coordinate attention", ""),
    "lka": ("Large kernel attention", "Guo et al., Visual Attention Network, arXiv:2202.09741."),
}
"""What variants are called, and their paper if it is their own."""

_VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "bottleneck": ("mhsa", {"position": "relative"}),
    "ceca": ("eca", {"padding": "circular"}),
    "double": ("linear", {"features": "softmax", "reduction": 4}),
    "ecam": ("eca", {"reduction": 8, "rd_divisor": 8}),
    "gca": ("gc", {"fuse": "add", "reduction": 8, "eps": 1e-6}),
    "lcbam": ("cbam", {"variant": "light"}),
    "lka": ("lska", {"reach": 21, "separable": False}),
    "scoord": ("coord", {"simple": True, "reduction": 6, "rd_divisor": 8}),
}
"""Names that papers and collections have for a block of the above with some of its options."""

_registry: dict[str, BlockEntry] = {}


def register_block(
    name: str,
    factory: BlockFactory,
    *,
    at: str | None = None,
    stages: tuple[int, ...] | None = None,
    every: int | None = None,
) -> BlockFactory:
    """Make a block known to `wrap` by name.

    Args:
        name: A new name.
        factory: A block class, or any function from channels to a module. If it takes ``init``,
            it must start as the identity with ``init="identity"``; if it doesn't, `wrap` adds one
            trained scalar a block that starts at zero.
        at: Its own place, as in `wrap`; the class attribute ``default_at``, or ``"branch"``.
        stages: Its own stages; the class attribute ``default_stages``, or all.
        every: It goes to every n-th place; the class attribute ``default_every``, or 1.

    Returns:
        ``factory``.

    Raises:
        ValueError: The name is taken.
        TypeError: ``factory`` cannot be called.

    Example:
        >>> from torch import nn
        >>> _ = register_block("example_scale", lambda channels: nn.Conv2d(channels, channels, 1))
        >>> block_entry("example_scale").at
        'branch'
        >>> unregister_block("example_scale")
    """
    if not callable(factory):
        raise TypeError(f"A block must be a class or a function of channels, got {factory!r}.")
    if name in block_names():
        raise ValueError(
            f"The block name {name!r} is taken by {block_entry(name).factory!r}; choose another."
        )
    place: dict[str, Any] = {"at": at, "stages": stages, "every": every}
    given = {field: value for field, value in place.items() if value}
    _registry[name] = replace(BlockEntry.of(name, factory), **given)
    return factory


def unregister_block(name: str) -> None:
    """Forget a block; raise KeyError, with the nearest names, if there is none of that name."""
    del _registry[block_entry(name).name]
    _OURS.pop(name, None)
    _VARIANTS.pop(name, None)


def block_names() -> list[str]:
    """Names of all registered blocks, sorted.

    Example:
        >>> "cbam" in block_names()
        True
    """
    return sorted({*_OURS, *_VARIANTS, *_registry})


def block_entry(name: str) -> BlockEntry:
    """The registered block of that name.

    Raises:
        KeyError: There is none; the message has the nearest names.

    Example:
        >>> block_entry("cbam").factory.__name__
        'CBAM'
        >>> block_entry("cban")
        Traceback (most recent call last):
        ...
        KeyError: "No block is called 'cban'. Did you mean 'cbam'..."
    """
    if name not in _registry and name in _OURS:
        home, _, kind = _OURS[name].rpartition(".")
        factory = getattr(import_module(f"visattn.blocks.{home}"), kind)
        _registry[name] = BlockEntry.of(name, factory)
    if name not in _registry and name in _VARIANTS:
        of, options = _VARIANTS[name]
        entry = block_entry(of)
        factory = partial(entry.factory, **options)
        called, published = _PAPERS.get(name, ("", ""))
        _registry[name] = replace(
            entry, name=name, factory=factory, called=called, published=published
        )
    if name in _registry:
        return _registry[name]
    hint = did_you_mean(name.lower(), names=block_names())
    raise KeyError(
        f"No block is called {name!r}.{hint} Blocks: {', '.join(block_names())};"
        " register_block adds one."
    )


def block_of_class(kind: str) -> BlockFactory | None:
    """The class of that name, if it is a block that comes with visattn."""
    found = next((name for name, home in _OURS.items() if home.endswith(f".{kind}")), None)
    return None if found is None else block_entry(found).factory
