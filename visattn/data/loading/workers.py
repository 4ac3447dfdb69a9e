"""The processes that load: how they begin, and how they end."""

import os
import signal
from threading import Thread
from typing import Any

import torch


def worker_options(workers: int) -> dict[str, Any]:
    """Those of a loader that draws once from PyTorch's generator, now, and not in every epoch."""
    drawn = int(torch.empty((), dtype=torch.int64).random_().item())
    return {
        "generator": torch.Generator().manual_seed(drawn),
        "num_workers": workers,
        "persistent_workers": workers > 0,
        "worker_init_fn": _prepare_worker if workers > 0 else None,
        "pin_memory": torch.cuda.is_available(),
    }


def _prepare_worker(worker: int) -> None:
    """One thread a worker: the processes are the parallelism. It ends when its parent says so."""
    from visattn.data.optional import cv2

    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()


def _end_with_parent(parent: int) -> None:
    """End at the parent's SIGTERM alone.

    A scheduler, ``timeout`` or a terminal sends it to all processes of a training at once, and the
    training still needs its workers to end at a batch, with a checkpoint.
    """
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
