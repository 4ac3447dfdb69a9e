"""Commands that make masks: from other tools' files, by proposal and by review."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal


def import_annotations(
    file: str,
    data: str,
    *,
    labels: list[str] | str | None = None,
    split: str | None = None,
    boxes: bool = True,
    turned: Literal["refuse", "upright", "stored"] = "refuse",
    overwrite: bool = False,
) -> None:
    """Turn COCO, labelme, CVAT, Label Studio, VOC or Darwin annotations into masks.

    Args:
        file: The file of annotations, or a folder of such files.
        data: The folder of pictures, SPLIT/images/CLASS/ID.jpg; the masks go to SPLIT/masks.
        labels: Labels that mean the object, such as 'sushi,nigiri', or '*' for all; if not given,
            the label of the picture's class, and shapes without a label.
        split: One split; all if not given.
        boxes: Whether boxes count, as masks that are full inside the box.
        turned: For pictures that the camera's orientation turns, where the file has the size before
            turning: whether its coordinates are of the picture as it is seen or as it is stored.
        overwrite: Replace masks that are there.
    """
    from visattn.annotation.importing import import_masks

    _split(data)
    options: dict[str, Any] = {"split": split, "boxes": boxes, "turned": turned}
    if isinstance(labels, str):
        labels = [part.strip() for part in labels.split(",")]
    _say(import_masks(file, data, labels=labels, overwrite=overwrite, **options))
    _say_next(data)


def propose_objects(
    data: str,
    *,
    boxes: str | None = None,
    model: str | None = None,
    onnx: str | None = None,
    rembg: str | None = None,
    deeplab: str | None = None,
    sam: str | None = None,
    split: str | None = None,
    measure: bool = False,
    mask_values: dict[str, list[int] | int] | None = None,
    overwrite: bool = False,
) -> None:
    """Propose a mask for each picture without one: by GrabCut, or by a network that is named.

    Args:
        data: The folder of pictures; proposals go to SPLIT/proposals (proposals/SPLIT for those in
            SPLIT/CLASS), and masks are never touched. One folder of classes is split first, as
            visattn fit does it.
        boxes: Annotations with boxes (any format of visattn masks import); GrabCut starts from the
            picture's centre if not given. With --measure also masks, for the boxes around these.
        model: A checkpoint that visattn fit wrote of a network with a mask.
        onnx: A salient-object network as ONNX, such as U2-Net.
        rembg: The name of a model of rembg, such as u2net; needs pip install 'visattn[masks]'.
        deeplab: A file of weights of torchvision's DeepLabV3.
        sam: A folder or the name of a SAM of transformers; needs pip install 'visattn[masks]'.
        split: One split; all if not given.
        measure: Write nothing; hold proposals against the masks that there are.
        mask_values: For --measure, what the values of the mask files mean, as in visattn audit.
        overwrite: Make proposals anew, and for pictures with a mask too.
    """
    from rich.console import Console

    from visattn.annotation.proposing import measure_proposals, open_proposer, propose_masks
    from visattn.data.masks import SOFT

    proposer = open_proposer(model=model, onnx=onnx, rembg=rembg, deeplab=deeplab, sam=sam)
    if measure:
        from visattn.commands.mask_values import mask_values_of

        values = SOFT if mask_values is None else mask_values_of(mask_values)
        options: dict[str, Any] = {"split": split, "boxes": boxes, "mask_values": values}
        Console(highlight=False).print(measure_proposals(data, proposer, **options))
        return
    _split(data)
    _say(propose_masks(data, proposer, split=split, boxes=boxes, overwrite=overwrite))
    print(f"next: visattn masks review {data}")


def review_proposals(
    data: str, *, out: str = "review.html", split: str | None = None, limit: int = 200
) -> None:
    """Write a page to accept, reject and correct proposals: one file, offline.

    Args:
        data: The folder of pictures, with proposals.
        out: The file to write.
        split: One split; all if not given, train and val first.
        limit: How many pictures a page has.
    """
    from visattn.annotation.reviewing import SAVED, write_review

    _say(write_review(data, out, split=split, limit=limit))
    print(f"next: visattn masks apply {data} {SAVED}, which is the file that the page saves")


def apply_proposals(
    data: str, file: str, *, split: str | None = None, overwrite: bool = False
) -> None:
    """Put the masks that were accepted on the page into the folder.

    Args:
        data: The folder of pictures.
        file: What the page has saved, masks.json; or the word proposals, for all of them as they
            are, which nobody has looked at.
        split: Of all proposals, those of one split.
        overwrite: Replace masks that are there; with proposals only those that nobody looked at.
    """
    from visattn.annotation.pictures import PROPOSALS
    from visattn.annotation.reviewing import apply_review, apply_unseen

    if file == PROPOSALS:
        _say(apply_unseen(data, split=split, overwrite=overwrite))
    elif split is not None:
        raise ValueError(f"split goes with the word {PROPOSALS}; the file says which are meant")
    else:
        _say(apply_review(data, file, overwrite=overwrite))
    _say_next(data)


def _split(data: str) -> None:
    """Split a folder of classes as a training would, since a mask belongs to a split's picture."""
    from visattn.data.files.splits import ensure_splits

    told = ensure_splits(Path(data))
    if told is not None:
        print(told)


def _say(lines: Sequence[str]) -> None:
    print(*lines, sep="\n")


def _say_next(data: str) -> None:
    fit = f"visattn fit -c foreground/mask --data FolderData --data.root {data}"
    print(f"next: {fit} --data.mask_share 1")
