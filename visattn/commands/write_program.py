"""Write a network, given by the name of a timm model or by a checkpoint, for other runtimes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from visattn.exporting import Dynamic, Exported, export_model
from visattn.networks.backbone import build_backbone
from visattn.networks.loading import load_classifier
from visattn.wrapping.insertion import wrap

_FACTS = {"class_names": "classes", "mean": "mean", "std": "std", "size": "size", "fit": "fit"}


def write_program(
    model: str | Path,
    *,
    out: str | Path,
    block: str | None = None,
    pretrained: bool = False,
    masks: bool | Sequence[str] = False,
    size: int | None = None,
    dynamic: Dynamic = "all",
    opset: int | None = None,
) -> Exported:
    """Export a network with what it knows of its data; see `visattn.export_model`.

    Args:
        model: A checkpoint of `ImageClassifier`, or the name of a timm model.
        out: The file: ``.onnx`` or ``.pt2``.
        block: Attention to put in first, at its own place.
        pretrained: With timm's weights for ImageNet; for a name only.
        masks: True for all masks and gates, or the names of sites.
        size: Side of the example images; that of the training if None.
        dynamic: What may differ from the example: ``"all"``, ``"batch"`` or ``"none"``.
        opset: Of ONNX.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: As `visattn.export_model`; or ``pretrained`` is asked of a checkpoint.
    """
    network, facts = _network(model, pretrained=pretrained)
    if block is not None:
        wrap(network, block)
    return export_model(
        network,
        out,
        size=size or facts.get("size"),
        masks=masks,
        dynamic=dynamic,
        opset=opset,
        facts=facts,
    )


def _network(model: str | Path, *, pretrained: bool) -> tuple[nn.Module, dict[str, Any]]:
    """The network, and its classes and how images are prepared for it."""
    known: dict[str, Any] = {}
    if pretrained and not Path(model).is_file():
        network = build_backbone(str(model), num_classes=1000, pretrained=True)
    else:
        network, known = load_classifier(model)
    if pretrained and known:
        raise ValueError(f"{model} is a checkpoint with weights of its own: leave pretrained out.")
    settings = getattr(network, "pretrained_cfg", None) or {}
    facts = {name: settings[name] for name in ("mean", "std") if settings.get(name)}
    return network, facts | {new: known[old] for old, new in _FACTS.items() if old in known}
