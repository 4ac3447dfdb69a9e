"""What a run takes from its checkpoint, and where it was told otherwise.

A training that goes on does what it was told, on the command line or in a file, and the rest as the
checkpoint has it. Any other command does as the checkpoint has it, and what the command line says.
"""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import lightning as L
from torch import Tensor

from visattn.networks.loading import STANDS_ALONE, standing_alone
from visattn.networks.weight_files import FACTS, check_weights, read_file
from visattn.training.command_line.tasks import Task
from visattn.training.command_line.told import Told

READING = ("size", "fit", "interpolation", "mean", "std", "mask_values", "masked")
"""Options of the data that a checkpoint knows: how files become pictures and masks."""

_GENERATED = "visattn.data.generated."
_FIXED = ("optimizer", "lr_scheduler")
_OF_TRAINING = {
    *("optimizer", "lr_scheduler", "learning_rate", "attention_learning_rate", "weight_decay"),
    *("momentum", "warmup", "objective", "freeze", "unfrozen"),
}
"""Options of the model without a meaning where nothing is trained."""


@final
@dataclass(frozen=True)
class Settlement:
    """What is settled between a checkpoint and what was said.

    Attributes:
        path: The checkpoint.
        saved: Its content.
        model: Options of the model that are taken from it.
        data: Options of the data that are taken from it.
        told: Options that were told otherwise: the checkpoint's value, and the one that counts.
        resuming: Whether the training goes on.
        passed: Options of files that give way, with the file's value.
        kept: Options of the model that a training goes on with, and that nobody told.
    """

    path: Path
    saved: Mapping[str, Any]
    model: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    told: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    resuming: bool = False
    passed: Mapping[str, Any] = field(default_factory=dict)
    kept: Mapping[str, Any] = field(default_factory=dict)

    @property
    def class_names(self) -> list[str]:
        """The classes that the network was trained on, as far as the checkpoint says."""
        return list(self.saved.get(FACTS, {}).get("class_names", ()))

    @property
    def epochs(self) -> int:
        """How many epochs are done."""
        progress = self.saved.get("loops", {}).get("fit_loop", {}).get("epoch_progress", {})
        return int(progress.get("current", {}).get("processed", 0))

    @property
    def masked(self) -> bool:
        """Whether the network was trained on pictures without their backgrounds."""
        return bool(self.saved.get(FACTS, {}).get("masked"))

    def lines(self) -> Iterator[str]:
        """What a user must know of it."""
        if as_before := self.kept if self.resuming else self.data:
            yield f"as in its training: {_listed(as_before)}"
        if self.passed:
            left = _listed(self.passed)
            yield f"not as in the configuration: {left}; a word on the command line counts"
        if self.told:
            yield f"other than in the checkpoint: {self._changes}"

    def check(self, network: L.LightningModule, *, data: L.LightningDataModule) -> None:
        """Refuse data of other classes, and a network that can't take the checkpoint's weights.

        Args:
            network: The network that was built.
            data: What it is for.

        Raises:
            ValueError: Classes, names or shapes of weights differ; the options that were told
                otherwise are in the message.
        """
        found = [str(name) for name in getattr(data, "class_names", ())]
        if self.class_names and found and self.class_names != found:
            raise ValueError(
                f"the network was trained on the classes {', '.join(self.class_names)}, the data "
                f"have {', '.join(found)}: point data.root to the data that it was trained on, or "
                "with the same class folders"
            )
        had = self.saved.get("hyper_parameters", {}).get("num_classes")
        has = getattr(data, "num_classes", None)
        if had is not None and has is not None and had != has:
            raise ValueError(
                f"{self.path} was trained on {had} classes, the data have {has}: give the data that"
                " it was trained on, or begin a training of its own with model.weights"
            )
        own, saved = network.state_dict(), self.saved["state_dict"]
        unlike = sorted(
            name
            for name in {*own, *saved}
            if getattr(own.get(name), "shape", None) != getattr(saved.get(name), "shape", None)
        )
        if not unlike:
            return
        name = unlike[0]
        shapes = [tuple(s[name].shape) if name in s else "nothing" for s in (saved, own)]
        why = f" Other than in the checkpoint: {self._changes}." if self.told else ""
        raise ValueError(
            f"{self.path} is the checkpoint of another network than the one asked for: at {name!r} "
            f"it has {shapes[0]}, this one {shapes[1]} ({len(unlike)} such weights).{why} Leave "
            "out what differs, or begin a training of its own without --ckpt_path"
        )

    @property
    def _changes(self) -> str:
        return ", ".join(
            f"{name} {_short(new)} ({_short(old)})"
            for told, pair in self.told.items()
            for name, old, new in _differing(told, *map(_plain, pair))
        )


def settle(
    path: Path, *, task: Task, config: Mapping[str, Any], told: Told, resuming: bool
) -> Settlement:
    """Settle the options of a run that takes its weights from a checkpoint.

    Args:
        path: The checkpoint.
        task: What it must be of.
        config: The run's ``model`` and ``data``, defaults and all.
        told: What was said.
        resuming: Whether the training goes on; else the network is measured or used.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no checkpoint, one of another task, broken, or holds NaN; or it was told
            what can't be changed along the way.
    """
    saved = read_checkpoint(path, task=task)
    said = told.anywhere if resuming else told.word
    model: dict[str, Any] = {}
    data: dict[str, Any] = {}
    changed: dict[str, tuple[Any, Any]] = {}
    passed: dict[str, Any] = {}
    kept: dict[str, Any] = {}
    asked = {"model": config.get("model") or {}, "data": data_options(config.get("data"))}
    earlier = {"lr_scheduler": None} if "lr_scheduler" in asked["model"] else {}
    known = {
        "model": {**earlier, **model_options(saved, task=task)},
        "data": _reading(saved, config, asked["data"]),
    }
    for group, taken in (("model", model), ("data", data)):
        for key, value in known[group].items():
            if not resuming and group == "model" and key in _OF_TRAINING:
                taken[key] = value
                continue
            name, now = f"{group}.{key}", _plain(asked[group].get(key))
            if not said(name):
                taken[key] = value
                if now != _plain(value) and told.anywhere(name):
                    passed[name] = now
                elif now != _plain(value) and group == "model":
                    kept[name] = value
            elif now != _plain(value):
                changed[name] = value, now
    for key in _FIXED:
        if resuming and f"model.{key}" in changed:
            old, new = changed[f"model.{key}"]
            raise ValueError(
                f"a training that goes on keeps its {key}: {path} has {_short(old)}, model.{key} "
                f"says {_short(new)}; leave it out, or begin anew with model.weights"
            )
    if "backbone" in model and model["backbone"] != asked["model"].get("backbone"):
        from visattn.networks.backbone import check_named

        check_named(model["backbone"], path=path)
    model |= standing_alone(asked["model"])
    return Settlement(path, saved, model, data, changed, resuming, passed, kept)


def read_checkpoint(path: Path, *, task: Task) -> dict[str, Any]:
    """The content of a checkpoint that a training of a task wrote.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is something else, broken, or holds NaN.
    """
    saved = read_file(path)
    options = saved.get("hyper_parameters", {})
    if not isinstance(saved.get("state_dict"), Mapping):
        keys = ", ".join(str(key) for key in list(saved)[:4]) or "nothing"
        raise ValueError(
            f"{path} is no checkpoint that visattn fit wrote: expected state_dict and "
            f"hyper_parameters in it, found {keys}"
        )
    model = task.load_model()
    known = inspect.signature(model).parameters
    strange = [name for name in options if not name.startswith("_") and name not in known]
    if strange:
        raise ValueError(
            f"{path} is the checkpoint of another network than {model.__name__} ({task.name}): it "
            f"has the option{'s' if len(strange) > 1 else ''} {', '.join(strange)}. Give the "
            "recipe that it was trained with, -c RECIPE, or another checkpoint"
        )
    check_weights(
        {n: v for n, v in saved["state_dict"].items() if isinstance(v, Tensor)}, path=path
    )
    return saved


def model_options(saved: Mapping[str, Any], *, task: Task) -> dict[str, Any]:
    """The model's options in a checkpoint, without those that the data or the start settle."""
    return {
        name: value
        for name, value in saved.get("hyper_parameters", {}).items()
        if not name.startswith("_") and name not in task.links and name not in STANDS_ALONE
    }


def _reading(
    saved: Mapping[str, Any], config: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """How the checkpoint's training read its files, as far as these data can be told."""
    facts = saved.get(FACTS, {})
    found = {name: facts[name] for name in READING if name in facts and name in options}
    if str((config.get("data") or {}).get("class_path")).startswith(_GENERATED):
        found.pop("mask_values", None)  # scenes have their own
    return found


def data_options(data: Any) -> Mapping[str, Any]:
    """The options of the data in a configuration, whose class may be named or not."""
    if data is None:
        return {}
    return (data.get("init_args") or {}) if "class_path" in data else data


def _plain(value: Any) -> Any:
    """A value of a configuration or a checkpoint, comparable."""
    if hasattr(value, "as_dict"):
        value = value.as_dict()
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def _differing(name: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    """What differs between two values of an option: options of a class, where it is the same.

    Example:
        >>> old, new = ({"class_path": "A", "init_args": {"rim": 1, "bank": n}} for n in (8, 9))
        >>> list(_differing("model.objective", old, new))
        [('model.objective.bank', 8, 9)]
    """
    classes = [value.get("class_path") if isinstance(value, dict) else None for value in (old, new)]
    if classes[0] is None or classes[0] != classes[1]:
        yield name, old, new
        return
    was, now = (value.get("init_args") or {} for value in (old, new))
    for key in sorted({*was, *now}):
        if was.get(key) != now.get(key):
            yield f"{name}.{key}", was.get(key), now.get(key)


def _listed(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_short(value)}" for name, value in options.items())


def _short(value: Any) -> str:
    """A value for a line."""
    plain = _plain(value)
    if isinstance(plain, dict) and "class_path" in plain:
        return str(plain["class_path"]).rpartition(".")[2]
    if isinstance(plain, dict):
        plain = {key: entry for key, entry in plain.items() if entry not in (None, [], {})}
    if isinstance(plain, float):
        return f"{plain:g}"
    return str(plain) if plain != {} else "as usual"
