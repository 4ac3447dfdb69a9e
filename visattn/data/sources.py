"""Which pictures are meant: scenes of sushi, a split of a folder, or a folder of pictures alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from visattn.basics.suggestions import nearest
from visattn.data.files.forms import form_of
from visattn.data.files.picture_paths import Pictures, several

SUSHI = "sushi"
"""In the place of a folder: scenes that are rendered."""


def find_source(
    data: Pictures,
    *,
    split: str | None,
    size: int,
    scenes: int,
    prefer: Sequence[str] = (),
    **scene_options: Any,
) -> tuple[Pictures, str | None]:
    """The folder, and which split of it; None for pictures without splits.

    Args:
        data: A folder ``SPLIT/images/CLASS/ID.*``, a folder of pictures, one picture, a glob,
            several of these, or ``"sushi"`` for scenes that are rendered.
        split: Which split; the last test split if None.
        size: Side of scenes that are rendered.
        scenes: How many to render of each variant.
        prefer: Endings of test splits to be taken before others, the best first.
        **scene_options: Further arguments of `visattn.data.SushiData`.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: There is no such split, or the folder has none.
    """
    if not isinstance(data, (str, Path)) and len(data) == 1:
        (data,) = data
    if several(data):
        if split is not None:
            raise ValueError(f"pictures alone have no splits; leave out split={split!r}")
        return data, None
    root = Path(str(data))
    if str(data) == SUSHI:
        from visattn.data.generated.sushi.module import SushiData

        root = SushiData(size=size, train=8, val=0, test=scenes, **scene_options).locate()
    if not root.exists():
        raise FileNotFoundError(
            f"expected pictures at {root}, found nothing; they stand in SPLIT/images/CLASS/ID.*, "
            "their masks in SPLIT/masks/CLASS/ID.png"
        )
    form = form_of(root)
    known = [] if form is None else [name for name in form.splits if name[:1] != "."]
    if not known:
        if split is not None:
            raise ValueError(
                f"{root} has no splits, folders SPLIT/images/CLASS/ID.*; leave out split={split!r}"
            )
        return root, None
    wanted = split or last_test(known, prefer=prefer)
    if wanted not in known:
        raise ValueError(
            f"no split {wanted!r} in {root}{nearest(wanted, names=known)}; there are "
            f"{', '.join(known)}"
        )
    return root, wanted


def check_scenes(data: Pictures, class_names: Sequence[str] | None) -> None:
    """Refuse scenes for a network that was trained on other classes than theirs.

    Raises:
        ValueError: It was; it is said how to name the data.
    """
    if str(data) != SUSHI or not class_names:
        return
    from visattn.data.generated.sushi import KINDS

    if not set(class_names) >= set(KINDS):
        raise ValueError(
            f"the network was trained on the classes {', '.join(class_names)}, and the scenes of "
            f"sushi have {', '.join(KINDS)}: say which pictures are meant, --data FOLDER"
        )


def last_test(splits: Sequence[str], *, prefer: Sequence[str] = ()) -> str:
    """The last split that begins with ``test`` and has the first of the endings that any has.

    Without such an ending the last that begins with ``test``; without any of these the last.

    Example:
        >>> last_test(["train", "test_original", "test_rand"], prefer=["_original"])
        'test_original'
        >>> last_test(["train", "val"])
        'val'
    """
    tests = [name for name in splits if name.startswith("test")]
    for ending in prefer:
        fitting = [name for name in tests if name.endswith(ending)]
        if fitting:
            return fitting[-1]
    return (tests or list(splits))[-1]
