"""Opening what is audited: the classifier, how its pictures are prepared, and the pictures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from visattn.auditing.scenes import Pictures, Unlabelled
from visattn.basics.suggestions import nearest
from visattn.data import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    FolderDataset,
    MaskValues,
    PictureDataset,
    split_names,
)
from visattn.data.masks import SOFT

Classifier = nn.Module | Callable[[Tensor], Any]
Fit = Literal["crop", "stretch"]
SUSHI = "sushi"
_READ = ("size", "fit", "mask_values")
_OTHERWISE = {
    "size": 224,
    "fit": "crop",
    "mean": IMAGENET_MEAN,
    "std": IMAGENET_STD,
    "mask_values": SOFT,
}


@dataclass(frozen=True)
class Preparation:
    """How a picture becomes what the classifier takes."""

    size: int
    fit: Fit
    mean: tuple[float, ...]
    std: tuple[float, ...]
    mask_values: MaskValues = SOFT

    def normalise(self, pictures: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) in [0, 1], less the mean, over the standard deviation."""
        mean = torch.tensor(self.mean, device=pictures.device).view(-1, 1, 1)
        std = torch.tensor(self.std, device=pictures.device).view(-1, 1, 1)
        return (pictures - mean) / std


@dataclass(frozen=True)
class Opened:
    """A classifier and what is known of it.

    Attributes:
        model: Images to logits.
        name: For tables and files.
        facts: Size, fit, mean, std and class_names, as far as it says them.
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
        if self.weights != "random":
            return []
        return [
            "The weights are random, so the numbers are those of no trained network: --pretrained "
            "loads timm's weights, --weights FILE your own (pretrained=True, weights=FILE)."
        ]


def open_classifier(
    model: Classifier | str | Path, *, pretrained: bool, weights: str | Path | None = None
) -> Opened:
    """A classifier, a checkpoint that ``visattn fit`` wrote, or the name of a timm model.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        TypeError: It is something else.
        ValueError: There is no such name; ``pretrained`` or ``weights`` is asked of what is no
            name; or the classifier was trained on pictures without their backgrounds.
    """
    opened = _open(model, pretrained=pretrained, weights=weights)
    if opened.facts.get("masked"):
        raise ValueError(
            f"{opened.name} was trained on pictures cut out with their true masks (data.masked: "
            "true): it never sees a background, and whole pictures are none of those that it "
            "knows; audit a network that is shown whole pictures"
        )
    return opened


def _open(
    model: Classifier | str | Path, *, pretrained: bool, weights: str | Path | None
) -> Opened:
    if not isinstance(model, (str, Path)):
        if not callable(model):
            raise TypeError(
                "model must map images (N, 3, H, W) to logits, or be a checkpoint or the name of a "
                f"timm model, not {type(model).__name__}"
            )
        if pretrained or weights is not None:
            asked = "pretrained is" if pretrained else "weights are"
            raise ValueError(f"{asked} for the name of a timm model: this one is built")
        known = getattr(model, "data_facts", None) or _timm_facts(model)
        return Opened(model, getattr(model, "__name__", type(model).__name__), known)
    from visattn.networks.loading import load_classifier

    is_file = Path(model).is_file()
    if pretrained and is_file:
        raise ValueError(f"pretrained is for the name of a timm model: {model} has its weights")
    network, facts = load_classifier(model, pretrained=pretrained, weights=weights)
    network.to("cuda" if torch.cuda.is_available() else "cpu")
    name, source = str(model), None
    if weights is not None:
        name, source = f"{model} with {weights}", str(weights)
    elif not is_file:
        source = "pretrained" if pretrained else "random"
        name = name if pretrained else f"{model} (untrained weights)"
    return Opened(network, name, facts or _timm_facts(network), source)


def short_name(name: str) -> str:
    """A checkpoint's run for RUNS/NAME/version_K/checkpoints/FILE, any other name as it is.

    Example:
        >>> short_name("runs/mask/version_0/checkpoints/last.ckpt"), short_name("resnet18")
        ('mask/version_0', 'resnet18')
    """
    path = Path(name)
    run = path.parent.name == "checkpoints" and path.parent.parent.name.startswith("version_")
    return "/".join(path.parts[-4:-2]) if run and len(path.parts) > 3 else name


def prepare(
    facts: Mapping[str, Any],
    data: object = None,
    *,
    size: int | None,
    fit: Fit | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    mask_values: MaskValues | None = None,
) -> Preparation:
    """What is asked for, or else what the classifier says, or a data set, or else ImageNet's way.

    A data set has read its own pictures: size, fit and mask values are its own.

    Raises:
        ValueError: If a value is out of its range.
    """
    own = {name: getattr(data, name) for name in ("mean", "std") if hasattr(data, name)}
    decoder = getattr(data, "decoder", None)
    read = {name: getattr(decoder, name) for name in _READ if hasattr(decoder, name)}
    if isinstance(facts.get("mask_values"), Mapping):
        # Those of the training; scenes that are rendered have soft ones.
        learned = SOFT if str(data) == SUSHI else MaskValues(**facts["mask_values"])
        facts = {**facts, "mask_values": learned}
    asked = {"size": size, "fit": fit, "mask_values": mask_values, "mean": mean, "std": std}
    given = {name: value for name, value in asked.items() if value is not None}
    chosen = {**_OTHERWISE, **own, **facts, **given, **read}
    found = Preparation(
        size=chosen["size"],
        fit=chosen["fit"],
        mean=tuple(chosen["mean"]),
        std=tuple(chosen["std"]),
        mask_values=chosen["mask_values"],
    )
    if found.size < 1:
        raise ValueError(f"size must be at least 1 pixel, got {found.size}")
    if len(found.mean) != 3 or len(found.std) != 3 or min(found.std) <= 0:
        raise ValueError(
            f"mean and std are 3 values each, std above 0, got {found.mean} and {found.std}"
        )
    return found


def open_pictures(
    data: Pictures | str | Path,
    *,
    split: str | None,
    prepared: Preparation,
    reading: Mapping[str, Any],
    least: int,
    adversarial: int = 0,
) -> Pictures:
    """A folder with splits and classes, a folder of pictures, scenes of sushi, or a data set.

    Args:
        data: Which of them.
        split: Of a folder.
        prepared: How pictures are read.
        reading: The size, fit and mask values that were asked for, None where they were not.
        least: How many scenes to render at least.
        adversarial: On how many backgrounds each foreground is asked for.

    Raises:
        FileNotFoundError: There is no such folder.
        TypeError: It is something else.
        ValueError: There is no such split; or what is asked for is not how a data set reads its
            pictures.
    """
    if not isinstance(data, (str, Path)):
        if not all(hasattr(data, name) for name in ("items", "class_names", "decoded")):
            raise TypeError(
                "dataset must be a folder, a visattn.data.FolderDataset, or have items, class_names"
                f" and decoded(row) as it does; {type(data).__name__} lacks some of these"
            )
        if split is not None:
            raise ValueError(f"split={split!r} is for a folder: the data set is of one split")
        _check_reading(data, reading)
        return data
    if str(data) == SUSHI:
        from visattn.data import SushiData
        from visattn.data.generated.sushi.plan import ADVERSARIAL_BACKGROUNDS

        many = least if adversarial == ADVERSARIAL_BACKGROUNDS else 0
        scenes = SushiData(size=prepared.size, train=8, val=0, test=least, adversarial=many)
        root = scenes.locate()
    else:
        root = Path(data)
    if not _has_splits(root):
        if split is not None:
            raise ValueError(
                f"{root} has no splits, folders SPLIT/images/CLASS/ID.*; leave out split={split!r}"
            )
        return Unlabelled(PictureDataset(root, size=prepared.size, fit=prepared.fit))
    known = split_names(root)
    tests = [name for name in known if name.startswith("test")]
    originals = [name for name in tests if name.endswith("_original")]
    wanted = split or (originals or tests or list(known))[-1]
    if wanted not in known:
        raise ValueError(
            f"no split {wanted!r} in {root}{nearest(wanted, names=known)}; there are "
            f"{', '.join(known)}"
        )
    return FolderDataset(
        root,
        split=wanted,
        size=prepared.size,
        fit=prepared.fit,
        mask_values=prepared.mask_values,
    )


def _check_reading(data: Pictures, reading: Mapping[str, Any]) -> None:
    """A data set reads its pictures itself: refuse another way, and one that hides something."""
    decoder = getattr(data, "decoder", None)
    for name, wanted in reading.items():
        own = getattr(decoder, name, None)
        if wanted is not None and wanted != own:
            has = "" if own is None else f", with {name}={own!r}"
            raise ValueError(
                f"{name}={wanted!r} is for a folder: the data set reads its pictures itself{has}; "
                f"leave {name} out here, and give it to the data set"
            )
    if getattr(data, "masked", False):
        raise ValueError(
            "the data set has masked=True, but an audit shows whole pictures and cuts objects out "
            "itself: leave masked out"
        )
    if getattr(data, "mask_form", "mask") != "mask":
        raise ValueError(
            f"the data set has mask_form={getattr(data, 'mask_form', None)!r}, but an audit cuts "
            "objects out along their masks: leave mask_form out"
        )


def _has_splits(root: Path) -> bool:
    if not root.exists():
        raise FileNotFoundError(
            f"expected pictures at {root}, found nothing; they stand in SPLIT/images/CLASS/ID.*, "
            "their masks in SPLIT/masks/CLASS/ID.png"
        )
    return root.is_dir() and any((child / "images").is_dir() for child in root.iterdir())


def _timm_facts(model: object) -> dict[str, Any]:
    """What timm says of a model of its own."""
    config = getattr(model, "pretrained_cfg", None) or {}
    facts = {name: config[name] for name in ("mean", "std") if config.get(name)}
    if config.get("input_size"):
        facts["size"] = int(config["input_size"][-1])
    return facts
