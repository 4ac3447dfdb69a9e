"""``visattn.audit``: the whole audit of a classifier."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import visattn
from visattn.auditing.arrangement import arrange
from visattn.auditing.classes import Subject, read_logits
from visattn.auditing.flips import flip_cases
from visattn.auditing.measuring import ask
from visattn.auditing.numbers import sum_up
from visattn.auditing.opening import (
    Classifier,
    open_classifier,
    open_mask_model,
    prepare,
    short_name,
)
from visattn.auditing.options import AuditOptions, ClassMap, read_options, with_options
from visattn.auditing.pictures import DataModule, Pictures, open_pictures
from visattn.auditing.results import Audit
from visattn.auditing.scenes import colours
from visattn.basics.modes import evaluating
from visattn.data import MaskValues

_WRITTEN = ("composites", "adversarial", "noise", "background_column", "limit", "cases", "seed")


@with_options(AuditOptions)
def audit(
    model: Classifier | str | Path,
    dataset: Pictures | DataModule | str | Path | Sequence[str | Path],
    **options: Any,
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
    - a control, *put-back*: the object on its own background, filled as the others' are. What it
      loses against the original is what cutting and filling cost by themselves;
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
    Where a split ``..._adversarial`` stands beside, each foreground's own pictures there are taken.

    What is not given of size, fit, mean and std is what the checkpoint or timm says, or else the
    data set, or else 224 pixels, a crop, and ImageNet's mean and std.

    Without masks, ``mask_model`` predicts them, or ``masks="grabcut"`` finds them by colour. Then
    only the accuracy on the pictures as they are and the flip rates are given, and these are an
    **estimate**: a mask that misses the object changes what the object is.

    Args:
        model: Images (N, 3, H, W) to logits: a module (asked in evaluation mode, on its device),
            any function, a checkpoint that ``visattn fit`` wrote, or the name of a timm model.
            Without ``pretrained`` and ``weights`` the weights of a name are random, and the numbers
            those of no trained network; with ``weights`` it has as many logits as the file.
        dataset: A folder ``SPLIT/images/CLASS/ID.*`` with masks in ``SPLIT/masks/CLASS/ID.*``; the
            folder of a public data set as it is published (Waterbirds, ImageNet-9, Oxford-IIIT Pet
            or UECFoodPix Complete); a folder of pictures (for ``mask_model``); ``"sushi"`` for
            scenes that are rendered; a `visattn.data.FolderDataset` or its like; or a data module
            such as `visattn.data.ImageNet9Data`, whose own size, fit, mask values and classes are
            taken.
        mask_model: A checkpoint or network with a spatial mask, or a function of pictures in
            [0, 1] to masks in [0, 1], to be used in place of given masks.
        **options: Those of `AuditOptions`.

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
    asked = read_options(options)
    opened = open_classifier(model, asked)
    prepared = prepare(opened.facts, dataset, asked)
    pictures, module = open_pictures(dataset, asked, prepared=prepared)
    prepared = prepare(opened.facts, pictures, asked)
    masks_of, masks = open_mask_model(asked.mask_model, masks=asked.masks)
    reading = {"fit": prepared.fit, "interpolation": prepared.interpolation}
    arranged = arrange(pictures, module=module, masks_of=masks_of, reading=reading, options=asked)
    subject = Subject(opened.model, prepared=prepared)
    known = opened.facts.get("class_names")
    with evaluating(opened.model):
        probe = colours(arranged.items[0]["image"].expand(2, -1, -1, -1), device=subject.device)
        subject.classes = read_logits(
            subject.logits(probe).shape[1],
            folders=pictures.class_names,
            known=known,
            class_map=asked.class_map,
            flips_only=not arranged.labelled,
            called=opened.facts.get("logit_names"),
        )
        answers = ask(subject, arranged)
        cases = flip_cases(subject, arranged, answers)
    notes = opened.notes
    if arranged.labelled and known is None and asked.class_map is None:
        notes.append("The logits were taken to be in the order of the class folders.")
    settings = {
        "model": opened.name,
        "name": short_name(opened.name),
        "weights": opened.weights,
        "images": len(arranged.items),
        **_reading_of(pictures),
        "mean": list(prepared.mean),
        "std": list(prepared.std),
        "class_map": None if asked.class_map is None else _plain_map(asked.class_map),
        "flips_only": asked.flips_only,
        "masks": masks,
        "backgrounds": None if asked.backgrounds is None else str(asked.backgrounds),
        **{name: getattr(asked, name) for name in _WRITTEN},
        "visattn": visattn.__version__,
    }
    return sum_up(answers, arranged, settings=settings, notes=notes, cases=cases)


def _reading_of(pictures: Pictures) -> dict[str, Any]:
    """How pictures and masks are read; None where a data set won't say."""
    decoder = getattr(pictures, "decoder", None)
    values = getattr(decoder, "mask_values", None)
    meant = json.loads(json.dumps(asdict(values))) if isinstance(values, MaskValues) else None
    known = {name: getattr(decoder, name, None) for name in ("fit", "interpolation")}
    return {**known, "mask_values": meant}


def _plain_map(class_map: ClassMap) -> dict[str, int | list[int]]:
    """A class map as plain values, to be given again.

    Example:
        >>> _plain_map({"cat": 3, "dog": range(4, 6)})
        {'cat': 3, 'dog': [4, 5]}
    """
    return {
        str(name): [int(place) for place in places] if isinstance(places, Iterable) else int(places)
        for name, places in class_map.items()
    }
