"""State dicts of units: their names, how their attention was made, plain models' read too."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from visattn.blocks.standing import Unit, base_of, block_of


def hide_base(unit: nn.Module, state: dict[str, Tensor], prefix: str, _: Any) -> None:
    """Nothing: models that earlier versions pickled name it."""


def note_origin(unit: Unit, state: Any, prefix: str, metadata: dict[str, Any]) -> None:
    """Say how the attention was made, in what a state dict keeps beside its tensors."""
    metadata["visattn"] = made_of(unit)


def made_of(unit: Unit) -> dict[str, Any]:
    """What decides what a unit's attention computes, beside its weights: plain values."""
    known = {name: unit.visattn.origin.get(name) for name in ("init", "options")}
    return {"block": type(block_of(unit)).__name__, "where": unit.visattn.where, **known}


def differences(saved: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """What of two such descriptions differs, in words; what one doesn't say counts as alike."""
    unlike = [
        f"{name} {saved[name]!r} there, {here[name]!r} here"
        for name in here
        if saved.get(name) is not None and here[name] is not None and saved[name] != here[name]
    ]
    return "; ".join(unlike)


def plain_value(value: Any) -> Any:
    """An option as JSON can say it: anything that is no plain value by its name."""
    if isinstance(value, (list, tuple)):
        return [plain_value(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): plain_value(item) for name, item in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return getattr(value, "__qualname__", type(value).__qualname__)


def find_base(
    unit: Unit,
    state: dict[str, Tensor],
    prefix: str,
    metadata: Mapping[str, Any],
    strict: bool,
    missing: list[str],
    unexpected: list[str],
    errors: list[str],
) -> None:
    """Give the entries of a plain state dict the names that they have here.

    A base that is kept aside is loaded from them. Attention that was made otherwise is an error.
    """
    how = unit.visattn
    if unlike := differences(metadata.get("visattn", {}), made_of(unit)):
        errors.append(
            f"The attention at {how.site!r} was made otherwise: {unlike}. Wrap the model as the"
            " saved one was."
        )
    ours = (f"{prefix}{how.child}.", f"{prefix}{how.inner}.")
    entries = {
        name: key
        for key in state
        if key.startswith(prefix)
        and not key.startswith(ours)
        and (name := key.removeprefix(prefix)) not in unit._buffers
    }
    if how.where == "instead":
        base = base_of(unit)
        shapes = {name: tensor.shape for name, tensor in base.state_dict().items()}
        fitting = {n: key for n, key in entries.items() if shapes.get(n) == state[key].shape}
        base.load_state_dict({n: state.pop(k) for n, k in fitting.items()}, strict=False)
        return
    for name, key in entries.items():
        state[f"{ours[1]}{name}"] = state.pop(key)
    if entries:
        vars(unit)["_loading"] = prefix


def name_missing(unit: Unit, keys: Any) -> None:
    """Report what a plain state dict lacks, or has too much, by its own names."""
    prefix = vars(unit).pop("_loading", None)
    if prefix is None:
        return
    inner = f"{prefix}{unit.visattn.inner}."
    for names in (keys.missing_keys, keys.unexpected_keys):
        names[:] = [
            prefix + name.removeprefix(inner) if name.startswith(inner) else name for name in names
        ]
