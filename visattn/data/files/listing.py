"""What lies in the folders of a data set; what is wrong there becomes a line of a list."""

import logging
from collections.abc import Sequence
from pathlib import Path

from visattn.data.files.forms import PICTURE_SUFFIXES
from visattn.data.files.names import same_form, shown

MASK_SUFFIXES = (*PICTURE_SUFFIXES, ".npy")
"""Suffixes of the files that count as masks."""

# Pictures, too, but none that are read: not to be overlooked without a word.
_OTHER_PICTURES = (
    *(".avif", ".dng", ".exr", ".heic", ".heif", ".ico", ".j2k", ".jfif", ".jp2", ".jpe", ".jxl"),
    *(".pbm", ".pgm", ".psd", ".raw", ".tga"),
)
_LISTED_PROBLEMS = 10
_log = logging.getLogger(__name__)


def raise_problems(problems: Sequence[str], *, where: str) -> None:
    """Raise one error that lists the problems (up to ten), or return if there are none.

    Args:
        problems: One line each.
        where: What has them, for the first line.

    Raises:
        ValueError: There are problems.
    """
    if problems:
        raise ValueError(list_problems(problems, where=where))


def list_problems(problems: Sequence[str], *, where: str) -> str:
    """A line that counts the problems, and up to ten of them."""
    listed = list(problems[:_LISTED_PROBLEMS])
    if len(problems) > len(listed):
        listed.append(f"... and {len(problems) - len(listed)} more")
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return f"{count} in {where}:\n  " + "\n  ".join(listed)


def folders_under(folder: Path) -> list[Path]:
    """A folder and all in it, links followed, each once: links may go round in circles."""
    found: dict[Path, Path] = {}
    waiting = [folder]
    while waiting:
        path = waiting.pop()
        if path.resolve() not in found:
            found[path.resolve()] = path
            waiting.extend(p for p in sorted(path.iterdir()) if p.is_dir() and _visible(p))
    return list(found.values())


def files_in(folder: Path, problems: list[str]) -> list[Path]:
    """What is in a folder and not hidden, sorted; names and links that are wrong are problems."""
    entries = sorted(path for path in folder.iterdir() if _visible(path))
    found = []
    for path in entries:
        if not path.exists():
            problems.append(
                f"{shown(path)}: a link that leads nowhere, or in a circle; mend or remove it"
            )
        elif not path.name.isprintable() and any("\ud800" <= c <= "\udfff" for c in path.name):
            problems.append(f"{shown(path)}: its name is not in UTF-8; rename it")
        else:
            found.append(path)
    others = [path for path in found if path.suffix.lower() in _OTHER_PICTURES]
    overlooked = [path for path in others if path.is_file()]
    if overlooked:
        kinds = ", ".join(sorted({path.suffix.lower() for path in overlooked}))
        _log.warning(
            "%s: left out %d files (%s); readable ones are %s",
            shown(folder),
            len(overlooked),
            kinds,
            ", ".join(PICTURE_SUFFIXES),
        )
    return found


def class_folders_in(folder: Path, problems: list[str]) -> dict[str, Path]:
    """The folders in ``images`` or ``masks`` by class; pictures beside them are problems."""
    found: dict[str, Path] = {}
    for path in files_in(folder, problems):
        name = same_form(path.name)
        if path.is_dir():
            if name in found:
                problems.append(f"{shown(path)}: a second folder for the class {name!r}; join them")
            found[name] = path
        elif path.suffix.lower() in MASK_SUFFIXES:
            kind = "masks stand" if folder.name == "masks" else "pictures stand"
            other = "pictures do" if folder.name == "masks" else "in CLASS/ID.png"
            problems.append(f"{shown(path)}: {kind} in one folder a class, as {other}")
    return found


def pictures_by_stem(
    folder: Path, problems: list[str], *, suffixes: Sequence[str] = PICTURE_SUFFIXES
) -> dict[str, Path]:
    """The pictures of one folder by file name without suffix; doubles become problems."""
    found: dict[str, Path] = {}
    for path in files_in(folder, problems):
        if path.is_dir():
            if any(p.suffix.lower() in suffixes and _visible(p) for p in path.iterdir()):
                problems.append(
                    f"{shown(path)}: pictures in a folder of a class folder, which are not read; "
                    "move them up, or the folder away"
                )
            continue
        if path.suffix.lower() not in suffixes:
            continue
        stem = same_form(path.stem)
        if stem in found:
            problems.append(
                f"{shown(path)}: a second file for {shown(found[stem].name)}; names without their "
                "suffix must differ within a class, since a mask is found by them"
            )
            continue
        found[stem] = path
    return found


def why_empty(folder: Path) -> str:
    """The problem of a class folder without any picture."""
    others = sorted({p.suffix.lower() for p in folder.iterdir() if p.is_file() and _visible(p)})
    if others:
        return (
            f"{shown(folder)}: no pictures in this class folder, only files with the suffixes "
            f"{', '.join(map(repr, others))}; readable ones are {', '.join(PICTURE_SUFFIXES)}"
        )
    return f"{shown(folder)}: an empty class folder; add pictures, or remove it"


def _visible(path: Path) -> bool:
    return not path.name.startswith(".")
