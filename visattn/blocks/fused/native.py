"""The passes of gates in C, where a compiler is at hand: an extra that nothing needs.

`native.c` is compiled when a map of some size first comes, for this processor and each layout,
in about a second, and kept in the user's cache. Without a compiler, or with ``VISATTN_NATIVE=0`` in
the environment, the passes are those of PyTorch. Images are shared out among as many threads as
PyTorch uses.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

SOURCE = Path(__file__).with_name("native.c")
LEAST = 2**14
"""Values of a map from which it pays."""
_GRAIN = 2**17
"""Values for which another thread pays."""


def is_native(x: Tensor) -> bool:
    """Whether these passes can be had for a map."""
    return (
        x.device.type == "cpu"
        and x.dtype is torch.float32
        and x.numel() >= LEAST
        and (x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last))
        and _library(last=not x.is_contiguous()) is not None
    )


def native_pass(name: str, x: Tensor, *tensors: Tensor | None) -> None:
    """Run a function of `native.c` over all images of a map x (N, C, H, W), which comes first.

    Tensors are of single precision, and maps among them in the layout of x, which is contiguous or
    channels_last; None is a null.
    """
    library = _library(last=not x.is_contiguous())
    assert library is not None
    count, channels, height, width = x.shape
    of_map = (ctypes.c_long(channels), ctypes.c_long(height * width))
    pointers = [ctypes.c_void_p(t if t is None else t.data_ptr()) for t in (x, *tensors)]
    function = getattr(library, name)

    def run(first: int, last: int) -> None:
        function(ctypes.c_long(first), ctypes.c_long(last), *of_map, *pointers)

    parts = max(1, min(torch.get_num_threads(), count, x.numel() // _GRAIN))
    if parts == 1:
        run(0, count)
        return
    edges = [count * part // parts for part in range(parts + 1)]
    list(_threads(parts).map(run, edges[:-1], edges[1:]))


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="visattn")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.cache_clear)  # which has none of the threads


@cache
def _library(*, last: bool = False) -> ctypes.CDLL | None:
    """The compiled passes, for channels before or behind the places; None if they can't be had."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if os.environ.get("VISATTN_NATIVE") == "0" or compiler is None:
        return None
    try:
        return ctypes.CDLL(str(_compiled(compiler, last=last)))
    except (OSError, subprocess.SubprocessError):
        return None


def _compiled(compiler: str, *, last: bool) -> Path:
    """The library for this source and processor, compiled unless it is there."""
    words = ["-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
    words.append(f"-DLAST={last:d}")
    made_of = (SOURCE.read_bytes(), " ".join(words).encode(), _processor().encode())
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "visattn"
    library = folder / f"gates-{hashlib.sha256(b'|'.join(made_of)).hexdigest()[:16]}.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as beside:
            made = Path(beside) / library.name
            command = [compiler, *words, "-shared", "-fPIC", str(SOURCE), "-o", str(made)]
            subprocess.run(command, check=True, capture_output=True, timeout=60)
            made.replace(library)  # whole, or not there
    return library


def _processor() -> str:
    """What a program for this processor must not be run without: a home may be shared."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.system()} {platform.machine()} {platform.processor()} {flags}"
