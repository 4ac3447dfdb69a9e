"""A shared network, or attention alone, from a folder or from the Hugging Face hub."""

import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from visattn.blocks.attended import attended, strip
from visattn.networks.shared_files import (
    CONFIG,
    WEIGHTS,
    ToPath,
    build_described,
    check_whole,
    fingerprints,
    read_config,
    told_versions,
)
from visattn.networks.weight_files import check_weights, read_file, take_weights
from visattn.wrapping.description import put_back
from visattn.wrapping.weights import backbone_state_dict, load_attention


def from_pretrained(
    source: str | Path,
    *,
    model: nn.Module | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> nn.Module:
    """A network with its attention, as `visattn.save_pretrained` or `visattn.push_to_hub` wrote it.

    Nothing in the files is run: the description is JSON, the weights are safetensors, and names
    lead only to networks of timm and torchvision and to registered blocks. What the data were
    (``class_names``, ``mean``, ``std``, as far as known) is in ``data_facts`` of the network.

    Args:
        source: A folder, or the name of a repository on the hub, such as ``"me/resnet50-cbam"``.
        model: For attention that was shared alone: the network that it goes into, in place, plain
            or wrapped as the shared one was.
        revision: Branch, tag or commit on the hub.
        token: For a private repository; the one that ``hf auth login`` keeps if None.
        cache_dir: Where files of the hub are kept.
        local_files_only: Take what was fetched before, and don't ask the hub.

    Returns:
        The network in evaluation mode, of the types of the saved weights, on the CPU; or
        ``model`` in the mode and on the device that it has.

    Raises:
        FileNotFoundError: There is no such folder, repository, revision or file.
        ValueError: The files are broken, of another library, or name networks or blocks that
            are none; or they don't fit ``model``, which is as it was.
        OSError: The hub can't be reached, or gives no access.

    Example:
        >>> import tempfile, torch, visattn
        >>> model = visattn.wrap("resnet10t", "se").eval()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     again = from_pretrained(visattn.save_pretrained(model, folder))
        >>> images = torch.randn(1, 3, 64, 64)
        >>> torch.equal(again(images), model(images))
        True
    """
    to_path = _local(Path(source), revision) if Path(source).is_dir() else None
    if to_path is None:
        where: dict[str, Any] = {"revision": revision, "token": token, "cache_dir": cache_dir}
        where["local_files_only"] = local_files_only
        to_path = partial(_fetched, str(source), where)
    return opened(to_path, model=model, source=str(source))


def opened(to_path: ToPath, *, model: nn.Module | None, source: str) -> nn.Module:
    """The network of a shared folder, see `from_pretrained`."""
    config = read_config(to_path(CONFIG), source=source)
    if (config["kind"] == "attention") != (model is not None):
        raise ValueError(
            f"{source} holds attention alone, trained in {config['backbone']['name']}: give the"
            " network that it goes into, model=..."
            if model is None
            else f"{source} is a whole network: leave model= out."
        )
    files = [to_path(name) for name in WEIGHTS[config["kind"]]]
    for path in files:
        check_whole(path, config["sha256"].get(path.name))
    if model is not None:
        return _with_attention(model, config, files[0], source=source)
    state = read_file(files[0])
    check_weights(state, path=files[0])
    network = build_described(config, source=source)
    size = _size(config)
    try:
        put_back(network, config["attention"], input_size=size)
        _take_types(network, state)
        take_weights(network, state)
    except (RuntimeError, TypeError, KeyError, ValueError) as error:
        text = error.args[0] if isinstance(error, KeyError) else error
        raise ValueError(
            f"{source} doesn't fit what this machine builds of its {CONFIG}: {text}"
            f"{told_versions(config)}"
        ) from error
    network.data_facts = dict(config["data"])  # type: ignore[assignment]
    return network.eval()


def _with_attention(
    model: nn.Module, config: Mapping[str, Any], path: Path, *, source: str
) -> nn.Module:
    """A model with shared attention; as it was after an error."""
    saved, own = config.get("backbone_tensors") or {}, fingerprints(backbone_state_dict(model))
    fresh = next(attended(model), None) is None
    try:
        if lacking := [name for name in saved if name not in own]:
            raise ValueError(f"it has no {lacking[0]!r}, and is another network.")
        if fresh:
            put_back(model, config["attention"], input_size=_size(config))
        load_attention(model, path)
    except (ValueError, KeyError, TypeError) as error:
        if fresh:
            strip(model)
        text = error.args[0] if isinstance(error, KeyError) else error
        raise ValueError(
            f"The attention in {source} was trained in {config['backbone']['name']} and doesn't fit"
            f" {type(model).__name__}: {text}"
        ) from error
    unlike = [name for name in saved if saved[name] != own.get(name)]
    if unlike:
        warnings.warn(
            f"{len(unlike)} of {len(saved)} tensors of this network, first {unlike[0]!r}, have"
            f" other values than in the {config['backbone']['name']} that the attention in {source}"
            " was trained in. Load its weights, or train on.",
            stacklevel=4,
        )
    return model


def _size(config: Mapping[str, Any]) -> tuple[int, int, int]:
    size = config["input_size"]
    if len(size) != 3 or not all(isinstance(side, int) and 0 < side <= 4096 for side in size):
        raise ValueError(f"input_size must be channels, height and width, got {size}.")
    return size[0], size[1], size[2]


def _take_types(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give a network the floating types of the weights that it is about to take."""
    kinds = {tensor.dtype for tensor in state.values() if tensor.is_floating_point()}
    if len(kinds) == 1:
        network.to(kinds.pop())
        return
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        if name in state:
            tensor.data = tensor.data.to(state[name].dtype)


def _local(folder: Path, revision: str | None) -> ToPath:
    if revision is not None:
        raise ValueError(f"{folder} is a folder, which has no revision: leave {revision!r} out.")

    def to_path(name: str) -> Path:
        if (folder / name).is_file():
            return folder / name
        others = sorted(path.name for path in folder.iterdir())[:5]
        raise FileNotFoundError(
            f"The folder {folder} has no {name}, but {', '.join(others) or 'nothing'}."
            " visattn.save_pretrained writes one that has. For a repository of this name on the"
            " hub, call it from another folder: one of that name on the disk comes first."
        )

    return to_path


def _fetched(repo_id: str, where: Mapping[str, Any], name: str) -> Path:
    """A file of a repository on the hub."""
    import huggingface_hub
    from huggingface_hub import errors

    try:
        return Path(huggingface_hub.hf_hub_download(repo_id, name, **where))
    except errors.HFValidationError as error:
        raise FileNotFoundError(
            f"There is no folder {repo_id}, and it is no name on the hub, such as OWNER/NAME."
        ) from error
    except errors.GatedRepoError as error:
        raise OSError(
            f"{repo_id} asks for consent: visit its page and log in. ({error})"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise FileNotFoundError(f"{repo_id} has no revision {where['revision']!r}.") from error
    except errors.RepositoryNotFoundError as error:
        raise FileNotFoundError(
            f"There is no folder {repo_id}, and no such repository on the hub, or it is private:"
            " log in by hf auth login, or pass token=."
        ) from error
    except errors.LocalEntryNotFoundError as error:
        raise OSError(
            f"{name} of {repo_id} could not be fetched and was not fetched before: {error}"
        ) from error
    except errors.EntryNotFoundError as error:
        raise FileNotFoundError(
            f"{repo_id} has no {name}: it is no model of visattn's, or of another revision."
        ) from error
