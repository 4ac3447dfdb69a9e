"""The processes that load: how they begin, and how they end."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import torch

from visattn.basics.cores import core_count


def worker_options(workers: int) -> dict[str, Any]:
    """Those of a loader that draws once from PyTorch's generator, now, and not in every epoch.

    More processes than cores only wait for each other, so there are none.
    """
    workers = min(workers, core_count())
    drawn = int(torch.empty((), dtype=torch.int64).random_().item())
    return {
        "generator": torch.Generator().manual_seed(drawn),
        "num_workers": workers,
        "persistent_workers": workers > 0,
        "worker_init_fn": _prepare_worker if workers > 0 else None,
        "multiprocessing_context": _start_method() if workers > 0 else None,
        "pin_memory": torch.cuda.is_available(),
    }


def _start_method() -> str | None:
    """Forked workers share what is decoded; Python 3.14 asks a server to fork unless it is told."""
    chosen = multiprocessing.get_start_method(allow_none=True)
    return "fork" if sys.platform == "linux" and chosen != "spawn" else chosen


@contextmanager
def sigterm_blocked() -> Iterator[None]:
    """Processes that are started here don't end at a SIGTERM, unless it is their parent's.

    A scheduler or ``timeout`` sends it to all processes of a training at once, and the training
    still needs its workers to end at a batch, with a checkpoint.
    """
    if not _KNOWS_SENDER:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_KNOWS_SENDER = hasattr(signal, "sigwaitinfo")


def _prepare_worker(worker: int) -> None:
    """One thread a worker: the processes are the parallelism."""
    if _KNOWS_SENDER:
        Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    from visattn.data.optional import cv2

    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def _end_with_parent(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
