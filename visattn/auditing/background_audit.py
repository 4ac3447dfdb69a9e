"""``visattn.audit``: the whole audit of a classifier."""

from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from rich.progress import track
from torch.utils.data import DataLoader

from visattn.auditing.arrangement import arrange
from visattn.auditing.choosing import flip_cases
from visattn.auditing.classes import ClassMap, read_logits
from visattn.auditing.describing import as_read, describe, plain_map
from visattn.auditing.masking import MaskModel, open_mask_model
from visattn.auditing.measuring import ask
from visattn.auditing.numbers import sum_up
from visattn.auditing.opening import (
    Classifier,
    Fit,
    open_classifier,
    open_pictures,
    prepare,
    short_name,
)
from visattn.auditing.pictures import DataModule, as_published, of_module
from visattn.auditing.results import Audit
from visattn.auditing.scenes import Pictures, colours
from visattn.auditing.subject import Subject, evaluating
from visattn.data import MaskValues

T = TypeVar("T")


def audit(
    model: Classifier | str | Path,
    dataset: Pictures | DataModule | str | Path,
    *,
    split: str | None = None,
    size: int | None = None,
    fit: Fit | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    pretrained: bool = False,
    weights: str | Path | None = None,
    class_map: ClassMap | None = None,
    flips_only: bool = False,
    mask_model: MaskModel | None = None,
    backgrounds: str | Path | None = None,
    composites: bool = False,
    adversarial: int = 8,
    noise: float = 0.25,
    background_column: str = "style",
    mask_values: MaskValues | None = None,
    limit: int = 0,
    cases: int = 6,
    batch_size: int = 32,
    workers: int = 0,
    seed: int = 0,
    progress: bool = True,
) -> Audit:
    r"""Measure how much a classifier reads the background, on pictures with masks.

    Every picture's foreground is cut out and put on other backgrounds, which come from other
    pictures of the same set with their foregrounds filled (Xiao et al., 2020, arXiv:2006.09994):
    *mixed-same*, another picture's of its class; *mixed-rand*, of a random class; *mixed-next*, of
    the next class; *mixed-new*, a picture of ``backgrounds``. Further the foreground alone on
    black (*only-fg*), the background with the foreground's box filled from the rest (*only-bg-t*)
    or black (*only-bg-b*), and with the foreground's shape black (*no-fg*). From the answers:

    - accuracies, with Wilson's 95 % intervals, and their chance level;
    - the BG-gap, accuracy on mixed-same less accuracy on mixed-rand;
    - the share of foregrounds recognised on all of ``adversarial`` backgrounds, the same for each;
    - the worst (class, background) group of at least 10 images. A background is named by the
      column ``background_column`` of ``metadata.csv`` where there is one (a picture without a
      name there is in no group), else by the class of the picture that lent it;
    - relative foreground sensitivity (RFS, Moayeri et al., 2022, arXiv:2201.10766), under Gaussian
      noise on the foreground against the same noise on the background, with the 95 % interval of
      a bootstrap over the pictures;
    - flip rates: how often the answer changes when the background alone does. They need no labels.

    Pictures are read and made a batch at a time; only answers are kept. The same seed gives the
    same pictures, whatever the batch size.

    Where the split is called ``..._original`` and ``..._mixed_same`` and its like stand beside it,
    as for scenes of sushi, these true renders are used and not composites. So are the published
    variants of ImageNet-9, paired by their foregrounds, so that the accuracies and the BG-gap are
    those of the Backgrounds Challenge. Its figure for adversarial backgrounds is not: there every
    foreground is put on every only-bg-t picture, here on ``adversarial`` of them.

    Without masks, ``mask_model`` predicts them. Then only the accuracy on the pictures as they are
    and the flip rates are given, and these are an **estimate**: a mask that misses the object
    changes what the object is.

    Args:
        model: Images (N, 3, H, W) to logits: a module (asked in evaluation mode, on its device),
            any function, a checkpoint that ``visattn fit`` wrote, or the name of a timm model.
        dataset: A folder ``SPLIT/images/CLASS/ID.*`` with masks in ``SPLIT/masks/CLASS/ID.*``; the
            folder of a public data set as it is published (Waterbirds, ImageNet-9, Oxford-IIIT Pet
            or UECFoodPix Complete); a folder of pictures (for ``mask_model``); ``"sushi"`` for
            scenes that are rendered; a `visattn.data.FolderDataset` or its like; or a data module
            such as `visattn.data.ImageNet9Data`, whose own size, fit, mask values and classes are
            taken.
        split: Of a folder or data module; the last that ends in ``_original``, or else begins with
            ``test``, if None.
        size: Side to which pictures are scaled; what the checkpoint or timm says if None, or 224.
        fit: ``"crop"`` or ``"stretch"``, see `visattn.data.FolderDataset`.
        mean: By which images are normalised; if None what the checkpoint or timm says, or else the
            data set, or else ImageNet's.
        std: The same.
        pretrained: For the name of a timm model: load its weights; without these and ``weights``
            they are random, and the numbers those of no trained network.
        weights: For the name of a timm model: a file of your own weights (what ``torch.save`` wrote
            of a state dict, alone or under ``state_dict`` or ``model``, or ``.safetensors``). There
            are as many logits as in the file.
        class_map: From class folder to the logits that mean it, or from logit to the number of its
            class (-1 for none, as ImageNet-9's ``in_to_in9.json``). Needed where the classes are
            not those of the model; a logit in no class is a wrong answer.
        flips_only: Look at no classes: flip rates alone.
        mask_model: A checkpoint or network with a spatial mask, or a function of pictures in
            [0, 1] to masks in [0, 1], to be used in place of given masks.
        backgrounds: A folder of pictures without objects, for mixed-new.
        composites: Put variants together even where the folder has them rendered.
        adversarial: How many backgrounds; 0 to leave that out. Where a split ``..._adversarial``
            stands beside, each foreground's own pictures there are taken; for ``"sushi"``, 64
            renders them (480 foregrounds take minutes) in place of cutting out.
        noise: Standard deviation of the noise, colours being in [0, 1]; 0 to leave that out.
        background_column: Column of ``metadata.csv`` that names the background; another than the
            default must be there.
        mask_values: What the values of the mask files mean; if None what they meant in the
            checkpoint's training, or alpha = value / 255.
        limit: How many pictures, drawn at random; 0 for all.
        cases: How many random ones, and how many of the worst flips, to keep for the picture.
        batch_size: Pictures a call of the model.
        workers: Processes that read; 0 reads in this one.
        seed: Of all draws.
        progress: Show a progress bar.

    Returns:
        The numbers; `Audit.table` prints them, `Audit.save` writes them and the picture.

    Raises:
        FileNotFoundError: A folder or a checkpoint is missing.
        TypeError: The model or the data set is of another kind.
        ValueError: An option out of its range, no masks, or classes that cannot be matched.

    Example:
        >>> import tempfile, numpy as np
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as root:
        ...     mask = np.zeros((16, 16), np.uint8)
        ...     mask[4:12, 4:12] = 255
        ...     for kind, colour in (("blue", (0, 0, 255)), ("red", (255, 0, 0))):
        ...         for part in ("images", "masks"):
        ...             Path(root, "test", part, kind).mkdir(parents=True)
        ...         for name in "abcd":
        ...             on_grey = np.where(mask[..., None] > 0, colour, 90).astype(np.uint8)
        ...             Image.fromarray(on_grey).save(Path(root, f"test/images/{kind}/{name}.png"))
        ...             Image.fromarray(mask).save(Path(root, f"test/masks/{kind}/{name}.png"))
        ...     centre = lambda images: images[:, [2, 0], 8, 8]  # blue against red
        ...     found = audit(centre, root, size=16, progress=False)
        >>> print(found.accuracies["mixed-rand"], found.flip_rate.value)
        100.0 % (67.6 to 100.0, n = 8) 0.0
    """
    _check_numbers(
        limit=(limit, 0),
        cases=(cases, 0),
        batch_size=(batch_size, 1),
        workers=(workers, 0),
        seed=(seed, 0),
        adversarial=(adversarial, 0),
        noise=(noise, 0),
    )
    if flips_only and class_map is not None:
        raise ValueError("flips_only looks at no classes: leave class_map out")
    opened = open_classifier(model, pretrained=pretrained, weights=weights)
    reading: dict[str, Any] = {"size": size, "fit": fit, "mask_values": mask_values}
    prepared = prepare(opened.facts, mean=mean, std=std, **reading)
    given, split = of_module(as_published(dataset, prepared=prepared), split=split)
    prepared = prepare(opened.facts, given, mean=mean, std=std, **reading)
    pictures = open_pictures(
        given,
        split=split,
        prepared=prepared,
        reading=reading,
        least=limit or 480,
        adversarial=0 if composites else adversarial,
    )
    masks_of, masks = (None, "given") if mask_model is None else open_mask_model(mask_model)
    arranged = arrange(
        pictures,
        masks_of=masks_of,
        flips_only=flips_only,
        backgrounds=backgrounds,
        fit=prepared.fit,
        composites=composites,
        adversarial=adversarial,
        noise=noise,
        background_column=background_column,
        limit=limit,
        seed=seed,
    )
    subject = Subject(opened.model, prepared=prepared)
    with evaluating(opened.model):
        probe = colours(arranged.scenes[0]["image"].expand(2, -1, -1, -1), device=subject.device)
        known = opened.facts.get("class_names")
        subject.reading = read_logits(
            subject.logits(probe).shape[1],
            folders=pictures.class_names,
            known=known,
            class_map=class_map,
            flips_only=not arranged.with_classes,
        )
        loader = DataLoader(arranged.scenes, batch_size=batch_size, num_workers=workers)
        found = ask(
            subject,
            _shown(loader, "Auditing", progress=progress),
            count=len(arranged.scenes),
            work=arranged.work,
            backgrounds=arranged.fixed,
        )
        if arranged.adversarial:
            rows = _shown(list(arranged.adversarial), "Adversarial", progress=progress)
            found.right_on_all = arranged.ask_adversarial(subject, rows, batch_size=batch_size)
        kept = flip_cases(
            subject, arranged.scenes, found, work=arranged.work, count=cases, seed=seed
        )
    behind = arranged.names_behind(found, column=background_column)
    numbers = sum_up(
        found,
        labelled=arranged.with_classes,
        estimate=mask_model is not None,
        backgrounds=behind,
        seed=seed,
    )
    settings = {
        "model": opened.name,
        "name": short_name(opened.name),
        "weights": opened.weights,
        "images": len(arranged.scenes),
        **as_read(pictures),
        "mean": list(prepared.mean),
        "std": list(prepared.std),
        "class_map": None if class_map is None else plain_map(class_map),
        "flips_only": flips_only,
        "masks": masks,
        "backgrounds": None if backgrounds is None else str(backgrounds),
        "composites": composites,
        "adversarial": adversarial,
        "noise": noise,
        "background_column": background_column,
        "limit": limit,
        "cases": cases,
        "seed": seed,
        "visattn": version("visattn"),
    }
    in_order = arranged.with_classes and known is None and class_map is None
    return describe(
        numbers,
        found,
        arranged=arranged,
        settings=settings,
        notes=opened.notes,
        in_order=in_order,
        cases=kept,
    )


def _shown(items: Iterable[T], what: str, *, progress: bool) -> Iterable[T]:
    return track(items, description=what, transient=True) if progress else items


def _check_numbers(**given: tuple[float, float]) -> None:
    for name, (value, least) in given.items():
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
