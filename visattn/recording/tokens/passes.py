"""A pass of a transformer whose layers all attend between the same tokens."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from visattn.basics.modes import evaluating
from visattn.recording.recorder import Recording, record
from visattn.recording.tokens.token_map import TokenMap


@final
@dataclass(frozen=True, eq=False)
class Layers:
    """What a pass left.

    Attributes:
        maps: Attention of each layer, in the order in which they ran.
        slopes: The gradients of the classes' logits with respect to what each layer read.
        reads: (N, T), how much of the answer is read from each token, which sums to 1: for a head
            on the class token that one alone, for one on the mean of the patches all alike.
    """

    maps: list[TokenMap]
    slopes: list[Tensor]
    reads: Tensor


def layers_of(
    model: nn.Module, images: Tensor, *, classes: int | Sequence[int] | Tensor | None
) -> Layers:
    """Run a model and keep its attention, with the gradients of the classes' logits.

    Raises:
        ValueError: The layers' tokens differ, or the logits aren't (N, K) or don't depend on them.
    """
    with undisturbed(model):
        with record(model, graph=True) as recorded:
            logits = model(plain(images))
        maps = same_tokens(recorded)
        score = chosen(logits, classes).sum()
        contexts = [found.context for found in maps if found.context is not None]
        slopes = torch.autograd.grad(score, contexts, allow_unused=True)
    if slopes[-1] is None:
        raise ValueError("the logits don't depend on the attention of the last layer")
    known = [
        torch.zeros_like(context) if slope is None else slope
        for slope, context in zip(slopes, contexts, strict=True)
    ]
    return Layers(maps, known, maps[-1].reads(known[-1]))


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, gradients possible; all as before at the end."""
    with torch.inference_mode(False), torch.enable_grad(), evaluating(model):
        yield


def plain(images: Tensor) -> Tensor:
    """Images from which gradients can be taken, whatever mode they were made in."""
    return images.detach().clone().requires_grad_()


def same_tokens(recorded: Recording) -> list[TokenMap]:
    """The attention of all layers, if it is between the same tokens in each."""
    found: list[TokenMap] = []
    for site, maps in recorded.items():
        for tap, values in maps.values.items():
            for value in values if maps.kinds[tap] in ("pairwise", "tokens") else ():
                if not isinstance(value, TokenMap):
                    continue
                if value.layout.unplaced is not None:
                    raise ValueError(f"at {site} places aren't known: {value.layout.unplaced}")
                first = found[0] if found else value
                sides = {_said(value, "query"), _said(value, "key"), _said(first, "query")}
                if len(sides) > 1:
                    raise ValueError(
                        "attention can be followed through layers only if all of them attend"
                        f" between the same tokens; at {site} there are"
                        f" {' and '.join(sorted(sides))}"
                    )
                found.append(value)
    if recorded.refused or not found:
        why = "; ".join(f"{site}: {reason}" for site, reason in recorded.refused.items())
        raise ValueError(f"not all attention of the model could be recorded: {why or 'none'}")
    return found


def _said(found: TokenMap, side: str) -> str:
    prefix: tuple[str, ...] = getattr(found, f"{side}_prefix")
    height, width = getattr(found, f"{side}_size")
    return f"{' + '.join([*prefix, f'{height} x {width} places'])}"


def chosen(logits: object, classes: int | Sequence[int] | Tensor | None) -> Tensor:
    """The logits of the classes, (N,).

    Raises:
        ValueError: The logits aren't (N, K), or a class is none of theirs.
    """
    logits = getattr(logits, "logits", logits)
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        came = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"the model must return logits (N, K), it returned {came}")
    count, known = logits.shape
    if classes is None:
        return logits.amax(1)
    numbers = torch.as_tensor(classes, device=logits.device).long()
    if numbers.shape not in ((), (count,)):
        raise ValueError(
            f"classes must be one class or one an image ({count},), not {tuple(numbers.shape)}"
        )
    if not 0 <= int(numbers.min()) <= int(numbers.max()) < known:
        raise ValueError(f"the model has the classes 0 to {known - 1}; got {classes}")
    return logits.gather(1, numbers.expand(count)[:, None]).squeeze(1)
