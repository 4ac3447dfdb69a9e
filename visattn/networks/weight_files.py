"""What a file of weights holds, looked at before a network is built from it."""

import pickle
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

FACTS = "visattn_data"
"""Where a checkpoint of `ImageClassifier` says what it knows of its data."""

_INSIDE = ("state_dict", "model")
_UNREADABLE = (
    pickle.UnpicklingError,
    *(EOFError, LookupError, RuntimeError, ValueError, AttributeError, TypeError),
)
_PREFIXES = ("module.", "_orig_mod.")
_WRAPPERS = {"module", "_orig_mod", "model", "backbone"}


def read_file(path: str | Path) -> dict[str, Any]:
    """What ``torch.save`` or safetensors wrote: plain values and tensors by name, on the CPU.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no such file, damaged, or holds other things than plain values and
            tensors.
    """
    where = Path(path)
    if not where.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    if where.suffix == ".safetensors":
        return _read_safetensors(where)
    if _damaged(where):
        raise ValueError(
            f"{path} is damaged: what it holds is not what was written (check sums differ). Take "
            "another copy or checkpoint"
        )
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            found = torch.load(where, weights_only=True, map_location="cpu")
    except _UNREADABLE as error:
        if not _of_torch(where):
            raise ValueError(
                f"{path} is no file that torch.save wrote, or one that was cut off: "
                f"{_seen(where)}. Take another checkpoint, or train again"
            ) from error
        raise ValueError(
            f"{path} holds Python objects, perhaps a whole network, and not weights alone, or it is"
            " broken. If you trust it, open it yourself, torch.load(FILE, weights_only=False), and"
            " call visattn.audit(model, data) or visattn.record(model)"
        ) from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no weights by name but {type(found).__name__}")
    return found


def weights_in(saved: Mapping[str, Any]) -> dict[str, Tensor]:
    """The state dict of a file: the file itself, or what stands under ``state_dict`` or ``model``.

    Names lose what data parallelism and compilation put before them, and what stands before those
    of the network in a checkpoint of `ImageClassifier`.

    Example:
        >>> weights_in({"epoch": 3, "state_dict": {"module.fc.bias": torch.zeros(2)}})
        {'fc.bias': tensor([0., 0.])}
    """
    inside = next((saved[key] for key in _INSIDE if isinstance(saved.get(key), Mapping)), None)
    state = {
        str(name): value
        for name, value in (saved if inside is None else inside).items()
        if isinstance(value, Tensor)
    }
    for prefix in _PREFIXES:
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    if inside is None:
        return state
    own = {k.removeprefix("model."): v for k, v in state.items() if k.startswith("model.")}
    return own or state


def weights_for(own: Collection[str], saved: Mapping[str, Any]) -> dict[str, Tensor]:
    """`weights_in`, under a network's own names, if the network was a part of another there.

    What stands before the names, any of ``module.``, ``_orig_mod.``, ``model.``, ``backbone.``, is
    dropped where more names are then the network's; what stands beside the part is left out.

    Args:
        own: Names of the network's state dict.
        saved: What a file holds, see `read_file`.

    Example:
        >>> saved = {"model.backbone.fc.bias": torch.zeros(2), "head.bias": torch.zeros(3)}
        >>> weights_for(["fc.weight", "fc.bias"], saved)
        {'fc.bias': tensor([0., 0.])}
    """
    state, names = weights_in(saved), set(own)
    found = [state]
    for before in sorted({_before(name, names) for name in state} - {""}):
        found.append({n.removeprefix(before): v for n, v in state.items() if n.startswith(before)})
    return max(found, key=lambda part: len(part.keys() & names))


def take_weights(model: nn.Module, state: Mapping[str, Tensor], *, strict: bool = True) -> None:
    """``load_state_dict`` of weights without the versions of modules, which most files don't keep.

    They are taken to be the model's own: torchvision's MNASNet refuses weights that say none.
    """
    versioned: OrderedDict[str, Any] = OrderedDict(state)
    versioned._metadata = model.state_dict()._metadata  # type: ignore[attr-defined]
    model.load_state_dict(versioned, strict=strict)


def _before(name: str, own: Collection[str]) -> str:
    """What stands before one of a network's own names, if that is nothing but wrappers."""
    parts = name.split(".")
    count = next((k for k, part in enumerate(parts) if part not in _WRAPPERS), 0)
    counts = [k for k in range(1, count + 1) if ".".join(parts[k:]) in own]
    return "".join(f"{part}." for part in parts[: counts[0]]) if counts else ""


def check_weights(state: Mapping[str, Tensor], *, path: str | Path) -> None:
    """Refuse weights that are no numbers: every answer of such a network is one class.

    Raises:
        ValueError: There is NaN among them.
    """
    broken = [
        name
        for name, value in state.items()
        if value.is_floating_point() and bool(value.isnan().any())
    ]
    if broken:
        raise ValueError(
            f"{path} holds NaN in {len(broken)} of {len(state)} weights, first in "
            f"{broken[0]!r}: its training has failed. Take an earlier checkpoint, such as best.ckpt"
        )


def classifier_in(path: str | Path) -> dict[str, Any]:
    """The content of a checkpoint of `ImageClassifier`, see `read_file`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is something else; the message says what, and what can be done with it.
    """
    saved = read_file(path)
    options = saved.get("hyper_parameters")
    if isinstance(options, Mapping) and FACTS in saved and "num_classes" in options:
        return saved
    count = len(weights_in(saved))
    if isinstance(options, Mapping):
        names = ", ".join(str(name) for name in options if not str(name).startswith("_"))
        raise ValueError(
            f"{path} is no classifier of images that visattn fit wrote (it is the checkpoint of "
            f"another LightningModule, with the options {names or 'none'})"
        )
    if not count:
        keys = ", ".join(str(key) for key in list(saved)[:6])
        raise ValueError(
            f"{path} is no checkpoint that visattn fit wrote (it holds no weights, but "
            f"{keys or 'nothing'})"
        )
    raise ValueError(
        f"{path} is no checkpoint that visattn fit wrote (it holds {count} weights and no "
        "description of the network): visattn audit takes --model NAME --weights FILE, and "
        "visattn.audit(model, data) and visattn.record(model) take any network"
    )


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except SafetensorError as error:
        raise ValueError(f"{path} is no file of safetensors: {error}") from error


def _seen(path: Path) -> str:
    size = path.stat().st_size
    return f"it has {size:,} bytes" if size else "it is empty"


def _damaged(path: Path) -> bool:
    """Whether an archive's check sums say so, which ``torch.load`` doesn't ask; 0 is for none."""
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in filter(lambda entry: entry.CRC, archive.infolist()):
                with archive.open(entry) as content:
                    while content.read(1 << 20):
                        pass
    except zipfile.BadZipFile:
        return True
    return False


def _of_torch(path: Path) -> bool:
    """Whether a file looks like one of ``torch.save``: its archive, or a pickle as of old."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/data.pkl") for name in archive.namelist())
    with path.open("rb") as file:
        return file.read(1) == b"\x80"
