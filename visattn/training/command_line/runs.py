"""Run folders: ``RUNS/NAME/version_K`` with what a training left there."""

import re
from pathlib import Path
from typing import Literal, get_args

Moment = Literal["last", "best"]
CHECKPOINTS = "checkpoints"


def claim_run(folder: Path, *, name: str) -> int:
    """Make the next free ``folder/name/version_K`` and return K.

    The folder is made here, so two trainings that start at the same moment get one each.

    Args:
        folder: Where all runs are.
        name: Which runs; a folder of its own.

    Raises:
        ValueError: If ``name`` is no plain folder name.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     claim_run(Path(root), name="plain"), claim_run(Path(root), name="plain")
        (0, 1)
    """
    if not name or name in {".", ".."} or "/" in name or "\\" in name:
        raise ValueError(f"the name of a run must be a plain folder name, got {name!r}")
    versions = versions_of(folder, name=name)
    version = max(versions, default=-1) + 1
    while True:
        try:
            (folder / name / f"version_{version}").mkdir(parents=True)
        except FileExistsError:
            version += 1
        else:
            return version


def versions_of(folder: Path, *, name: str) -> tuple[int, ...]:
    """The K of every ``folder/name/version_K``, ascending."""
    matches = (
        re.fullmatch(r"version_(\d+)", path.name)
        for path in (folder / name).glob("version_*")
        if path.is_dir()
    )
    return tuple(sorted(int(match[1]) for match in matches if match))


def find_checkpoint(folder: Path, *, name: str, moment: Moment = "last") -> Path:
    """The last or the best checkpoint of the newest run that has one.

    Args:
        folder: Where all runs are.
        name: Which runs.
        moment: ``"last"``, the end of the training (or its last whole epoch), or ``"best"``, the
            epoch with the highest accuracy on the validation split.

    Raises:
        FileNotFoundError: If no run of this name has such a checkpoint.
    """
    for version in reversed(versions_of(folder, name=name)):
        path = folder / name / f"version_{version}" / CHECKPOINTS / f"{moment}.ckpt"
        if path.is_file():
            return path
    others = sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    known = f"; runs there: {', '.join(others)}" if others else ""
    raise FileNotFoundError(
        f"no {moment}.ckpt under {folder / name}/version_*/{CHECKPOINTS}{known}. Train first "
        "(visattn fit -c ...), or give the file: --ckpt_path PATH, or none for untrained weights"
    )


def resolve_checkpoint(given: str | Path, *, folder: Path, name: str) -> Path:
    """Turn ``last``, ``best`` or a path into the path of an existing checkpoint.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    if str(given) in get_args(Moment):
        return find_checkpoint(folder, name=name, moment="best" if given == "best" else "last")
    path = Path(given)
    if not path.is_file():
        raise FileNotFoundError(
            f"no checkpoint at {path}; give a file, or last or best for the newest run "
            f"under {folder / name}"
        )
    return path
