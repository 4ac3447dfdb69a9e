"""What a forward pass computed: every gate, map and attention row, by site."""

import difflib
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from visattn.attention import PairwiseFunction
from visattn.blocks import PairwiseTap, Tap
from visattn.blocks.attended import Attended


@dataclass(frozen=True)
class PairwiseMap:
    """Queries and keys of one pass of a pairwise attention; its rows are computed on demand.

    Attributes:
        queries: (N, heads, T, D), T = height * width of the query grid, row-major.
        keys: (N, heads, S, D), S = height * width of the key grid.
        query_size: (height, width) of the query grid.
        key_size: (height, width) of the key grid.
        function: Maps queries and keys to weights (N, heads, T, S).
    """

    queries: Tensor
    keys: Tensor
    query_size: tuple[int, int]
    key_size: tuple[int, int]
    function: PairwiseFunction

    @property
    def heads(self) -> int:
        """Number of heads."""
        return self.queries.shape[1]

    def query(self, y: int, x: int, *, head: int | None = None) -> Tensor:
        """The attention of one query place to all keys.

        Args:
            y: Row of the place in the query grid.
            x: Column of the place in the query grid.
            head: One head; the mean over the heads if None.

        Returns:
            (N, height, width) of the key grid. Nothing larger is held.

        Raises:
            IndexError: The place is outside of the query grid, or there is no such head.
        """
        height, width = self.query_size
        if not (0 <= y < height and 0 <= x < width):
            raise IndexError(
                f"The query grid has rows 0 to {height - 1} and columns 0 to {width - 1};"
                f" got y={y}, x={x}."
            )
        if head is not None and not 0 <= head < self.heads:
            raise IndexError(f"There are heads 0 to {self.heads - 1}; got head={head}.")
        place = y * width + x
        weights = self.function(self.queries[:, :, place : place + 1], self.keys).squeeze(2)
        row = weights.mean(1) if head is None else weights[:, head]
        return row.unflatten(1, self.key_size)


@dataclass
class SiteMaps:
    """What the block at one site computed.

    Attributes:
        name: The site's.
        values: For each tap of the block, by its path inside of the block, what passed it, one
            entry a call.
        kinds: Each tap's kind.
    """

    name: str
    values: dict[str, list[Any]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)

    @property
    def calls(self) -> int:
        """How often the block ran."""
        return max((len(values) for values in self.values.values()), default=0)

    def call(self, index: int) -> "SiteMaps":
        """The maps of one call of a block that ran several times."""
        if not -self.calls <= index < self.calls:
            raise IndexError(f"{self.name} ran {self.calls} times; got call({index}).")
        values = {tap: [entries[index]] for tap, entries in self.values.items()}
        return SiteMaps(self.name, values, self.kinds)

    @property
    def channel(self) -> Tensor:
        """The channel gate, (N, C)."""
        return self._only("channel").flatten(1)

    @property
    def spatial(self) -> Tensor:
        """The spatial gate or mask, (N, H, W)."""
        return self._only("spatial").squeeze(1)

    @property
    def gate(self) -> Tensor:
        """A gate that differs over channels and places, (N, C, H, W) or broadcastable to that."""
        return self._only("gate")

    @property
    def spatial_logits(self) -> Tensor:
        """The spatial mask before its sigmoid, (N, H, W)."""
        return self._only("spatial_logits").squeeze(1)

    @property
    def class_logits(self) -> Tensor:
        """Answers of a branch of the block's own, (N, K)."""
        return self._only("class_logits")

    @property
    def pairwise(self) -> PairwiseMap:
        """Queries and keys, from which any attention row follows."""
        return self._only("pairwise")

    def query(self, y: int, x: int, *, head: int | None = None) -> Tensor:
        """The attention of one query place, (N, H, W) over the key grid; see `PairwiseMap`."""
        return self.pairwise.query(y, x, head=head)

    def _only(self, kind: str) -> Any:
        """The one value of a kind, or an error that says what there is."""
        taps = [tap for tap in self.values if self.kinds[tap] == kind]
        if not taps:
            present = ", ".join(sorted(set(self.kinds.values())))
            raise AttributeError(
                f"The block at {self.name!r} computes no {kind}; it has {present}."
            )
        if len(taps) > 1:
            raise AttributeError(
                f"The block at {self.name!r} computes several of {kind}: {', '.join(taps)}."
                f" Choose one: .values[{taps[0]!r}]."
            )
        if self.calls != 1:
            raise AttributeError(
                f"The block at {self.name!r} ran {self.calls} times; choose one: .call(0).{kind}."
            )
        return self.values[taps[0]][0]


class Recording(Mapping[str, SiteMaps]):
    """Sites in the order in which they ran, each with what its block computed.

    A site of a model inside another module can be named by the end of its path, if that is the
    end of one site's only: ``maps["layer4.2"]`` for ``"backbone.layer4.2"``.
    """

    def __init__(self) -> None:
        self._sites: dict[str, SiteMaps] = {}

    def __getitem__(self, name: str) -> SiteMaps:
        if name in self._sites:
            return self._sites[name]
        ends = [site for site in self._sites if site.endswith(f".{name}")]
        if len(ends) == 1:
            return self._sites[ends[0]]
        near = ends or difflib.get_close_matches(name, self._sites, n=3, cutoff=0.4)
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise KeyError(f"Nothing was recorded at {name!r}.{hint} Sites: {', '.join(self._sites)}.")

    def __iter__(self) -> Iterator[str]:
        return iter(self._sites)

    def __len__(self) -> int:
        return len(self._sites)

    def __repr__(self) -> str:
        sites = (f"{name}: {', '.join(sorted(set(m.kinds.values())))}" for name, m in self.items())
        return f"Recording({'; '.join(sites)})"

    def _add(self, site: str, tap: str, kind: str, value: Any) -> None:
        maps = self._sites.setdefault(site, SiteMaps(site))
        maps.kinds[tap] = kind
        maps.values.setdefault(tap, []).append(value)


@contextmanager
def record(model: nn.Module, *, graph: bool = False) -> Iterator[Recording]:
    """Record every gate, map and attention of the forward passes inside the context.

    No output changes, and no hook is left, after an exception either. A compiled model
    (``torch.compile``) runs uncompiled inside the context, since no hook fires in compiled code:
    its outputs are then those of the model before it was compiled.

    Args:
        model: A wrapped model, or any module with blocks of visattn in it.
        graph: Keep the maps in the autograd graph, to use them in a loss. Detached otherwise.

    Yields:
        `Recording`, from site to maps, filled by the passes.

    Raises:
        ValueError: The model has nothing to record.
        RuntimeError: Nothing ran inside the context.

    Example:
        >>> import torch, torchvision, visattn
        >>> model = visattn.wrap(torchvision.models.resnet18(), "cbam", stages=[4])
        >>> with record(model) as maps:
        ...     logits = model(torch.randn(2, 3, 64, 96))
        >>> list(maps), maps["layer4.1"].channel.shape, maps["layer4.1"].spatial.shape
        (['layer4.0', 'layer4.1'], torch.Size([2, 512]), torch.Size([2, 2, 3]))
    """
    taps = list(find_taps(model))
    if not taps:
        raise ValueError(
            f"{type(model).__name__} has no attention block to record. Put one in with"
            " visattn.wrap; an exported program has none left."
        )
    maps = Recording()
    with ExitStack() as stack:
        if "torch._dynamo" in sys.modules:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        for site, name, tap in taps:
            hook = _recorder(maps, site, name, tap, graph=graph)
            stack.callback(tap.register_forward_hook(hook).remove)
        yield maps
    if not maps:
        raise RuntimeError(
            "Nothing was recorded: no attention block ran inside the context. Call the model that"
            " was given to record, inside of it."
        )


def natural_paths(module: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """(path, module) for all modules, with the paths that state dicts use.

    They are those of ``named_modules`` but for units and compiled models, which stand in the path
    of what they contain.
    """
    yield path, module
    for name, child in module.named_children():
        below = path if _transparent(module, name) else _join(path, name)
        yield from natural_paths(child, below)


def find_taps(model: nn.Module) -> Iterator[tuple[str, str, Tap | PairwiseTap]]:
    """(site, path inside of the block, tap) for every tap of a model."""
    yield from _taps(model, path="", site=None, inside="")


def _taps(
    module: nn.Module, *, path: str, site: str | None, inside: str
) -> Iterator[tuple[str, str, Tap | PairwiseTap]]:
    """Walk down, with the path as it would be without units and compilation."""
    if isinstance(module, (Tap, PairwiseTap)):
        name = path.rpartition(".")[0] if site is None else site
        yield name or "model", inside.rpartition(".")[2] if site is None else inside, module
        return
    if (
        site is None
        and type(module).__module__.startswith("visattn.blocks.")
        and not isinstance(module, Attended)
    ):
        site, inside = path, ""
    for name, child in module.named_children():
        below = path if _transparent(module, name) else _join(path, name)
        if isinstance(module, Attended) and name == module.child:
            outer = path.removesuffix(module.origin.get("path", path))
            yield from _taps(child, path=below, site=outer + module.site, inside="")
        else:
            yield from _taps(child, path=below, site=site, inside=_join(inside, name))


def _transparent(module: nn.Module, child: str) -> bool:
    """Whether a child stands for its parent: the base of a unit, the model of a compiled one."""
    return (isinstance(module, Attended) and child == "base") or child == "_orig_mod"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _recorder(maps: Recording, site: str, name: str, tap: Tap | PairwiseTap, *, graph: bool) -> Any:
    """The forward hook for one tap."""

    def keep(value: Tensor) -> Tensor:
        return value if graph else value.detach()

    def hook(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        if isinstance(tap, PairwiseTap):
            _, key, query_size, key_size = args
            value = PairwiseMap(keep(output), keep(key), query_size, key_size, tap.function)
            maps._add(site, name, "pairwise", value)
        else:
            maps._add(site, name, tap.kind, keep(output))

    return hook
