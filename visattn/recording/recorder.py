"""What a forward pass computed: every gate, map and attention row, by site."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from visattn.basics.hooks import hooked, uncompiled
from visattn.basics.suggestions import did_you_mean
from visattn.blocks import PairwiseTap, Tap
from visattn.blocks.attended import Attended, is_transparent, joined
from visattn.recording.attention_map import AttentionMap
from visattn.recording.site_maps import PairwiseMap, SiteMaps, kind_names, over_places
from visattn.recording.tokens.attending import may_attend
from visattn.recording.tokens.layout import NoLayoutError, layout_of
from visattn.recording.tokens.reading import Reading
from visattn.recording.tokens.scores import Leaf
from visattn.recording.tokens.token_map import TokenMap
from visattn.recording.tokens.watching import Watch


class Recording(Mapping[str, SiteMaps]):
    """Sites in the order in which they ran, each with what its block computed.

    A site of a model inside another module can be named by the end of its path, if that is the
    end of one site's only: ``maps["layer4.2"]`` for ``"backbone.layer4.2"``.

    Attributes:
        refused: Attention that ran and couldn't be recorded: why not, by the path of its module.
    """

    def __init__(self) -> None:
        self._sites: dict[str, SiteMaps] = {}
        self.refused: dict[str, str] = {}

    def __getitem__(self, name: str) -> SiteMaps:
        if name in self._sites:
            return self._sites[name]
        ends = [site for site in self._sites if site.endswith(f".{name}")]
        if len(ends) == 1:
            return self._sites[ends[0]]
        if name in self.refused:
            raise KeyError(f"The attention at {name!r} can't be recorded: {self.refused[name]}.")
        hint = did_you_mean(name, names=ends or self._sites, cutoff=0.0 if ends else 0.4)
        raise KeyError(f"Nothing was recorded at {name!r}.{hint} Sites: {', '.join(self._sites)}.")

    def __iter__(self) -> Iterator[str]:
        return iter(self._sites)

    def __len__(self) -> int:
        return len(self._sites)

    def __repr__(self) -> str:
        return f"Recording({'; '.join(f'{name}: {kind_names(m)}' for name, m in self.items())})"

    def heats(self) -> dict[str, Tensor]:
        """What every site says of places, (N, H, W) by name, in the order in which they ran.

        Each is the site's `SiteMaps.heat`, in single precision at least. The name is the site's;
        with ``, call 2`` behind it for a block that ran several times, and with the tap's path for
        one that has several masks. Sites that say nothing of places are left out.
        """
        found = {}
        for site, maps in self.items():
            kind = maps.heat_kind
            taps = [tap for tap, other in maps.kinds.items() if other == kind]
            for index in range(maps.calls if kind else 0):
                call = "" if maps.calls == 1 else f", call {index + 1}"
                if kind == "gate" or len(taps) == 1:
                    found[f"{site}{call}"] = maps.call(index).heat
                    continue
                for tap in taps:
                    value = maps.values[tap][index]
                    found[f"{site} {tap}{call}"] = (
                        value.received()
                        if isinstance(value, AttentionMap)
                        else over_places(value, kind=str(kind))
                    )
        return found

    def _add(self, site: str, tap: str, kind: str, value: Any) -> None:
        maps = self._sites.setdefault(site, SiteMaps(site))
        maps.kinds[tap] = kind
        maps.values.setdefault(tap, []).append(value)

    def _refuse(self, site: str, reason: str) -> None:
        self.refused.setdefault(site, reason)


@contextmanager
def record(model: nn.Module, *, graph: bool = False) -> Iterator[Recording]:
    """Record every gate, map and attention of the forward passes inside the context.

    Beside the blocks of visattn it finds the attention that a network has of its own: whatever
    reads values by a softmax of products of queries and keys, fused or written out, in a ViT, a
    Swin or a model of Hugging Face's, under the path of the module that computes it
    (``maps["blocks.3.attn"]``). Kept are queries, keys and biases, from which any row follows
    (`AttentionMap`): ``.query(y, x)`` of a patch, ``.token("cls_token")`` of the class token,
    ``.pairwise.rows(...)`` of any tokens, by head. Windows are put back in their places, which are
    found by following the picture through the operations of the pass. Weights that are mixed over
    the heads or shifted after the softmax are given as they read the values, before dropout. What
    can't be recorded is in ``maps.refused`` with its reason. A few networks do more to their scores
    than can be followed; their weights are held whole (``.pairwise.held``).

    No output changes, and no hook is left, after an exception either. Gates run in their plain form
    inside the context, which agrees to the last digits where they are in training, or their maps
    large (`visattn.fused`). A compiled model (``torch.compile``) runs uncompiled inside the
    context, since no hook fires in compiled code: its outputs are then those of the model before it
    was compiled. What was exported or scripted has no modules left to hook, and a CUDA graph that
    is replayed calls none: record the model that they were made from. In distributed training each
    process records its own part of the batch; nothing is exchanged, so rank 0 may record alone.

    Args:
        model: A wrapped model, any module with blocks of visattn in it, or one with attention of
            its own. Attention of ``torch.nn.TransformerEncoderLayer`` runs without its fast path,
            which differs in the last digits.
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

        >>> import timm
        >>> model = timm.create_model("test_vit", img_size=64).eval()
        >>> with torch.no_grad(), record(model) as maps:
        ...     logits = model(torch.randn(2, 3, 64, 64))
        >>> maps["blocks.1.attn"].query(0, 3).shape, maps["blocks.1.attn"].pairwise.query_prefix
        (torch.Size([2, 4, 4]), ('cls_token',))
    """
    if not may_record(model):
        raise ValueError(
            f"{type(model).__name__} has no attention block to record, and no attention of its own"
            " by a softmax of queries and keys. Put a block in with visattn.wrap; an exported"
            " program has none left."
        )
    with record_any(model, graph=graph) as maps:
        yield maps
    if not maps:
        why = "; ".join(f"{site}: {reason}" for site, reason in maps.refused.items())
        raise RuntimeError(
            f"Nothing was recorded. Attention that ran can't be recorded: {why}."
            if why
            else "Nothing was recorded: no attention block ran inside the context. Call the model"
            " that was given to record, inside of it; a replayed CUDA graph calls no module."
        )


def may_record(model: nn.Module) -> bool:
    """Whether a model has blocks of visattn, or attention of its own as its code says."""
    return next(find_taps(model), None) is not None or _attends(model, _own_paths(model))


@contextmanager
def record_any(model: nn.Module, *, graph: bool = False) -> Iterator[Recording]:
    """As `record`, of any model: of one that has nothing to record the recording stays empty.

    Example:
        >>> model = nn.Conv2d(3, 4, 1)
        >>> with record_any(model) as maps:
        ...     _ = model(torch.zeros(1, 3, 2, 2))
        >>> len(maps)
        0
    """
    taps, own = list(find_taps(model)), _own_paths(model)
    maps = Recording()
    hooks = [(tap, _recorder(maps, site, name, tap, graph=graph)) for site, name, tap in taps]
    watch: AbstractContextManager[Any] = nullcontext()
    looks = []
    if _attends(model, own) and not torch.compiler.is_compiling():
        watch = seeing = _watch(model, own, maps, graph=graph)
        looks.append((model, seeing.look))
    with uncompiled(), hooked(hooks), hooked(looks, before=True), watch:
        yield maps
    for site in maps:
        maps.refused.pop(site, None)


def _attends(model: nn.Module, own: Mapping[nn.Module, str | None]) -> bool:
    """Whether there may be attention beside the blocks of visattn."""
    if isinstance(model, GraphModule) and any(
        isinstance(tap, PairwiseTap) for *_, tap in find_taps(model)
    ):
        return False  # a graph has no blocks any more: their taps say what they read
    return may_attend(module for module, path in own.items() if path is not None)


def find_taps(model: nn.Module) -> Iterator[tuple[str, str, Tap | PairwiseTap]]:
    """(site, path inside of the block, tap) for every tap of a model.

    Example:
        >>> import torchvision, visattn
        >>> model = visattn.wrap(torchvision.models.resnet18(), "se", stages=[4])
        >>> [(site, tap.kind) for site, _, tap in find_taps(model)]
        [('layer4.0', 'channel'), ('layer4.1', 'channel')]
    """
    yield from _taps(model, path="", site=None, inside="")


def _taps(
    module: nn.Module, *, path: str, site: str | None, inside: str
) -> Iterator[tuple[str, str, Tap | PairwiseTap]]:
    """Walk down, with the path as it would be without units and compilation."""
    if isinstance(module, (Tap, PairwiseTap)):
        name = path.rpartition(".")[0] if site is None else site
        yield name or "model", inside.rpartition(".")[2] if site is None else inside, module
        return
    if site is None and _is_block(module):
        site, inside = path, ""
    for name, child in module.named_children():
        below = path if is_transparent(module, name) else joined(path, name)
        if isinstance(module, Attended) and name == module.visattn.child:
            outer = path.removesuffix(module.visattn.origin.get("path", path))
            yield from _taps(child, path=below, site=outer + module.visattn.site, inside="")
        else:
            yield from _taps(child, path=below, site=site, inside=joined(inside, name))


def _is_block(module: nn.Module) -> bool:
    """Whether a module is a block of visattn's, which has taps."""
    return type(module).__module__.startswith("visattn.blocks.") and not isinstance(
        module, Attended
    )


def _own_paths(model: nn.Module) -> dict[nn.Module, str | None]:
    """Modules with their paths; None for blocks of visattn's and what is in them."""
    return dict(_paths(model, path="", ours=False))


def _paths(module: nn.Module, *, path: str, ours: bool) -> Iterator[tuple[nn.Module, str | None]]:
    ours = ours or _is_block(module)
    yield module, None if ours else path or "model"
    for name, child in module.named_children():
        below = path if is_transparent(module, name) else joined(path, name)
        yield from _paths(child, path=below, ours=ours)


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


def _watch(
    model: nn.Module, paths: dict[nn.Module, str | None], maps: Recording, *, graph: bool
) -> Watch:
    """What finds the attention that a network has of its own, and adds it to the maps."""
    names = [name for name, _ in model.named_parameters()]
    numbers = {id(parameter): number for number, parameter in enumerate(model.parameters())}

    def report(site: str, reading: Reading) -> None:
        try:
            layout = layout_of(reading.scores, names=names)
        except NoLayoutError as error:
            maps._refuse(site, str(error))
            return
        value = Leaf(reading.value, graph=True) if graph else None
        context = reading.context if graph else None
        found = TokenMap(reading.scores, layout, value, context, reading.order)
        maps._add(site, "", "pairwise" if layout.unplaced is None else "tokens", found)

    return Watch(paths, numbers, report=report, refuse=maps._refuse, graph=graph)
