"""The command that audits a classifier."""

from typing import Any, Literal


def audit_classifier(
    *,
    model: str,
    data: str,
    weights: str | None = None,
    split: str | None = None,
    mask_model: str | None = None,
    class_map: str | None = None,
    backgrounds: str | None = None,
    size: int | None = None,
    fit: Literal["crop", "stretch"] | None = None,
    mean: tuple[float, float, float] | None = None,
    std: tuple[float, float, float] | None = None,
    mask_values: dict[str, list[int] | int] | None = None,
    adversarial: int = 8,
    noise: float = 0.25,
    background_column: str = "style",
    limit: int = 0,
    cases: int = 6,
    batch_size: int = 32,
    workers: int = 0,
    seed: int = 0,
    out: str = "audit",
    pretrained: bool = False,
    flips_only: bool = False,
    composites: bool = False,
) -> None:
    """Measure how much a classifier reads the background: table, JSON and pictures of flips.

    Args:
        model: A checkpoint that visattn fit wrote, or the name of a timm model with --pretrained or
            --weights; without these its weights are random.
        data: A folder SPLIT/images/CLASS/ID.jpg with masks in SPLIT/masks/CLASS/ID.png; the folder
            of Waterbirds, ImageNet-9, Oxford-IIIT Pet or UECFoodPix Complete as it is published; a
            folder of pictures, with --mask-model; or sushi, for scenes that are rendered.
        weights: For the name of a timm model, a file of your own weights: a state dict, as .pth or
            .safetensors.
        split: Which split; the last that ends in _original or else begins with test.
        mask_model: A checkpoint with a spatial mask, to predict masks where there are none: the
            flip rates are then an estimate.
        class_map: A JSON file from class folder to the logits that mean it, such as
            '{"dog": [151, 152]}', where the model has other classes than the folder; or from each
            logit to the number of its class, -1 for none, as in_to_in9.json of ImageNet-9.
        backgrounds: A folder of pictures without objects, for mixed-new.
        size: Side to which the pictures are scaled; that of the training if not given.
        fit: crop or stretch; as in training if not given.
        mean: By which pictures are normalised; as in training if not given.
        std: The same.
        mask_values: What the values of the mask files mean, such as '{"foreground": [1]}' for masks
            of 0 and 1, or '{"threshold": 127}'; as in training if not given, or value / 255.
        adversarial: On how many backgrounds a foreground must be recognised; 0 leaves it out. With
            --data sushi, 64 renders each foreground on 64 backgrounds.
        noise: Standard deviation of the noise for the RFS, colours being in [0, 1]; 0 for none.
        background_column: Column of metadata.csv that names the background.
        limit: How many pictures, drawn at random; 0 for all.
        cases: How many random objects and how many of the worst flips to draw.
        batch_size: Pictures a call of the model.
        workers: Processes that read pictures; 0 reads in this one.
        seed: Of all draws.
        out: Folder for audit.json and flips.png.
        pretrained: Load timm's weights for the name of a model.
        flips_only: Look at no classes: flip rates alone.
        composites: Cut and paste even where the folder has variants that were rendered.
    """
    from visattn.training.command_line.process import tune_process

    tune_process()
    import json
    from pathlib import Path

    from rich.console import Console

    from visattn.auditing import audit

    meant = None
    if class_map is not None:
        try:
            meant = json.loads(Path(class_map).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"class map {class_map} not found: expected a JSON file, "
                '{"CLASS FOLDER": [LOGIT, ...]}'
            ) from error
        except json.JSONDecodeError as error:
            raise ValueError(f"the class map {class_map} is no JSON: {error}") from error
    if Path(out).is_file():
        raise ValueError(f"out must be a folder, and {out} is a file")
    found = audit(
        model,
        data,
        split=split,
        mask_model=mask_model,
        class_map=meant,
        backgrounds=backgrounds,
        size=size,
        fit=fit,
        mean=mean,
        std=std,
        mask_values=None if mask_values is None else _meaning(mask_values),
        adversarial=adversarial,
        noise=noise,
        background_column=background_column,
        limit=limit,
        cases=cases,
        batch_size=batch_size,
        workers=workers,
        seed=seed,
        pretrained=pretrained,
        weights=weights,
        flips_only=flips_only,
        composites=composites,
    )
    console = Console(highlight=False)
    console.print(found.table())
    for path in found.save(out):
        console.print(path, soft_wrap=True, markup=False)


def _meaning(given: dict[str, Any]) -> Any:
    from dataclasses import fields

    from visattn.basics.suggestions import nearest
    from visattn.data import MaskValues

    known = [field.name for field in fields(MaskValues)]
    for name, value in given.items():
        if name not in known:
            raise ValueError(
                f"--mask_values has no {name!r}{nearest(name, names=known)}; there are "
                f"{', '.join(known)}"
            )
        several = name not in ("threshold", "channel")
        if isinstance(value, list) != several:
            raise ValueError(
                f"--mask_values: {name} takes {'values, such as [1]' if several else 'one number'},"
                f" not {value}"
            )
    return MaskValues(**given)
