"""The command that audits a classifier."""

import json
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from rich.console import Console

from visattn.auditing.options import declare_options
from visattn.commands.mask_values import mask_values_of
from visattn.commands.word_lists import joined

_READING = ("size", "fit", "interpolation", "mean", "std")


def audit_classifier(
    *, model: str, data: str | list[str], out: str | None = None, **options: Any
) -> None:
    """Measure how much a classifier reads the background: table, JSON and pictures of flips.

    Args:
        model: A checkpoint that visattn fit wrote, FILE.py:FUNCTION, a function of your own that
            gives a classifier with its weights, or the name of a timm model with --pretrained or
            --weights; without these its weights are random.
        data: A folder SPLIT/images/CLASS/ID.jpg with masks in SPLIT/masks/CLASS/ID.png; the folder
            of Waterbirds, ImageNet-9, Oxford-IIIT Pet or UECFoodPix Complete as it is published; a
            folder of pictures, or pictures, with --mask-model; or sushi, for rendered scenes.
        class_map: A JSON file from class folder to the logits that mean it, such as
            '{"dog": [151, 152]}', where the model has other classes than the folder; or from each
            logit to the number of its class, -1 for none, as in_to_in9.json of ImageNet-9.
        mask_values: What the values of the mask files mean, such as '{"foreground": [1]}' for masks
            of 0 and 1, or '{"threshold": 127}'; as in training if not given, or value / 255.
        out: Folder for audit.json and flips.png; if not given audit, or audit_1 and so on where
            that holds an audit with other settings.
        **options: Those of `AuditOptions`.
    """
    from visattn.auditing import audit
    from visattn.basics.processes import shared_work

    for name, read in (("class_map", _class_map), ("mask_values", mask_values_of)):
        if options.get(name) is not None:
            options[name] = read(options[name])
    if out is not None and Path(out).is_file():
        raise ValueError(f"out must be a folder, and {out} is a file")
    with shared_work() as first:
        found = audit(model, data, **options)
    if not first:
        return
    console = Console(highlight=False, emoji=False)
    console.print(found.table())
    reading = {name: found.settings.get(name) for name in _READING}
    console.print("pictures read with " + _words(reading), soft_wrap=True, markup=False)
    for path in found.save(_free_folder(found.settings) if out is None else out):
        console.print(path, soft_wrap=True, markup=False)
    if Path(model).is_file() and isinstance(data, str):
        split = "" if options.get("split") is None else f" --split {options['split']}"
        console.print(
            f"next: visattn report {model} --data {data}{split}", soft_wrap=True, markup=False
        )


declare_options(
    audit_classifier,
    types={
        **dict.fromkeys(("weights", "mask_model", "class_map", "backgrounds"), str | None),
        **dict.fromkeys(("mean", "std"), tuple[float, float, float] | None),
        "mask_values": dict[str, list[int] | int] | None,
    },
    without=("progress",),
)


def gather_audit(words: Sequence[str]) -> list[str]:
    """The words of ``audit`` as its parser takes them: pictures after ``--data`` in one."""
    return joined(words, option="data", positional=0)


def _free_folder(settings: Mapping[str, Any]) -> Path:
    """``audit``, or the next of its kind that holds no audit with other settings."""
    plain = json.loads(json.dumps(dict(settings), default=str))
    for number in count():
        folder = Path(f"audit_{number}" if number else "audit")
        file = folder / "audit.json"
        if not file.exists() or json.loads(file.read_text("utf-8")).get("settings") == plain:
            break
    return folder


def _words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)


def _class_map(file: str) -> Any:
    try:
        return json.loads(Path(file).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f'class map {file} not found: expected a JSON file, {{"CLASS FOLDER": [LOGIT, ...]}}'
        ) from error
    except json.JSONDecodeError as error:
        raise ValueError(f"the class map {file} is no JSON: {error}") from error
