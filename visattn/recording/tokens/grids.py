"""Which tokens of a pass are the cells of a grid over the picture, and in which order."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from visattn.basics.hooks import hooked
from visattn.recording.tokens.layout import NoLayoutError, side_of
from visattn.recording.tokens.places import Places, Unknown, mixed
from visattn.recording.tokens.watching import Watch

Call = tuple[nn.Module, int, bool]
"""A module, which of its calls, and whether what it was given is meant, not what it gave."""
Reshape = Callable[[Tensor], Tensor]
"""From tokens (N, T, C) to maps (N, C, h, w)."""


def token_grids(model: nn.Module, run: Callable[[], object]) -> dict[Call, Reshape | None]:
    """How the tokens (N, T, C) of each call lie on the picture, as its places were followed there.

    They may stand in any order, with others among them. None stands for tokens that fill no grid;
    what could not be followed is left out.

    Args:
        model: Whose modules' tokens.
        run: Runs the model.
    """
    names = [name for name, _ in model.named_parameters()]
    numbers = {id(parameter): number for number, parameter in enumerate(model.parameters())}
    watch = Watch({}, numbers, report=_ignored, refuse=_ignored, graph=False)
    calls: Counter[nn.Module] = Counter()
    seen: dict[Call, Places] = {}

    def note(module: nn.Module, given: Any, output: Any) -> None:
        calls[module] += 1
        first = given[0] if isinstance(given, tuple) and given else None
        for tensor, enters in ((first, True), (output, False)):
            places = watch.places(tensor) if isinstance(tensor, Tensor) else None
            if isinstance(places, Places) and places.ids.ndim == 3:
                seen[module, calls[module], enters] = places

    hooks = hooked((module, note) for module in model.modules())
    with torch.no_grad(), hooks, hooked([(model, watch.look)], before=True), watch:
        run()
    return {call: _reshape(places, names) for call, places in seen.items()}


def _reshape(places: Places, names: Sequence[str]) -> Reshape | None:
    one = mixed(places.moved(places.ids[:1]), (1, places.ids.shape[1], 1), axis=2)
    if isinstance(one, Unknown):
        return None
    rows = one.table[one.ids[..., 0].long()].cpu()
    if not bool((rows[..., 0] >= 0).any()):
        return None
    try:
        side = side_of(rows, names, once=True)
    except NoLayoutError:
        return None
    chosen = side.own[len(side.prefix) :, 1]
    return lambda tokens: tokens[:, chosen.to(tokens.device)].mT.unflatten(2, side.size)


def _ignored(site: str, said: object) -> None:
    """Attention isn't what is looked for."""
