"""The library of `native.c`: compiled, kept and called.

It is compiled when a map of some size first comes, for this processor and each layout, in about a
second, and kept in the user's cache.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

GRAIN = 2**17
"""Values of a map for which another thread pays."""
_FLAGS = ("-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math")
_SOURCE = Path(__file__).with_name("native.c").read_bytes()  # now: both files may be replaced


def call(
    name: str, count: int, numbers: Sequence[float], *tensors: Tensor | None,
    parts: int = 1, last: bool = False,
) -> None:  # fmt: skip
    """Run a function on images 0 to count, shared out in parts; None is a null.

    It takes each float as a double and each integer as a long, and all of them before the tensors.
    """
    compiled = library(last=last)
    assert compiled is not None
    function = getattr(compiled, name)
    if function.argtypes is None:
        numbers_of_c: list[Any] = [
            ctypes.c_double if isinstance(n, float) else ctypes.c_long for n in (0, count, *numbers)
        ]
        function.restype = None
        function.argtypes = numbers_of_c + [ctypes.c_void_p] * len(tensors)
    given = [*numbers, *[None if t is None else t.data_ptr() for t in tensors]]
    if parts == 1:
        function(0, count, *given)
        return
    edges = [count * part // parts for part in range(parts + 1)]

    def run(first: int, end: int) -> None:
        function(first, end, *given)

    list(_threads(parts).map(run, edges[:-1], edges[1:]))


def parts_of(count: int, u: Tensor) -> int:
    """In how many parts ``count`` images or groups of channels of a map are shared out."""
    threads = torch.get_num_threads()
    return 1 if threads == 1 else max(1, min(threads, count, u.numel() // GRAIN))


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="visattn")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.cache_clear)  # which has none of the threads


@cache
def library(*, last: bool = False) -> ctypes.CDLL | None:
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
    words = [*_FLAGS, f"-DLAST={last:d}"]
    made_of = (_SOURCE, " ".join(words).encode(), _processor().encode())
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "visattn"
    library_file = folder / f"gates-{hashlib.sha256(b'|'.join(made_of)).hexdigest()[:16]}.so"
    if not library_file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as beside:
            made = Path(beside) / library_file.name
            command = [compiler, *words, "-shared", "-fPIC", "-x", "c", "-", "-o", str(made)]
            subprocess.run(command, input=_SOURCE, check=True, capture_output=True, timeout=60)
            made.replace(library_file)  # whole, or not there
    return library_file


def _processor() -> str:
    """What a program for this processor must not be run without: a home may be shared."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.system()} {platform.machine()} {platform.processor()} {flags}"
