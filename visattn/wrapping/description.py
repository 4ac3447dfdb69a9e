"""Attention in plain values: what stands where in a model, and the same put into another."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Any

from torch import nn

from visattn.blocks.attended import Attended, ZeroStart, base_of, block_of, natural_paths, strip
from visattn.blocks.registry import block_entry, block_names
from visattn.wrapping.insertion import wrap
from visattn.wrapping.placement import Site
from visattn.wrapping.places import site_after, site_before
from visattn.wrapping.tracing import Trace

BROUGHT = "no normalisation"
"""What `wrap` puts in by itself, beside a block that brings a normalisation."""

_FIELDS = ("block", "init", "options", "path", "site", "where")
_OWN = frozenset(inspect.signature(wrap).parameters)


def describe_attention(model: nn.Module) -> list[dict[str, Any]]:
    """What `wrap` put into a model, in an order in which `put_back` puts it into another.

    Args:
        model: With attention or without.

    Returns:
        For each block its registered name, ``init`` and ``options``, the ``path`` of its module
        in the plain model, its ``site`` and ``where`` it stands, as in `visattn.blocks.Attended`.

    Raises:
        ValueError: A block is none that the registry knows by name.

    Example:
        >>> import torchvision
        >>> describe_attention(wrap(torchvision.models.resnet18(), "se", stages=[4]))[-1]["path"]
        'layer4.1.bn2'
    """
    found = [
        {
            "block": _registered(unit),
            "init": unit.visattn.origin["init"],
            "options": dict(unit.visattn.origin["options"]),
            "path": path,
            "site": unit.visattn.site,
            "where": "before" if unit.visattn.where == "before" else "after",
            "above": _height(unit),
        }
        for path, unit in natural_paths(model)
        if isinstance(unit, Attended) and unit.visattn.origin.get("block") != BROUGHT
    ]
    found.sort(key=lambda entry: entry["above"])
    return [{name: entry[name] for name in _FIELDS} for entry in found]


def put_back(
    model: nn.Module,
    described: Sequence[Mapping[str, Any]],
    *,
    input_size: tuple[int, int, int] | None = None,
) -> nn.Module:
    """Put attention into a model as described, in place; after an error it is as it was.

    Args:
        model: As the plain one was, without attention.
        described: By `describe_attention`, perhaps read from a file: nothing in it is run.
        input_size: As for `wrap`.

    Raises:
        ValueError: An entry makes no sense, or doesn't fit the model.
        KeyError: A block is unknown.
    """
    entries = [_checked(entry) for entry in described]
    try:
        for _, group in groupby(entries, key=lambda e: (e["block"], e["init"], e["options"])):
            for sites in _rounds(list(group)):
                first = sites[0]
                wrap(
                    model,
                    first["block"],
                    at=partial(_sites, entries=sites),
                    every=1,
                    init=first["init"],
                    input_size=input_size,
                    stack=True,
                    **first["options"],
                )
    except Exception:
        strip(model)
        raise
    return model


def _registered(unit: Attended) -> str:
    """The name of a unit's block in the registry."""
    origin, block = unit.visattn.origin, block_of(unit)
    if "init" not in origin or "options" not in origin:
        raise ValueError(
            f"The attention at {unit.visattn.site!r} doesn't say how it was made, as an earlier"
            " version put it in. Wrap the model anew and load its state dict."
        )
    if origin["block"] in block_names():
        return str(origin["block"])
    kind = type(block.block if isinstance(block, ZeroStart) else block)
    known = (name for name in block_names() if block_entry(name).factory is kind)
    if name := next(known, None):
        return name
    raise ValueError(
        f"The block {origin['block']!r} at {unit.visattn.site!r} has no name by which others can"
        " ask for it. Give it one with visattn.register_block, and wrap the model by that name."
    )


def _height(unit: Attended) -> int:
    """How many units stand in one another inside of a unit's base: inner ones go in first."""
    inside = (m for m in base_of(unit).modules() if isinstance(m, Attended))
    return 1 + max(map(_height, inside), default=0)


def _rounds(entries: list[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Calls of `wrap`, none of which goes to a place twice."""
    rounds: list[list[Mapping[str, Any]]] = []
    for entry in entries:
        free = (r for r in rounds[-1:] if entry["path"] not in [other["path"] for other in r])
        if (last := next(free, None)) is None:
            rounds.append([entry])
        else:
            last.append(entry)
    return rounds


def _sites(traced: Trace, entries: Sequence[Mapping[str, Any]]) -> list[Site]:
    return [_site(traced, entry) for entry in entries]


def _site(traced: Trace, entry: Mapping[str, Any]) -> Site:
    path, name = entry["path"], entry["site"]
    maps: Mapping[str, Any] = traced.inputs if entry["where"] == "before" else traced.outputs
    if path not in maps:
        raise ValueError(
            f"The model has no map at {path!r}, where there should be {entry['block']!r}: it is"
            " another network than the one that was described."
        )
    if entry["where"] == "before":
        return site_before(path, maps[path], name=name)
    return replace(site_after(traced, path), name=name, path=path)


def _checked(entry: Any) -> Mapping[str, Any]:
    """An entry whose fields are all there and of their kinds, and no options but a block's."""
    kinds: dict[str, type] = dict.fromkeys(_FIELDS, str) | {"options": dict}
    for name, kind in kinds.items():
        if not isinstance(entry, Mapping) or not isinstance(entry.get(name), kind):
            raise ValueError(f"Expected attention with {name!r}, a {kind.__name__}, got {entry!r}.")
    if foreign := sorted(_OWN & set(entry["options"])):
        raise ValueError(f"{foreign[0]!r} is no option of a block: {entry!r}.")
    block_entry(entry["block"])
    return entry
