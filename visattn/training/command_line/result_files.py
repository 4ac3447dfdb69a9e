"""Files of results beside a checkpoint: what they are of, and none over one of other settings."""

import json
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from visattn.training.data_facts import data_facts

_OF_TRAINING = {"augmentation", "group_balanced", "mask_form", "mask_seed", "mask_share", "seed"}
_OF_SPEED = {"batch_size", "workers", "cache", "check"}
_COMPARED = ("settings", "told")


def result_record(
    command: str,
    *,
    config: Mapping[str, Any],
    data: Any,
    told: Mapping[str, tuple[Any, Any]],
) -> dict[str, Any]:
    """What a result is of, plain values: ``checkpoint``, ``settings`` and ``told``.

    Args:
        command: ``"test"`` or ``"predict"``.
        config: The run's options.
        data: The data module, which says how it reads pictures and masks.
        told: Options that are other than in the training, see `Settlement`.
    """
    options = config.get("data") or {}
    options = options.get("init_args") or {} if "class_path" in options else options
    facts = {name: value for name, value in data_facts(data).items() if name != "class_names"}
    left_out = {*facts, *_OF_TRAINING, *_OF_SPEED}
    limit = config["trainer"].get(f"limit_{command}_batches")
    record = {
        "checkpoint": config.get("ckpt_path"),
        "settings": {
            **facts,
            "data": (config.get("data") or {}).get("class_path", type(data).__name__),
            **{name: value for name, value in options.items() if name not in left_out},
            "limit": limit,
        },
        "told": {
            **{name: {"training": old, "here": new} for name, (old, new) in told.items()},
            **({} if limit is None else {f"trainer.limit_{command}_batches": limit}),
        },
    }
    plain: dict[str, Any] = json.loads(json.dumps(record, default=str))
    return plain


def result_folder(checkpoint: str | None, *, untrained: Path) -> Path:
    """The run's folder for one of its checkpoints, and the checkpoint's own for any other.

    Args:
        checkpoint: None for untrained weights.
        untrained: The folder for these, which is made.
    """
    if checkpoint is None:
        untrained.mkdir(parents=True, exist_ok=True)
        return untrained
    parent = Path(checkpoint).resolve().parent
    return parent.parent if parent.name == "checkpoints" else parent


def result_path(
    folder: Path, *, stem: str, record: Mapping[str, Any], usual: bool = True, beside: str = ""
) -> Path:
    """``stem.json``, or ``stem_1.json`` and so on where that is a result of other settings.

    Args:
        folder: Where to.
        stem: Of the file's name.
        record: ``checkpoint`` and ``settings`` of the result, plain values.
        usual: Whether the settings are those of the training; ``stem.json`` is kept for these.
        beside: Suffix of a file that belongs to the result too.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for size in (32, 64, 32):
        ...         record = {"checkpoint": None, "settings": {"size": size}}
        ...         path = result_path(Path(root), stem="test", record=record)
        ...         _ = path.write_text(json.dumps(record))
        ...         print(path.name)
        test.json
        test_1.json
        test.json
    """
    for number in count(0 if usual else 1):
        path = folder / (f"{stem}_{number}.json" if number else f"{stem}.json")
        alone = bool(beside) and path.with_suffix(beside).exists()
        if (not path.exists() and not alone) or (path.exists() and _same(path, record)):
            break
    return path


def _same(path: Path, record: Mapping[str, Any]) -> bool:
    """Whether a file holds a result of the same settings, as far as it says them."""
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if not isinstance(there, dict):
        return False
    names = [Path(str(known.get("checkpoint"))).name for known in (there, record)]
    settings = all(there.get(key, record.get(key)) == record.get(key) for key in _COMPARED)
    return names[0] == names[1] and settings
