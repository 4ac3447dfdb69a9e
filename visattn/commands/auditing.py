"""The command that audits a classifier."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console

from visattn.auditing.options import declare_options
from visattn.commands.mask_values import mask_values_of


def audit_classifier(*, model: str, data: str, out: str = "audit", **options: Any) -> None:
    """Measure how much a classifier reads the background: table, JSON and pictures of flips.

    Args:
        model: A checkpoint that visattn fit wrote, or the name of a timm model with --pretrained or
            --weights; without these its weights are random.
        data: A folder SPLIT/images/CLASS/ID.jpg with masks in SPLIT/masks/CLASS/ID.png; the folder
            of Waterbirds, ImageNet-9, Oxford-IIIT Pet or UECFoodPix Complete as it is published; a
            folder of pictures, with --mask-model; or sushi, for scenes that are rendered.
        class_map: A JSON file from class folder to the logits that mean it, such as
            '{"dog": [151, 152]}', where the model has other classes than the folder; or from each
            logit to the number of its class, -1 for none, as in_to_in9.json of ImageNet-9.
        mask_values: What the values of the mask files mean, such as '{"foreground": [1]}' for masks
            of 0 and 1, or '{"threshold": 127}'; as in training if not given, or value / 255.
        out: Folder for audit.json and flips.png.
        **options: Those of `AuditOptions`.
    """
    from visattn.auditing import audit
    from visattn.basics.processes import shared_work

    for name, read in (("class_map", _class_map), ("mask_values", mask_values_of)):
        if options.get(name) is not None:
            options[name] = read(options[name])
    if Path(out).is_file():
        raise ValueError(f"out must be a folder, and {out} is a file")
    with shared_work() as first:
        found = audit(model, data, **options)
    if not first:
        return
    console = Console(highlight=False)
    console.print(found.table())
    for path in found.save(out):
        console.print(path, soft_wrap=True, markup=False)
    if Path(model).is_file():
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


def _class_map(file: str) -> Any:
    try:
        return json.loads(Path(file).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f'class map {file} not found: expected a JSON file, {{"CLASS FOLDER": [LOGIT, ...]}}'
        ) from error
    except json.JSONDecodeError as error:
        raise ValueError(f"the class map {file} is no JSON: {error}") from error
