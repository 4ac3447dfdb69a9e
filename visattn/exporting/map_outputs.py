"""Gates and masks as further outputs of a model."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from visattn.basics.suggestions import did_you_mean
from visattn.recording import Recording, find_taps, record


def output_maps(maps: Recording) -> dict[str, Tensor]:
    """Each recorded gate and mask by a name of its own, as a further output of a program.

    ``site.kind``; where a block has several of a kind the tap's name follows, where it ran several
    times the call's number. Queries and keys of pairwise attention are left out.
    """
    found: dict[str, Tensor] = {}
    for site, entry in maps.items():
        for tap, values in entry.values.items():
            kind = entry.kinds[tap]
            if kind == "pairwise":
                continue
            alone = list(entry.kinds.values()).count(kind) == 1
            name = f"{site}.{kind}" if alone else f"{site}.{kind}.{tap}"
            for call, value in enumerate(values):
                key = name if len(values) == 1 else f"{name}.{call}"
                found[key] = value.flatten(1) if kind == "channel" else _without_plane(value)
    return found


class Answering(nn.Module):
    """A model that gives, with its answers, some of the maps that it computed."""

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.names = tuple(names)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """The answers, then the maps."""
        if not self.names:
            return (self.model(images),)
        with record(self.model, graph=True) as maps:
            answers = self.model(images)
        found = output_maps(maps)
        return (answers, *(found[name] for name in self.names))


def map_names(model: nn.Module, example: Tensor, masks: bool | Sequence[str]) -> list[str]:
    """Names of the maps to give, after one run that shows which there are."""
    if not masks:
        with torch.no_grad():
            _check_answers(model, model(example))
        return []
    if not list(find_taps(model)):
        raise ValueError(
            f"{type(model).__name__} has no attention block whose masks could be given. Put one in"
            " with visattn.wrap, or leave masks out."
        )
    with torch.no_grad(), record(model) as maps:
        _check_answers(model, model(example))
    known = list(output_maps(maps))
    chosen: list[str] = known if masks is True else []
    for name in () if isinstance(masks, bool) else masks:
        fitting = [key for key in known if key == name or key.startswith(f"{name}.")]
        if not fitting:
            hint = did_you_mean(name, names=[*known, *maps], cutoff=0.6)
            raise ValueError(f"No mask or gate at {name!r}.{hint} There are {', '.join(known)}.")
        chosen += [key for key in fitting if key not in chosen]
    if not chosen:
        raise ValueError(
            f"The attention of {type(model).__name__} has no gate or mask to give: the weights of"
            " pairwise attention are not outputs. Leave masks out."
        )
    return chosen


def _check_answers(model: nn.Module, answers: Any) -> None:
    if not isinstance(answers, Tensor):
        raise TypeError(
            f"Expected a model that gives a tensor; {type(model).__name__} gave"
            f" {type(answers).__name__}."
        )


def _without_plane(value: Tensor) -> Tensor:
    """(N, 1, H, W) to (N, H, W); others as they are."""
    return value.squeeze(1) if value.ndim == 4 and value.shape[1] == 1 else value
