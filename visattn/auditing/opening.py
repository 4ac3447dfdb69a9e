"""Opening who is asked: the classifier, how its pictures are prepared, and the mask model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from visattn.annotation.mask_models import MasksOf, masks_of_network, one_by_one, open_onnx
from visattn.auditing.options import AuditOptions, Masks
from visattn.basics.squares import Fit, Interpolation
from visattn.data import IMAGENET_MEAN, IMAGENET_STD, MaskValues
from visattn.data.masks import SOFT
from visattn.data.sources import SUSHI

Classifier = nn.Module | Callable[[Tensor], Any]
MaskModel = str | Path | nn.Module | MasksOf
"""A checkpoint or network with a spatial mask, or a function of pictures in [0, 1] to masks."""

_FILES = (".ckpt", ".pth", ".pt", ".safetensors", ".onnx")
READ = ("size", "fit", "interpolation", "mask_values")
"""What says how files become pictures and masks."""


@final
@dataclass(frozen=True)
class Preparation:
    """How a picture becomes what the classifier takes.

    Raises:
        ValueError: A value is out of its range.
    """

    size: int = 224
    fit: Fit = "crop"
    interpolation: Interpolation = "bilinear"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    mask_values: MaskValues = SOFT

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size must be at least 1 pixel, got {self.size}")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError(
                f"mean and std are 3 values each, std above 0, got {self.mean} and {self.std}"
            )

    def normalise(self, pictures: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) in [0, 1], less the mean, over the standard deviation."""
        mean = torch.tensor(self.mean, device=pictures.device).view(-1, 1, 1)
        std = torch.tensor(self.std, device=pictures.device).view(-1, 1, 1)
        return (pictures - mean) / std


def prepare(facts: Mapping[str, Any], data: object, options: AuditOptions) -> Preparation:
    """What is asked for, or else what the classifier says, or a data set, or else ImageNet's way.

    A data set has read its own pictures: size, fit and mask values are its own.

    Raises:
        ValueError: If a value is out of its range.
    """
    own = {name: getattr(data, name) for name in ("mean", "std") if hasattr(data, name)}
    decoder = getattr(data, "decoder", None)
    read = {name: getattr(decoder, name) for name in READ if hasattr(decoder, name)}
    if isinstance(facts.get("mask_values"), Mapping):
        # Those of the training; scenes that are rendered have soft ones.
        learned = SOFT if str(data) == SUSHI else MaskValues.of(facts["mask_values"])
        facts = {**facts, "mask_values": learned}
    names = [field.name for field in fields(Preparation)]
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    chosen = {**own, **facts, **given, **read}
    chosen |= {name: tuple(chosen[name]) for name in ("mean", "std") if name in chosen}
    return Preparation(**{name: chosen[name] for name in names if name in chosen})


@final
@dataclass(frozen=True)
class OpenedClassifier:
    """A classifier and what is known of it.

    Attributes:
        model: Images to logits.
        name: For tables and files.
        facts: Size, fit, mean, std and class_names, as far as it says them; of a timm model
            ``logit_names``, what ImageNet calls its logits.
        weights: Where those of a timm model are from: ``"pretrained"``, a file or ``"random"``;
            None for any other classifier.
    """

    model: Classifier
    name: str
    facts: Mapping[str, Any]
    weights: str | None = None

    @property
    def notes(self) -> list[str]:
        """What a reader of its numbers must know."""
        if self.weights not in (None, "random", "pretrained"):
            from visattn.networks.weights_reading import twin_note

            note = twin_note(self.name.partition(" with ")[0], self.weights)
            return [] if note is None else [f"{note}."]
        if self.weights != "random":
            return []
        return [
            "The weights are random, so the numbers are those of no trained network: --pretrained "
            "loads timm's weights, --weights FILE your own (pretrained=True, weights=FILE)."
        ]


def open_classifier(model: Classifier | str | Path, options: AuditOptions) -> OpenedClassifier:
    """A classifier, a checkpoint that ``visattn fit`` wrote, or the name of a timm model.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        TypeError: It is something else.
        ValueError: There is no such name; ``pretrained`` or ``weights`` is asked of what is no
            name; or the classifier was trained on pictures without their backgrounds.
    """
    opened = _named(model, options) if isinstance(model, (str, Path)) else _built(model, options)
    if opened.facts.get("masked"):
        raise ValueError(
            f"{opened.name} was trained on pictures cut out with their true masks (data.masked: "
            "true): it never sees a background, and whole pictures are none of those that it "
            "knows; audit a network that is shown whole pictures"
        )
    return opened


def _built(model: object, options: AuditOptions) -> OpenedClassifier:
    if not callable(model):
        raise TypeError(
            "model must map images (N, 3, H, W) to logits, or be a checkpoint or the name of a "
            f"timm model, not {type(model).__name__}"
        )
    if options.pretrained or options.weights is not None:
        asked = "pretrained is" if options.pretrained else "weights are"
        raise ValueError(f"{asked} for the name of a timm model: this one is built")
    return OpenedClassifier(model, _name_of(model), _data_facts(model) or _timm_facts(model))


def _named(model: str | Path, options: AuditOptions) -> OpenedClassifier:
    from visattn.networks.loading import untrained_note

    pretrained, weights = options.pretrained, options.weights
    if pretrained and Path(model).is_file():
        raise ValueError(f"pretrained is for the name of a timm model: {model} has its weights")
    network, facts = _load(model, pretrained=pretrained, weights=weights)
    name, source = str(model), None
    if weights is not None:
        name, source = f"{model} with {Path(weights).name}", str(weights)
    elif pretrained or (note := untrained_note(model)):
        source = "pretrained" if pretrained else "random"
        name = name if pretrained else f"{model}{note}"
    facts = facts if Path(model).is_file() else _timm_facts(network) | facts
    return OpenedClassifier(network, name, facts, source)


def _load(model: str | Path, **options: Any) -> tuple[nn.Module, dict[str, Any]]:
    from visattn.networks.loading import load_classifier

    network, facts = load_classifier(model, **options)
    return network.to("cuda" if torch.cuda.is_available() else "cpu"), facts


def short_name(name: str) -> str:
    """A checkpoint's run for RUNS/NAME/version_K/checkpoints/FILE, of another file its name alone.

    Example:
        >>> short_name("runs/mask/version_0/checkpoints/last.ckpt"), short_name("/tmp/new.pth")
        ('mask/version_0', 'new.pth')
        >>> short_name("hf-hub:timm/resnet18.a1_in1k")
        'hf-hub:timm/resnet18.a1_in1k'
    """
    path = Path(name)
    run = path.parent.name == "checkpoints" and path.parent.parent.name.startswith("version_")
    if run and len(path.parts) > 3:
        return "/".join(path.parts[-4:-2])
    return path.name if path.suffix in _FILES else name


def _name_of(model: object) -> str:
    return getattr(model, "__name__", type(model).__name__)


def _data_facts(model: object) -> dict[str, Any]:
    """What an `ImageClassifier` knows of the data of its training."""
    return getattr(model, "data_facts", None) or {}


def _timm_facts(model: object) -> dict[str, Any]:
    """What timm says of a model of its own."""
    from visattn.networks.loading import timm_facts

    facts, config = timm_facts(model), getattr(model, "pretrained_cfg", None) or {}
    if config.get("num_classes") == getattr(model, "num_classes", None) == 1000:
        from visattn.networks.weights_reading import imagenet_names

        facts["logit_names"] = imagenet_names()
    return facts


def open_mask_model(
    model: MaskModel | None, *, masks: Masks = "given"
) -> tuple[MasksOf | None, str]:
    """A function of pictures (N, 3, H, W) in [0, 1] to masks (N, 1, H, W), and its name.

    None and ``"given"`` where nothing predicts masks.

    A network's mask logits z become alpha = sigmoid(4 z), sharp enough to cut out with, at the
    pictures' size. A network sees the pictures as it did in training.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: The network has no spatial mask.
    """
    if masks == "grabcut":
        from visattn.annotation.grabcut import grabcut_mask  # needs OpenCV

        return one_by_one(lambda picture, box: grabcut_mask(picture)[0]), masks
    if model is None:
        return None, "given"
    if isinstance(model, (str, Path)) and Path(model).suffix == ".onnx":
        return one_by_one(open_onnx(model)), str(model)
    if isinstance(model, (str, Path)):
        return masks_of_network(*_load(model)), str(model)
    if isinstance(model, nn.Module):
        inner = getattr(model, "model", model)  # of an `ImageClassifier`
        return masks_of_network(inner, _data_facts(model)), _name_of(model)
    return _masks_checked(model), _name_of(model)


def _masks_checked(function: MasksOf) -> MasksOf:
    def masks_of(pictures: Tensor) -> Tensor:
        with torch.no_grad():
            masks = torch.as_tensor(function(pictures)).to(pictures)
        masks = masks[:, None] if masks.ndim == 3 else masks
        expected = (len(pictures), 1, *pictures.shape[-2:])
        if tuple(masks.shape) != expected or not bool(((masks >= 0) & (masks <= 1)).all()):
            raise ValueError(
                f"the mask model must return masks {expected} in [0, 1], it returned "
                f"{tuple(masks.shape)} from {masks.min().item():.3g} to {masks.max().item():.3g}"
            )
        return masks

    return masks_of
