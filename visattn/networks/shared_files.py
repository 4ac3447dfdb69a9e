"""What a shared folder holds: a description in JSON, and weights by safetensors."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import timm
import torch
import torchvision
from torch import Tensor, nn

import visattn
from visattn.basics.suggestions import did_you_mean
from visattn.networks.backbone import build_backbone, unknown_backbone
from visattn.wrapping.weights import backbone_state_dict

Kind = Literal["model", "attention"]
CONFIG = "config.json"
FORMAT = 1
WEIGHTS: Mapping[str, tuple[str, ...]] = {
    "model": ("model.safetensors",),
    "attention": ("attention.safetensors", "attention.json"),
}
"""Each kind's files. Their names are fixed: no description names a path."""

_FIELDS: Mapping[str, type] = {
    "kind": str,
    "versions": dict,
    "backbone": dict,
    "input_size": list,
    "attention": list,
    "data": dict,
    "sha256": dict,
}
_LOADING = {
    *("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir"),
    *("weights", "weights_backbone", "num_classes"),
}
"""Arguments of constructors that fetch or open other files."""
_TORCHVISION = "torchvision.models."


def versions() -> dict[str, str]:
    """The versions that decide what a name of a network stands for."""
    modules = (visattn, torch, timm, torchvision)
    return {module.__name__: str(module.__version__) for module in modules}


def read_config(path: Path, *, source: str) -> dict[str, Any]:
    """The description of a shared folder.

    Args:
        path: The file.
        source: What to call the folder in errors.

    Raises:
        ValueError: It is none of visattn's, is broken, or of a newer version.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(
            f"{CONFIG} of {source} is no JSON ({error}): it is broken, or half written. Save or"
            " fetch it again."
        ) from error
    if not isinstance(config, dict) or config.get("library") != "visattn":
        raise ValueError(f"{source} is no folder of visattn's: {_whose(config)}")
    if config.get("format") != FORMAT:
        raise ValueError(
            f"{source} has format {config.get('format')!r}, this visattn ({visattn.__version__})"
            f" reads {FORMAT}. Update visattn."
        )
    for name, kind in _FIELDS.items():
        if not isinstance(config.get(name), kind):
            raise ValueError(
                f"{CONFIG} of {source} has no {name!r} that is a {kind.__name__}, but"
                f" {config.get(name)!r}: somebody changed it. Take another revision."
            )
    if config["kind"] not in WEIGHTS:
        raise ValueError(
            f"{CONFIG} of {source} has the kind {config['kind']!r}, expected one of {list(WEIGHTS)}"
        )
    return config


def _whose(config: Any) -> str:
    """Who wrote a ``config.json``, as far as it shows, and what opens it."""
    if isinstance(config, Mapping) and "pretrained_cfg" in config:
        return "timm wrote it; build it with timm.create_model('hf-hub:OWNER/NAME') and wrap it."
    if isinstance(config, Mapping) and "model_type" in config:
        return "transformers wrote it; open it with transformers and wrap it."
    return f'its {CONFIG} lacks "library": "visattn". visattn.save_pretrained writes such a folder.'


def check_whole(path: Path, digest: object) -> None:
    """Refuse a file that is not the one that was saved.

    Raises:
        ValueError: It is another, cut off, or stands for one that git-lfs has not fetched.
    """
    with path.open("rb") as file:
        if file.read(20) == b"version https://git-":
            raise ValueError(
                f"{path} is not the file but git-lfs's note of it: run git lfs pull in its folder."
            )
        file.seek(0)
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != digest:
        raise ValueError(
            f"{path} ({path.stat().st_size:,} bytes) is not the file that {CONFIG} beside it was"
            " written with: it is cut off, or of another revision. Fetch or save both again."
        )


def digest_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe_backbone(
    model: nn.Module, name: str | None, options: Mapping[str, Any] | None
) -> dict[str, Any]:
    """A network's name, number of logits and options.

    Args:
        model: With attention or without.
        name: As timm or torchvision calls it; timm's networks say it themselves.
        options: What it was built with beside the number of classes.

    Raises:
        ValueError: The name isn't known, or an option loads other files.
    """
    settings = getattr(model, "pretrained_cfg", None) or {}
    if name is None and settings.get("architecture"):
        tag = settings.get("tag")
        name = f"{settings['architecture']}.{tag}" if tag else settings["architecture"]
    if name is None:
        raise ValueError(
            f"{type(model).__name__} doesn't say by which name others can build it: give backbone="
            " a timm name or one of torchvision's, such as 'torchvision.models.resnet18', and"
            " backbone_options. A network of your own is shared by its state dict and its code."
        )
    found = {
        "name": name,
        "num_classes": _num_classes(model, settings),
        "options": dict(options or {}),
    }
    check_backbone(found)
    return found


def _num_classes(model: nn.Module, settings: Mapping[str, Any]) -> int:
    """The rows of the classifier that timm names, or else of the last matrix or convolution."""
    state = backbone_state_dict(model)
    said = settings.get("classifier")
    said = said[0] if isinstance(said, (tuple, list)) and said else said
    if f"{said}.weight" in state:
        return len(state[f"{said}.weight"])
    rows = [len(t) for name, t in state.items() if name.endswith("weight") and t.ndim in (2, 4)]
    return rows[-1] if rows else 0


def check_backbone(backbone: Mapping[str, Any]) -> None:
    """Refuse a network that is none of timm's or torchvision's, before anything of it is run.

    Raises:
        ValueError: For its name or an option, with what is known.

    Example:
        >>> check_backbone({"name": "os.system", "num_classes": 2, "options": {}})
        Traceback (most recent call last):
        ...
        ValueError: unknown backbone 'os.system'...
    """
    name, options = backbone.get("name"), backbone.get("options")
    if not isinstance(name, str) or not isinstance(backbone.get("num_classes"), int):
        raise ValueError(f"Expected a backbone with a name and num_classes, got {dict(backbone)}.")
    names = [_TORCHVISION + n for n in torchvision.models.list_models(module=torchvision.models)]
    if not (timm.is_model(name) or name in names):
        hint = did_you_mean(name, names=names) if name.startswith(_TORCHVISION) else ""
        raise ValueError(f"{unknown_backbone(name)} or one of torchvision.models.{hint}")
    loading = sorted(_LOADING & set(options or {}))
    if loading or not isinstance(options, Mapping):
        raise ValueError(
            f"backbone_options must be arguments of {name} that load nothing else, got"
            f" {loading[0] if loading else options!r}: the weights are those of the shared file."
        )


def build_described(config: Mapping[str, Any], *, source: str) -> nn.Module:
    """The network of a description, without attention.

    Raises:
        ValueError: This machine's timm or torchvision has none of that name, or makes it otherwise.
    """
    backbone = config["backbone"]
    check_backbone(backbone)
    try:
        with torch.random.fork_rng(devices=[]):
            return build_backbone(
                backbone["name"], num_classes=backbone["num_classes"], options=backbone["options"]
            )
    except Exception as error:
        raise ValueError(
            f"{source} is of {backbone['name']}, which could not be built: {error}."
            f"{told_versions(config)}"
        ) from error


def told_versions(config: Mapping[str, Any]) -> str:
    """A sentence on the versions that a folder was saved with, where they are others here."""
    here, saved = versions(), config["versions"]
    unlike = [f"{name} {saved.get(name)}, here {here[name]}" for name in here]
    unlike = [
        text for text, name in zip(unlike, here, strict=True) if saved.get(name) != here[name]
    ]
    return f" It was saved with {'; '.join(unlike)}." if unlike else ""


def fingerprints(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Eight characters for the values of each tensor."""
    return {
        name: hashlib.sha256(tensor.detach().cpu().float().numpy().tobytes()).hexdigest()[:8]
        for name, tensor in state.items()
    }


ToPath = Callable[[str], Path]
"""From the name of a file of a shared folder to where it lies."""
