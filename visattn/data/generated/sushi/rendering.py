"""Rendering a data set's scenes, in parallel, and writing what is known of each."""

import csv
import multiprocessing
import signal
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from visattn.basics.cores import core_count
from visattn.data.generated.pictures import write_png
from visattn.data.generated.sushi.composition import render_together
from visattn.data.generated.sushi.parameters import SushiParameters
from visattn.data.generated.sushi.plan import Shot, plan_shots
from visattn.data.optional import cv2

COLUMNS = ("split", "class", "id", "style", "background_seed", "foreground_seed", "variant")
_BATCH = 12  # foregrounds handed to a worker at once
_FEW = 96  # pictures up to which starting worker processes doesn't pay

_GUARD = (
    'In a script of your own, call render_sushi below `if __name__ == "__main__":`, '
    "or pass workers=1."
)


def refuse_while_starting() -> None:
    """Refuse to render in a worker that still imports the script which started it.

    A worker runs an unguarded script's own call of ``render_sushi`` again and would wait for the
    lock that its parent holds while the parent waits for it.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise RuntimeError(f"render_sushi was called while a worker process was starting. {_GUARD}")


def render_all(
    root: Path, parameters: SushiParameters, *, workers: int | None, progress: bool
) -> None:
    """Render every shot that is missing in ``root``, then write what is known of all."""
    workers = workers or core_count()
    total, missing = 0, []
    for shots in plan_shots(parameters):
        total += len(shots)
        left = tuple(shot for shot in shots if not _shot_paths(root, shot)[1].exists())
        if left:
            missing.append(left)
    to_do = sum(len(group) for group in missing)
    batches = [missing[i : i + _BATCH] for i in range(0, len(missing), _BATCH)]
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, disable=not progress) as bar:
        task = bar.add_task("Rendering sushi scenes", total=total, completed=total - to_do)
        counts = _in_processes(root, batches, parameters.size, workers)
        if workers == 1 or to_do <= _FEW:
            counts = (_render_batch(root, batch, parameters.size) for batch in batches)
        for done in counts:
            bar.advance(task, done)
    _write_metadata(root, parameters)


def _in_processes(
    root: Path, batches: Iterable[list[tuple[Shot, ...]]], size: int, workers: int
) -> Iterator[int]:
    """Render batches in worker processes; yield how many pictures each took."""
    pool = ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker
    )
    try:
        pending = [pool.submit(_render_batch, root, batch, size) for batch in batches]
        for future in as_completed(pending):
            yield future.result()
    except BrokenProcessPool as error:
        raise RuntimeError(
            f"A process that rendered sushi scenes ended early. {_GUARD} "
            "What is rendered so far is kept and taken up again."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    # An interrupt is the parent's affair: it ends its workers after the batch in hand.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)


def _shot_paths(root: Path, shot: Shot) -> tuple[Path, Path]:
    """Where a shot's picture and its matte go."""
    folder, name = root / shot.split, f"{shot.id}.png"
    return folder / "images" / shot.scene.kind / name, folder / "masks" / shot.scene.kind / name


def _write_metadata(root: Path, parameters: SushiParameters) -> None:
    """Write what is known of every picture, a row each."""
    with (root / "metadata.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(COLUMNS)
        for shots in plan_shots(parameters):
            for shot in shots:
                s = shot.scene
                behind = (s.style, s.background_seed) if s.has_background else ("", "")
                writer.writerow(
                    (shot.split, s.kind, shot.id, *behind, s.foreground_seed, shot.variant)
                )


def _render_batch(root: Path, batch: list[tuple[Shot, ...]], size: int) -> int:
    """Render and write the shots of some foregrounds, each foreground once."""
    for shots in batch:
        rendered = render_together([shot.scene for shot in shots], size=size)
        for shot, (picture, matte) in zip(shots, rendered, strict=True):
            image_path, mask_path = _shot_paths(root, shot)
            write_png(image_path, picture)
            write_png(mask_path, matte)  # last: a shot is there when its matte is
    return sum(len(shots) for shots in batch)
