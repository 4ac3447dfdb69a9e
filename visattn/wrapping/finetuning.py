"""Fine-tuning: what trains, and at which learning rate."""

import fnmatch
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, final

from torch import nn

from visattn.basics.suggestions import did_you_mean
from visattn.blocks.attended import Attended, attended, base_of, block_of, joined, natural_paths
from visattn.wrapping.building import NORMALISATIONS
from visattn.wrapping.insertion import attention_parameters


def parameter_groups(
    model: nn.Module,
    *,
    learning_rate: float,
    attention_learning_rate: float | None = None,
    weight_decay: float = 0.0,
) -> list[dict[str, Any]]:
    """Groups of trainable parameters for an optimiser, attention at a rate of its own.

    Weight decay acts on kernels and matrices. It leaves alone: parameters with at most one
    dimension, those of normalisations, those called ``bias``, and those that the model names in
    ``no_weight_decay()``, as timm's do.

    Args:
        model: Any module; frozen parameters are left out.
        learning_rate: Of everything but the attention.
        attention_learning_rate: Of what `wrap` put in; ``learning_rate`` if None.
        weight_decay: Of the parameters that it acts on.

    Returns:
        Up to four groups with ``name``, ``params``, ``lr`` and ``weight_decay``: ``"backbone"``,
        ``"backbone without decay"``, ``"attention"``, ``"attention without decay"``. Empty ones
        are left out.

    Raises:
        ValueError: A number is below 0; nothing is trainable; a rate for attention, and there is
            none.

    Example:
        >>> import torch, torchvision, visattn
        >>> model = visattn.wrap(torchvision.models.resnet18(), "se")
        >>> groups = parameter_groups(
        ...     model, learning_rate=1e-4, attention_learning_rate=1e-2, weight_decay=0.05
        ... )
        >>> [(group["name"], group["lr"]) for group in groups][1:3]
        [('backbone without decay', 0.0001), ('attention', 0.01)]
        >>> optimizer = torch.optim.AdamW(groups)
    """
    for name, value in (
        ("learning_rate", learning_rate),
        ("attention_learning_rate", attention_learning_rate),
        ("weight_decay", weight_decay),
    ):
        if value is not None and value < 0:
            raise ValueError(f"{name} must be at least 0, got {value}.")
    if attention_learning_rate is None:
        attention_learning_rate = learning_rate
        added = {id(p) for unit in attended(model) for p in block_of(unit).parameters()}
    else:
        added = {id(p) for p in attention_parameters(model)}
    trainable = [p for p in model.parameters() if p.requires_grad]
    if not trainable:
        raise ValueError(
            f"Nothing to train: every parameter of {type(model).__name__} is frozen."
            " unfreeze_backbone releases what freeze_backbone froze."
        )
    spared = _without_decay(model)
    groups = [
        {
            "name": name + ("" if decays else " without decay"),
            "params": [
                p for p in trainable if (id(p) in added) == own and (id(p) in spared) != decays
            ],
            "lr": rate,
            "weight_decay": weight_decay if decays else 0.0,
        }
        for name, own, rate in (
            ("backbone", False, learning_rate),
            ("attention", True, attention_learning_rate),
        )
        for decays in (True, False)
    ]
    return [group for group in groups if group["params"]]


def freeze_backbone(model: nn.Module, *, train: str | Sequence[str] = ()) -> nn.Module:
    """Let only the attention train, and what is named, in place.

    Everything else has ``requires_grad`` off, and its normalisations keep their running
    statistics: they stay in evaluation mode whoever calls ``model.train()``. Those of the
    attention and of what is named follow the model's mode. Dropout follows it everywhere.

    What attention stands instead of, kept for `unwrap`, is frozen with the rest: unwrapped, the
    model is as frozen as it was.

    It may be called again, with other names. State dicts don't change. Copies, pickles and models
    that contain this one are frozen too. Build the optimiser, and `DistributedDataParallel`,
    afterwards.

    Args:
        model: A wrapped model, or any model if ``train`` names something. Call it on the model
            and not on a part of it: the mode is kept by the ``train()`` of what is given here and
            of all that contains it.
        train: Modules or parameters that train, too, by the names that state dicts use, or globs
            over them: ``"fc"``, ``["layer4.*", "fc"]``.

    Returns:
        ``model``.

    Raises:
        ValueError: A name matches nothing, with the nearest ones; nothing would be left to train.
            The model is as it was.

    Example:
        >>> import torchvision, visattn
        >>> model = visattn.wrap(torchvision.models.resnet18(), "cbam")
        >>> _ = freeze_backbone(model, train="fc").train()
        >>> model.bn1.training, model.layer1[0].bn2.attention.training
        (False, True)
        >>> model.conv1.weight.requires_grad, model.fc.weight.requires_grad
        (False, True)
    """
    names = (train,) if isinstance(train, str) else tuple(train)
    for name in names:
        _check_name(model, name)
    wanted = {id(p) for path, p in _parameters_in(_backbone(model)) if _is_named(path, names)}
    wanted |= {id(p) for unit in attended(model) for p in block_of(unit).parameters()}
    if not wanted:
        raise ValueError(
            f"Nothing would be left to train: {type(model).__name__} has no attention that wrap put"
            " in, and train names no parameter. Call visattn.wrap first, or name what trains, such"
            " as train='fc'."
        )
    if isinstance(vars(model).get("train"), _TrainFrozen):
        unfreeze_backbone(model)
    before = {}
    for path, parameter in _parameters_in(_backbone(model)):
        trains = id(parameter) in wanted
        if parameter.requires_grad != trains and parameter.is_floating_point():
            before[path] = parameter.requires_grad
            parameter.requires_grad_(trains)
    vars(model)["train"] = _TrainFrozen(model, names, before)
    for norm in _frozen_norms(model, names):
        norm.training = False
    return model


def unfreeze_backbone(model: nn.Module) -> nn.Module:
    """Undo `freeze_backbone`, in place; before or after `unwrap`.

    Returns:
        ``model``; what trained before trains again, and normalisations follow the model's mode.

    Raises:
        ValueError: The model isn't frozen.

    Example:
        >>> import torchvision, visattn
        >>> model = visattn.wrap(torchvision.models.resnet18(), "se")
        >>> unfreeze_backbone(freeze_backbone(model)).conv1.weight.requires_grad
        True
    """
    frozen = vars(model).get("train")
    if not isinstance(frozen, _TrainFrozen):
        raise ValueError(
            f"{type(model).__name__} isn't frozen. Give the module that freeze_backbone was given."
        )
    del vars(model)["train"]
    for path, parameter in _parameters_in(_backbone(model)):
        if path in frozen.before:
            parameter.requires_grad_(frozen.before[path])
    for norm in _frozen_norms(model, frozen.names):
        norm.training = model.training
    return model


@final
class _TrainFrozen:
    """``train`` of a model whose backbone is frozen; stands in the model's own attributes.

    What stays in evaluation mode is looked up in each call, so modules may be replaced, as by
    ``convert_sync_batchnorm``.

    Args:
        model: The model.
        names: What trains besides attention.
        before: ``requires_grad`` of the parameters in which freezing changed it.
    """

    def __init__(self, model: nn.Module, names: tuple[str, ...], before: dict[str, bool]) -> None:
        self.model = model
        self.names = names
        self.before = before

    def __call__(self, mode: bool = True) -> nn.Module:
        """Set the mode, as `nn.Module.train` does."""
        type(self.model).train(self.model, mode)
        for norm in _frozen_norms(self.model, self.names):
            norm.training = False
        return self.model


def _frozen_norms(model: nn.Module, names: Sequence[str]) -> Iterator[nn.Module]:
    """Modules with running statistics, but for those in attention and in what is named."""
    attention = {id(m) for unit in attended(model) for m in block_of(unit).modules()}
    for path, module in _backbone(model):
        keeps = any(name.startswith("running_") for name in module._buffers)
        if keeps and id(module) not in attention and not _is_named(path, names):
            yield module


def _without_decay(model: nn.Module) -> set[int]:
    """The parameters that weight decay leaves alone, by identity."""
    asked: Callable[[], Any] = getattr(model, "no_weight_decay", set)
    named = set(asked())
    norms = {
        id(p) for m in model.modules() if isinstance(m, NORMALISATIONS) for p in m.parameters()
    }
    return norms | {
        id(parameter)
        for path, parameter in _parameters_in(natural_paths(model))
        if parameter.ndim <= 1 or path.rpartition(".")[2] == "bias" or path in named
    }


def _backbone(model: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """`natural_paths`, with those of what attention stands instead of."""
    for inner, module in natural_paths(model, path):
        yield inner, module
        if isinstance(module, Attended) and module.visattn.where == "instead":
            yield from _backbone(base_of(module), inner)


def _parameters_in(paths: Iterable[tuple[str, nn.Module]]) -> Iterator[tuple[str, nn.Parameter]]:
    """Parameters by the names that they have in state dicts."""
    for path, module in paths:
        for name, parameter in module.named_parameters(recurse=False):
            yield joined(path, name), parameter


def _is_named(path: str, names: Sequence[str]) -> bool:
    """Whether a path or a module that it lies in is among the names or matches a glob."""
    parts = path.split(".")
    above = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
    return any(fnmatch.fnmatchcase(prefix, name) for name in names for prefix in above)


def _check_name(model: nn.Module, name: str) -> None:
    """Raise a ValueError unless a module or parameter is called so."""
    paths = dict.fromkeys(path for path, _ in natural_paths(model) if path)
    paths |= dict.fromkeys(path for path, _ in _parameters_in(natural_paths(model)))
    if any(fnmatch.fnmatchcase(path, name) for path in paths):
        return
    hint = did_you_mean(name, names=paths)
    children = [child for child, _ in model.named_children()]
    raise ValueError(
        f"train={name!r} matches no module or parameter of {type(model).__name__}.{hint} Its"
        f" modules: {', '.join(children)}, and what they contain."
    )
