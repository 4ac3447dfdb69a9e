"""LeGrad: where a transformer finds a class, by how its attention would have to change for it."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from visattn.basics.hooks import hooked
from visattn.blocks.attended import natural_paths
from visattn.recording.recorder import Recording, record
from visattn.recording.tokens.passes import chosen, plain, same_tokens, undisturbed


def legrad(
    model: nn.Module, images: Tensor, *, classes: int | Sequence[int] | Tensor | None = None
) -> Tensor:
    r"""LeGrad: the gradients of a class with respect to each layer's attention.

    .. math:: \frac{1}{L} \sum_l \frac{1}{h n} \sum_{h, i}
        \Big(\frac{\partial s^l}{\partial A^l_{h, i}}\Big)^+

    with the logit :math:`s^l` that the model's head gives to the mean of layer l's n tokens. The
    paper brings the map to [0, 1] at the end; here it stays raw. A compiled model runs uncompiled.

    Args:
        model: Images (N, C, H, W) to logits (N, K); a transformer of blocks that all attend between
            the same tokens, with nothing inserted, and a head without attention.
        images: Images (N, C, H, W) as the model takes them.
        classes: One class for all images or one an image (N,); those that the model predicts if
            None.

    Returns:
        Maps (N, h, w) over the patches, at least 0.

    Raises:
        ValueError: If the layers' tokens differ, attention can't be recorded, there is attention
            behind the blocks, or there is no such class.

    Example:
        >>> import timm, torch
        >>> model = timm.create_model("test_vit", img_size=64, num_classes=5)
        >>> legrad(model, torch.randn(2, 3, 64, 64), classes=3).shape
        torch.Size([2, 4, 4])

    Source: Bousselham et al., LeGrad: An Explainability Method for Vision Transformers via Feature
    Formation Sensitivity, 2024, arXiv:2404.03214.
    """
    with undisturbed(model):
        with record(model) as first, torch.no_grad():
            logits = model(images.detach().clone())
        same_tokens(first)
        if classes is None:
            answers = getattr(logits, "logits", logits)
            chosen(answers, None)
            classes = answers.argmax(1)
        blocks = _blocks(model, first)
        states: dict[int, Tensor] = {}
        hooks = [
            (block, _noted(states, number, last=number == len(blocks) - 1))
            for number, block in enumerate(blocks)
        ]
        with record(model, graph=True) as recorded, hooked(hooks):
            logits = model(plain(images))
        maps, count = same_tokens(recorded), len(images)
        if len(maps) != len(blocks):
            raise ValueError("there is attention behind the blocks, which LeGrad doesn't follow")
        numbers = torch.as_tensor(classes, device=images.device).expand(count)
        scores = chosen(logits, numbers.repeat(len(maps))).unflatten(0, (len(maps), count)).sum(1)
        total = images.new_zeros(count, maps[0].tokens)
        even = torch.full_like(total, 1 / maps[0].tokens)
        for score, found in zip(scores, maps, strict=True):
            context = found.context
            assert context is not None  # the recording keeps the graph
            (slope,) = torch.autograd.grad(score, context, retain_graph=True)
            total = total + found.folded(even, combine=_positive, slope=slope)
    return maps[0].on_places(total / len(maps))


def _positive(weights: Tensor, slopes: Tensor | None) -> Tensor:
    return weights if slopes is None else slopes.clamp(min=0)


def _blocks(model: nn.Module, recorded: Recording) -> list[nn.Module]:
    """The module around each layer's attention: where the paths of the layers part."""
    paths = [site.split(".") for site in recorded]
    depth = next(
        (n for n, parts in enumerate(zip(*paths, strict=False)) if len(set(parts)) > 1),
        max(0, len(paths[0]) - 2),
    )
    modules = dict(natural_paths(model))
    found = [modules[".".join(path[: depth + 1])] for path in paths]
    if len({id(module) for module in found}) < len(found):
        raise ValueError("a block with attention runs several times, or has several layers of it")
    return found


def _noted(states: dict[int, Tensor], number: int, *, last: bool) -> Callable[..., Any]:
    """A hook that keeps a block's tokens; that of the last one gives the means of all of them.

    What follows, the head, then answers for every layer in one batch.
    """

    def hook(module: nn.Module, inputs: Any, output: Any) -> Any:
        tokens = output[0] if isinstance(output, tuple) else output
        if not isinstance(tokens, Tensor) or tokens.ndim != 3:
            raise ValueError(f"{type(module).__name__} gives no tokens (N, T, C)")
        states[number] = tokens
        if not last:
            return None
        means = [state.mean(1, keepdim=True).expand_as(state) for state in states.values()]
        together = torch.cat(means)
        return (together, *output[1:]) if isinstance(output, tuple) else together

    return hook
