"""The data set on disk: rendered once, in parallel, into a folder that is whole or not there."""

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from visattn.basics.lock import exclusive
from visattn.data.generated.sushi.composition import Picture, assemble
from visattn.data.generated.sushi.drawing.shading import sample_light
from visattn.data.generated.sushi.folder import (
    is_complete,
    open_partial,
    shot_paths,
    sushi_cache,
    write_metadata,
    write_png,
)
from visattn.data.generated.sushi.food.pieces import foreground
from visattn.data.generated.sushi.names import KINDS
from visattn.data.generated.sushi.opencv import opencv
from visattn.data.generated.sushi.plan import (
    TEST_VARIANTS,
    Shot,
    SushiParameters,
    names,
    plan_shots,
)
from visattn.data.generated.sushi.table.styles import background

_BATCH = 12  # foregrounds handed to a worker at once
_FEW = 96  # pictures up to which starting worker processes doesn't pay


def render_sushi(
    root: str | Path | None = None,
    *,
    size: int = 96,
    rho: float = 0.95,
    train: int = 2400,
    val: int = 400,
    test: int = 480,
    seed: int = 0,
    variants: Sequence[str] = TEST_VARIANTS,
    kinds: Sequence[str] = KINDS,
    train_random: bool = False,
    adversarial: int = 0,
    workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Render the sushi scenes and return their folder; at once if they are there already.

    The layout is ``ROOT/SPLIT/images/CLASS/ID.png``, ``ROOT/SPLIT/masks/CLASS/ID.png`` (the matte,
    0 to 255) and ``ROOT/metadata.csv``. Splits:

    ============================  ==============================================================
    ``train``, ``val``            the background is the class's own style with probability rho,
                                  otherwise a random other training style
    ``test_original``             the same, fresh foregrounds and backgrounds
    ``test_mixed_same``           always the own style, another background
    ``test_mixed_rand``           a random training style, whatever the class
    ``test_mixed_next``           the style of the next class
    ``test_mixed_new``            styles that are in no other split
    ``test_only_fg``, ``..grey``  the sushi on black, on grey
    ``test_only_bg``              ``test_original`` without sushi and its shadow (mattes all 0)
    ``test_no_fg``                ``test_original`` with the sushi's shape blacked out
    ``test_adversarial``          each of the first ``adversarial`` foregrounds on 64 backgrounds
    ``train_random``              the training foregrounds on random styles (an upper bound)
    ============================  ==============================================================

    An ID names the same foreground in all test variants, with the same light and noise. Foregrounds
    and backgrounds of different splits have different seeds. Pixels depend on the parameters alone,
    not on the number of workers.

    The work goes into ``ROOT.partial`` and is renamed when it is whole, so a data set that is there
    is complete; an interrupted one is taken up where it stopped.

    Args:
        root: the folder; chosen by :func:`sushi_cache` if not given.
        size: side of the pictures in pixels, at least 32.
        rho: share of biased pictures on their class's own style, in [0, 1].
        train: pictures in ``train``, over all classes in turn.
        val: pictures in ``val``.
        test: foregrounds in the test set.
        seed: of the whole data set.
        variants: test variants to render, of :data:`TEST_VARIANTS`.
        kinds: the classes, of :data:`KINDS`.
        train_random: whether to render ``train_random``.
        adversarial: foregrounds of ``test_adversarial``.
        workers: processes; as many as there are processors if not given, 1 for none but this one.
        progress: whether to show a progress bar.

    Returns:
        The folder.

    Raises:
        ValueError, TypeError: for parameters out of range or unknown names.
        FileExistsError: if the folder holds something else.
        ImportError: if OpenCV is missing.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as place:
    ...     folder = render_sushi(
    ...         Path(place, "scenes"), size=32, train=8, val=0, test=0, progress=False
    ...     )
    ...     sorted(path.name for path in (folder / "train" / "images").iterdir())[:3]
    ['buri', 'ebi', 'ika']
    """
    parameters = SushiParameters(
        size=size,
        rho=rho,
        train=train,
        val=val,
        test=test,
        seed=seed,
        variants=names(variants, field="variants"),
        kinds=names(kinds, field="kinds"),
        train_random=train_random,
        adversarial=adversarial,
    )
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    folder = sushi_cache(parameters) if root is None else Path(root).expanduser()
    if is_complete(folder, parameters):
        return folder
    _refuse_while_starting()
    opencv()
    lock = folder.with_name(f".{folder.name}.lock")
    with exclusive(lock):
        if not is_complete(folder, parameters):  # another process may just have done it
            partial = open_partial(folder, parameters)
            _render_all(partial, parameters, workers=workers or _processors(), progress=progress)
            write_metadata(partial, parameters)
            if folder.exists():
                folder.rmdir()  # empty, or is_complete would have complained
            partial.rename(folder)
    _remove_lock(lock)
    return folder


_GUARD = (
    'In a script of your own, call render_sushi below `if __name__ == "__main__":`, '
    "or pass workers=1."
)


def _refuse_while_starting() -> None:
    """Refuse to render in a worker that still imports the script which started it.

    A worker runs an unguarded script's own call of ``render_sushi`` again and would wait for the
    lock that its parent holds while the parent waits for it.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise RuntimeError(f"render_sushi was called while a worker process was starting. {_GUARD}")


def _remove_lock(lock: Path) -> None:
    """Tidy up; who still waits on this lock finds the data set whole and has no need of it."""
    with contextlib.suppress(OSError):  # some systems keep a file that another process has open
        lock.unlink()


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _render_all(root: Path, parameters: SushiParameters, *, workers: int, progress: bool) -> None:
    """Render every shot that is missing in ``root``."""
    total, missing = 0, []
    for shots in plan_shots(parameters):
        total += len(shots)
        left = tuple(shot for shot in shots if not shot_paths(root, shot)[1].exists())
        if left:
            missing.append(left)
    for folder in {path.parent for group in missing for s in group for path in shot_paths(root, s)}:
        folder.mkdir(parents=True, exist_ok=True)
    to_do = sum(len(group) for group in missing)
    batches = iter([missing[i : i + _BATCH] for i in range(0, len(missing), _BATCH)])
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, disable=not progress) as bar:
        task = bar.add_task("Rendering sushi scenes", total=total, completed=total - to_do)
        if workers == 1 or to_do <= _FEW:
            for batch in batches:
                bar.advance(task, _render_batch(root, batch, parameters.size))
            return
        for done in _in_processes(root, batches, parameters.size, workers):
            bar.advance(task, done)


def _in_processes(
    root: Path, batches: Iterator[list[tuple[Shot, ...]]], size: int, workers: int
) -> Iterator[int]:
    """Render batches in worker processes; yield how many pictures each took."""
    pool = ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker
    )
    try:
        pending: set[Future[int]] = {
            pool.submit(_render_batch, root, batch, size) for batch in islice(batches, 2 * workers)
        }
        while pending:
            finished, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()
            pending |= {
                pool.submit(_render_batch, root, batch, size)
                for batch in islice(batches, len(finished))
            }
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
    opencv().setNumThreads(1)


def _render_batch(root: Path, batch: list[tuple[Shot, ...]], size: int) -> int:
    """Render and write the shots of some foregrounds, each foreground once."""
    for shots in batch:
        for shot, (picture, matte) in zip(shots, render_shots(shots, size=size), strict=True):
            image_path, mask_path = shot_paths(root, shot)
            write_png(image_path, picture)
            write_png(mask_path, matte)  # last: a shot is there when its matte is
    return sum(len(shots) for shots in batch)


def render_shots(
    shots: Sequence[Shot], *, size: int, noise: bool = True
) -> Iterator[tuple[Picture, Picture]]:
    """Render shots that share one foreground; a background that several show is rendered once."""
    first = shots[0].scene
    light = sample_light(first.foreground_seed)
    piece = foreground(first.kind, first.foreground_seed, size=size, light=light)
    backgrounds = {}
    for shot in shots:
        scene = shot.scene
        if (scene.kind, scene.foreground_seed) != (first.kind, first.foreground_seed):
            raise ValueError("shots rendered together must share one foreground")
        behind = None
        if shot.has_background:
            key = (scene.style, scene.background_seed)
            if key not in backgrounds:
                backgrounds[key] = background(*key, size=size, light=light)
            behind = backgrounds[key]
        yield assemble(scene, piece, behind, light, noise=noise)
