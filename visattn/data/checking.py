"""Reading all files of a data set before anything is trained on them."""

import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from visattn.data.decoding import read_mask
from visattn.data.files.masks import read_mask_file
from visattn.data.files.names import shown
from visattn.data.files.pictures import Picture, UnreadableFileError, read_picture
from visattn.data.layout import Item, list_problems
from visattn.data.masks import SOFT, MaskValues

_log = logging.getLogger(__name__)


class Finding(NamedTuple):
    """What was found about one item.

    Attributes:
        problems: What is wrong, one line each, naming the file.
        sideways: Its mask says no orientation (EXIF), its picture does, and no size tells which.
        empty: Its mask covers nothing of a picture that has a class.
        full: Its mask covers everything.
        around: Its mask covers the whole border of the picture, and not everything.
    """

    problems: tuple[str, ...] = ()
    sideways: bool = False
    empty: bool = False
    full: bool = False
    around: bool = False


def check_items(items: Iterable[Item], *, mask_values: MaskValues = SOFT) -> list[str]:
    """Problems of pictures and masks, one line each, naming the file.

    Reads every file whole, in the way in which it is read later, but large JPEGs at an eighth of
    their sides. Finds files that are no pictures, broken ones, masks of another size than their
    picture, and masks whose values have no meaning. What may be meant and may be not, such as
    masks that cover nothing, is counted and logged.

    Args:
        items: What to check.
        mask_values: What the values of the mask files mean, but for items that say it themselves.

    Returns:
        The problems, in the order of the items; empty if there are none.
    """
    chosen = tuple(items)
    findings = _findings(chosen, mask_values=mask_values)
    _tell(chosen, findings)
    return [problem for found in findings for problem in found.problems]


def readable_items(
    items: Sequence[Item], *, mask_values: MaskValues = SOFT, where: str
) -> tuple[Item, ...]:
    """The items whose files are all right; the others are counted and logged.

    Args:
        items: What to choose from.
        mask_values: As for `check_items`.
        where: What has them, for messages.

    Raises:
        ValueError: There are items, and none is all right.
    """
    findings = _findings(items, mask_values=mask_values)
    problems = [problem for found in findings for problem in found.problems]
    kept = tuple(i for i, found in zip(items, findings, strict=True) if not found.problems)
    listed = list_problems(problems, where=where)
    if problems and not kept:
        raise ValueError(f"skip_broken leaves no picture: {listed}")
    _tell(items, findings)
    if problems:
        _log.warning(
            "skipped %d of %d pictures (skip_broken): %s",
            len(items) - len(kept),
            len(items),
            listed,
        )
    return kept


def _findings(items: Sequence[Item], *, mask_values: MaskValues) -> list[Finding]:
    with ThreadPoolExecutor(max_workers=4) as pool:
        return list(pool.map(partial(_look_at, mask_values=mask_values), items))


def _look_at(item: Item, *, mask_values: MaskValues) -> Finding:
    problems: list[str] = []
    picture: Picture | None = None
    try:
        picture = read_picture(item.path, least=1)
    except UnreadableFileError as error:
        problems.append(_line(error))
    if item.mask_path is None:
        return Finding(tuple(problems))
    meaning = item.mask_values or mask_values
    try:
        if picture is None:
            read_mask_file(item.mask_path)
        else:
            mask = read_mask(
                item.mask_path, meaning=meaning, beside=picture, picture_path=item.path
            )
    except UnreadableFileError as error:
        problems.append(_line(error))
    except ValueError as error:
        problems.append(str(error))
    if problems or picture is None:
        return Finding(tuple(problems))
    width, height = picture.size
    sideways = picture.orientation != 1 and mask.orientation == 1
    sideways = sideways and (picture.orientation < 5 or width == height)
    known = mask.alpha[~mask.unknown]
    if item.label < 0 or not known.size:
        return Finding(sideways=sideways)
    inside = mask.alpha >= 0.5
    edges = (inside[0], inside[-1], inside[:, 0], inside[:, -1])
    empty, full = not (known >= 0.5).any(), bool((known >= 0.5).all())
    around = not full and all(edge.all() for edge in edges)
    return Finding(sideways=sideways, empty=empty, full=full, around=around)


def _line(error: UnreadableFileError) -> str:
    return f"{shown(error.path)}: a {error.what} that cannot be read ({error.reason})"


def _tell(items: Sequence[Item], findings: Sequence[Finding]) -> None:
    """Log how many masks may not say what they should."""
    masks = sum(item.mask_path is not None for item in items)
    for name, text in (
        ("empty", "cover nothing of their picture"),
        ("full", "cover all of their picture"),
        (
            "around",
            "cover the whole border of their picture: if black is the object in them, say so with "
            "MaskValues(foreground=(0,)), --data.mask_values '{\"foreground\": [0]}'",
        ),
        (
            "sideways",
            "say no orientation (EXIF) beside a picture that does, and are taken to be upright, "
            "as the picture is seen",
        ),
    ):
        which = [i for i, found in zip(items, findings, strict=True) if getattr(found, name)]
        if which and (name != "around" or 2 * len(which) > masks):  # a few objects may be so large
            first = shown(which[0].mask_path or "")
            _log.warning("%d of %d masks %s, such as %s", len(which), masks, text, first)
