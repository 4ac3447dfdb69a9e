"""Networks with attention, or attention alone, for others: a folder, or the Hugging Face hub."""

import copy
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict, Unpack

import torch
from torch import Tensor, nn

from visattn.basics.files import whole_file, write_whole
from visattn.blocks.attended import Attended, base_of, strip
from visattn.networks.fetching import from_pretrained
from visattn.networks.loading import load_classifier
from visattn.networks.model_card import REPOSITORY, model_card
from visattn.networks.shared_files import (
    CONFIG,
    FORMAT,
    WEIGHTS,
    describe_backbone,
    digest_of,
    fingerprints,
    versions,
)
from visattn.networks.weight_files import check_weights, classifier_in
from visattn.wrapping.description import describe_attention
from visattn.wrapping.passes import tensors_in
from visattn.wrapping.tracing import default_input_size
from visattn.wrapping.weights import backbone_state_dict, save_attention

CARD = "README.md"


class Saving(TypedDict, total=False):
    """What `save_pretrained` and `push_to_hub` take beside the network and the place."""

    attention_only: bool
    backbone: str | None
    backbone_options: Mapping[str, Any] | None
    input_size: tuple[int, int, int] | None
    data: Mapping[str, Any] | None
    results: Mapping[str, float | str] | None
    command: str | None
    license: str | None


def save_pretrained(
    model: nn.Module | str | Path,
    folder: str | Path,
    *,
    attention_only: bool = False,
    backbone: str | None = None,
    backbone_options: Mapping[str, Any] | None = None,
    input_size: tuple[int, int, int] | None = None,
    data: Mapping[str, Any] | None = None,
    results: Mapping[str, float | str] | None = None,
    command: str | None = None,
    license: str | None = None,
) -> Path:
    """Save a network with its attention, or its attention alone, for `visattn.from_pretrained`.

    Written are ``config.json`` (backbone, sites, blocks, options, ``init``, versions), the weights
    as safetensors, and a model card ``README.md`` unless there is one. Before that they are opened
    again: a network that would answer otherwise than ``model`` does is refused, and nothing is
    written.

    Args:
        model: A network by timm or torchvision, with attention or without, which isn't changed; or
            a checkpoint that ``visattn fit`` wrote.
        folder: Where to; made if it isn't there.
        attention_only: Leave the backbone out, its classifier too: a small file for others who
            have it.
        backbone: The name that others build it by, such as ``"torchvision.models.resnet18"``;
            timm's networks and checkpoints say it themselves.
        backbone_options: What it was built with beside ``num_classes``, such as
            ``{"act_layer": "silu"}``.
        input_size: (C, H, W) of the images; timm's own, or (3, 224, 224).
        data: What is known of the images: ``class_names``, ``mean``, ``std`` and more, as in
            ``ImageClassifier.data_facts``; a checkpoint says it itself.
        results: For the model card, such as ``{"accuracy": 0.91}``.
        command: The one that gave them.
        license: Of the weights, as the hub calls it, such as ``"apache-2.0"``.

    Returns:
        The folder.

    Raises:
        FileNotFoundError: ``model`` is a path where no checkpoint is.
        ValueError: The network can't be built again from names and plain values, or not so that
            it answers the same and drops the same in training; it has no attention to be saved
            alone; a weight is NaN.
    """
    if isinstance(model, (str, Path)):
        saved = classifier_in(model)["hyper_parameters"]
        network, facts = load_classifier(model)
        backbone = backbone or saved.get("backbone")
        backbone_options = backbone_options or saved.get("backbone_options")
    else:
        network, facts = _inner(model), getattr(model, "data_facts", {})
    kind = "attention" if attention_only else "model"
    if kind == "model" and getattr(network, "num_classes", None) == 0:
        raise ValueError(
            f"{type(network).__name__} has no classifier (num_classes=0), and from_pretrained"
            " builds one. Share the attention alone: attention_only=True."
        )
    plain = strip(copy.deepcopy(network))
    config: dict[str, Any] = {
        "library": "visattn",
        "format": FORMAT,
        "kind": kind,
        "versions": versions(),
        "backbone": describe_backbone(plain, backbone, backbone_options),
        "input_size": list(input_size or default_input_size(plain)),
        "attention": describe_attention(network),
        "data": dict(facts if data is None else data),
    }
    if attention_only:
        config["backbone_tensors"] = fingerprints(backbone_state_dict(network))
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target, prefix=".visattn-") as name:
        part = Path(name)
        _write_weights(network, part / WEIGHTS[kind][0], attention_only=attention_only)
        config["sha256"] = {name: digest_of(part / name) for name in WEIGHTS[kind]}
        write_whole(part / CONFIG, _as_json(config))
        _check_same(network, _again(part, plain if attention_only else None), config)
        (target / CONFIG).unlink(missing_ok=True)  # none is better than one of other weights
        for name in (*WEIGHTS[kind], CONFIG):
            (part / name).replace(target / name)
    if not (target / CARD).exists():
        card = model_card(config, results=results, command=command, license=license)
        write_whole(target / CARD, card)
    return target


def push_to_hub(
    model: nn.Module | str | Path,
    repo_id: str,
    *,
    private: bool = False,
    revision: str | None = None,
    token: str | bool | None = None,
    message: str = "Upload by visattn",
    **saving: Unpack[Saving],
) -> str:
    """Put a network with its attention, or its attention alone, on the Hugging Face hub.

    The files are those of `visattn.save_pretrained`, checked before anything is sent.

    Args:
        model: As there.
        repo_id: The repository, such as ``"me/resnet50-cbam"``; made if it isn't there.
        private: Make it a private one.
        revision: The branch; made if it isn't there. The repository's main one if None.
        token: With the right to write; the one that ``hf auth login`` keeps if None.
        message: Of the commit.
        **saving: As for `visattn.save_pretrained`.

    Returns:
        The address of the repository.

    Raises:
        FileNotFoundError: ``model`` is a path where no checkpoint is.
        ValueError: As by `visattn.save_pretrained`; or ``repo_id`` is no name of a repository.
        OSError: The hub can't be reached, or gives no right to write.

    Example:
        >>> model = nn.Linear(2, 2)
        >>> push_to_hub(model, "no/such/name")
        Traceback (most recent call last):
        ...
        huggingface_hub.errors.HFValidationError: ...
    """
    import huggingface_hub

    huggingface_hub.utils.validate_repo_id(repo_id)
    api = huggingface_hub.HfApi(token=token)
    with tempfile.TemporaryDirectory() as folder:
        card = save_pretrained(model, folder, **saving) / CARD
        write_whole(card, card.read_text(encoding="utf-8").replace(REPOSITORY, repo_id))
        address = api.create_repo(repo_id, private=private, exist_ok=True)
        if revision is not None:
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        api.upload_folder(
            repo_id=repo_id, folder_path=folder, revision=revision, commit_message=message
        )
    return str(address)


def _inner(model: nn.Module) -> nn.Module:
    """The network inside of what data parallelism and compilation put around it."""
    while isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        model = model.module
    return getattr(model, "_orig_mod", model)


def _as_json(config: Mapping[str, Any]) -> str:
    try:
        return json.dumps(config, indent=1) + "\n"
    except TypeError as error:
        raise ValueError(
            f"Only plain values can be shared ({error}): look at backbone_options and data."
        ) from error


def _write_weights(network: nn.Module, path: Path, *, attention_only: bool) -> None:
    if attention_only:
        save_attention(network, path)
        return
    from safetensors.torch import save_file

    state = {**network.state_dict(), **_aside(network)}
    check_weights(state, path="the network")
    apart = {
        n: t.detach().cpu().clone(memory_format=torch.contiguous_format) for n, t in state.items()
    }
    with whole_file(path) as part:
        save_file(apart, part)


def _aside(network: nn.Module) -> dict[str, Tensor]:
    """What `wrap` put aside, a convolution that a block takes the place of, by names to load."""
    return {
        f"{path}.{name}": tensor
        for path, unit in network.named_modules()
        if isinstance(unit, Attended) and unit.visattn.where == "instead"
        for name, tensor in base_of(unit).state_dict().items()
    }


def _again(folder: Path, model: nn.Module | None) -> nn.Module:
    try:
        return from_pretrained(folder, model=model)
    except ValueError as error:
        text = str(error).replace(str(folder), "It")
        raise ValueError(f"The network can't be shared: {text} {_HOW}") from error


def _dropped(network: nn.Module) -> dict[str, float]:
    """The shares that are dropped in training, by name: no output in evaluation tells them."""
    return {
        f"{path}.{name}".lstrip("."): value
        for path, module in network.named_modules()
        for name in ("p", "drop_prob", "drop_rate")
        if isinstance(value := getattr(module, name, None), float) and value
    }


_HOW = "Say with backbone=, backbone_options= and input_size= how it was built and wrapped."


def _check_same(network: nn.Module, again: nn.Module, config: Mapping[str, Any]) -> None:
    """Refuse a network that would come back as another one."""
    unlike = dict(_dropped(network).items() ^ _dropped(again).items())
    if unlike:
        raise ValueError(
            f"The network can't be shared: {config['backbone']['name']}, built anew, drops other"
            f" shares in training ({', '.join(sorted(unlike)[:3])}). {_HOW}"
        )
    here = copy.deepcopy(network).cpu().eval().to(memory_format=torch.contiguous_format)
    again = again.cpu().eval().to(memory_format=torch.contiguous_format)
    kind = next((p.dtype for p in here.parameters() if p.is_floating_point()), torch.float32)
    image = torch.randn(1, *config["input_size"], generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        pairs = list(zip(*(tensors_in([m(image.to(kind))]) for m in (here, again)), strict=True))
    gaps = [float((a.float() - b.float()).abs().max() / a.float().abs().max()) for a, b in pairs]
    if not gaps or not max(gaps) < 1e-5:
        told = f"outputs that differ by {max(gaps):.1e}" if gaps else "no outputs"
        name = config["backbone"]["name"]
        raise ValueError(
            f"The network can't be shared: {name}, built anew with its weights, gives {told}."
            f" {_HOW}"
        )
