"""Which transformers are recorded, and whether their rows are the explicit softmax."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from matrix.architectures import Architecture
from visattn.recording import Recording, record
from visattn.recording.tokens.attending import may_attend
from visattn.recording.tokens.token_map import TokenMap

SLACK = 1e-5
"""By so much rows may differ from the explicit softmax."""

BESIDE = (Architecture("mobilevit", "mobilevitv2_050"),)
"""Tried beside the smallest of each family: transformers of another kind than that one."""


NOTES = (
    "CoaT's factorised attention is `q (softmax(k)ᵀ v)`: its softmax goes over the places of each"
    " channel of the keys, and that summary is mixed by the channels of a query. Multiplied out,"
    " `q softmax(k)ᵀ` has a number for each pair of places, but with random weights half of them"
    " are negative, they don't add up to 1, and nothing in the network normalises them: drawn as"
    " attention they would be a map that isn't there.",
    "",
    "MobileViTv2 has separable attention: one softmax over all patches, and each patch is"
    " multiplied by the same summary. No patch has a row of its own.",
)
"""What stands at the end of the page."""


@dataclass(frozen=True)
class Recorded:
    """What a recording of one architecture gave.

    Attributes:
        architecture: Which.
        layers: Attention that was recorded.
        placed: How many of them with their tokens' places.
        held: How many of them with their weights held whole.
        worst: By how much a row differs from the explicit softmax at most.
        same: Whether the outputs are those without a recording.
        refused: Why other attention wasn't recorded, and how much of it.
    """

    architecture: Architecture
    layers: int
    placed: int
    held: int
    worst: float
    same: bool
    refused: dict[str, int]

    @property
    def sound(self) -> bool:
        """Whether attention was recorded, rightly."""
        return self.layers > 0 and self.same and self.worst <= SLACK


def size_of(architecture: Architecture) -> tuple[Architecture, int | None]:
    """Number of parameters; None if there is no attention in the network's code."""
    try:
        with torch.device("meta"):
            model = architecture.build()
    except (NotImplementedError, RuntimeError):  # it computes with its weights
        return architecture, None
    attends = may_attend(model.modules())
    return architecture, sum(p.numel() for p in model.parameters()) if attends else None


def smallest(sizes: Sequence[tuple[Architecture, int | None]]) -> list[Architecture]:
    """The smallest of each family that has attention."""
    found: dict[str, tuple[int, Architecture]] = {}
    for architecture, size in sizes:
        if size is not None:
            entry = (size, architecture)
            found[architecture.family] = min(found.get(architecture.family, entry), entry)
    return [architecture for _, (_, architecture) in sorted(found.items())]


def check(architecture: Architecture) -> Recorded:
    """Record an architecture with random weights, and compare."""
    torch.manual_seed(0)
    model = architecture.build().eval()
    size = getattr(model, "default_cfg", {}).get("input_size", (3, 224, 224))[-1]
    images = torch.randn(2, 3, size, size)
    maps, same, worst = _compare(model, images)
    if worst > SLACK:  # scores in the hundreds, whose rounding alone is more than that
        maps, same, worst = _compare(model.double(), images.double())
    found = _found(maps)
    reasons = list(maps.refused.values()) + [v.layout.unplaced for v in found if v.layout.unplaced]
    return Recorded(
        architecture,
        len(found),
        sum(value.layout.unplaced is None for value in found),
        sum(value.held for value in found),
        worst,
        same,
        {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)},
    )


def _compare(model: nn.Module, images: Tensor) -> tuple[Recording, bool, float]:
    """A recording, whether the outputs are the same with it, and the largest difference."""
    maps, same = Recording(), True
    with torch.no_grad():
        with explicit_weights() as caught:
            expected = model(images)
        try:
            with record(model) as maps:
                same = torch.equal(_tensor(model(images)), _tensor(expected))
        except (RuntimeError, ValueError) as error:
            if not maps.refused:
                maps.refused["model"] = str(error).partition(". ")[0]
        worst = max((_difference(value, caught) for value in _found(maps)), default=0.0)
    return maps, same, worst


def _found(maps: Recording) -> list[TokenMap]:
    return [v for s in maps.values() for v in s.values.get("", []) if isinstance(v, TokenMap)]


@contextmanager
def explicit_weights() -> Iterator[list[Tensor]]:
    """Rows of whatever multiplies values in the passes inside, written out where it is fused."""
    caught: list[Tensor] = []
    fused = F.scaled_dot_product_attention

    def written_out(
        query: Tensor, key: Tensor, value: Tensor, mask: Any = None, *args: Any, **options: Any
    ) -> Tensor:
        mask, scale = options.pop("attn_mask", mask), options.get("scale")
        scores = query @ key.mT * (query.shape[-1] ** -0.5 if scale is None else scale)
        if mask is not None:
            masks = mask.dtype == torch.bool
            scores = scores.masked_fill(~mask, -torch.inf) if masks else scores + mask
        scores.softmax(-1)  # which is caught
        return fused(query, key, value, mask, *args, **options)

    def multiplied(product: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def call(left: Tensor, right: Tensor) -> Tensor:
            caught.append(_some_rows(left))
            return product(left, right)

        return call

    def normalised(softmax: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def call(scores: Tensor, *args: Any, **options: Any) -> Tensor:
            weights = softmax(scores, *args, **options)
            caught.append(_some_rows(weights))
            return weights

        return call

    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # which computes attention out of sight
    with (
        patch.object(F, "scaled_dot_product_attention", written_out),
        patch.object(F, "softmax", normalised(F.softmax)),
        patch.object(Tensor, "softmax", normalised(Tensor.softmax)),
        patch.object(Tensor, "__matmul__", multiplied(Tensor.__matmul__)),
        patch.object(torch, "matmul", multiplied(torch.matmul)),
        ExitStack() as stack,
    ):
        stack.callback(torch.backends.mha.set_fastpath_enabled, fast)
        yield caught


def page(recorded: Sequence[Recorded], *, head: str) -> str:
    """The whole page."""
    attending = [entry for entry in recorded if entry.layers]
    sound = [entry for entry in attending if entry.sound]
    lines = [
        "# Which transformers are recorded",
        "",
        f"{head} The smallest architecture of each family that has a softmax and products of"
        " matrices in its code, with random weights: `visattn.record`, and the first, middle and"
        " last row of every head against the softmax written out (in double precision where scores"
        " are so large that rounding alone is more)."
        f" Of {len(attending)} families with softmax attention between places,"
        f" {len(sound)} have outputs unchanged and rows equal to {SLACK:g}.",
        "",
        "| family | architecture | layers | on the picture | held whole | differs by |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for entry in attending:
        own = entry.architecture
        lines.append(
            f"| {own.family} | {own.name} | {entry.layers} | {entry.placed} | {entry.held} |"
            f" {entry.worst:.0e} |"
        )
    lines += ["", "## What isn't, or isn't on the picture", ""]
    for entry in recorded:
        for reason, count in entry.refused.items():
            lines.append(f"- {entry.architecture.name} ({count}): {reason}.")
    return "\n".join([*lines, "", *NOTES]) + "\n"


def _some_rows(weights: Tensor) -> Tensor:
    """The first, the middle and the last row of each: all of them would fill the memory."""
    if weights.ndim < 2:
        return weights
    rows = weights.index_select(-2, _numbers(weights.shape[-2]))
    return rows.reshape(-1, *rows.shape[-2:])


def _numbers(count: int) -> Tensor:
    return torch.tensor([0, count // 2, count - 1])


def _difference(value: TokenMap, caught: Sequence[Tensor]) -> float:
    """The largest difference from those weights of the same shape that are nearest."""
    rows = value.scores.rows(_numbers(value.scores.count))
    rows = rows.reshape(-1, *rows.shape[-2:])
    alike = [float((x - rows).abs().max()) for x in caught if x.shape == rows.shape]
    return min(alike, default=torch.inf)


def _tensor(answers: object) -> Tensor:
    return answers if isinstance(answers, Tensor) else next(iter(answers))  # type: ignore[call-overload]
