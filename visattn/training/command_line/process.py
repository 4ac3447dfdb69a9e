"""Settings of the process that make training on a CPU up to twice as fast, and its end lighter.

Two defaults cost more than any model: glibc returns every large tensor's memory to the system and
takes it back page by page, and OpenMP's threads spin while they wait, against whoever else wants
the core. Both can only be changed early: the second is read when PyTorch is imported. A third is
of the end: unloading PyTorch's libraries takes more memory than they did before.
"""

import ctypes
import os
import platform
import sys

OPT_OUT = "VISATTN_TUNE_PROCESS"
"""Environment variable: ``0`` leaves the process as it is."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4
_KEPT_BYTES = 2_000_000_000
_MALLOC_VARIABLES = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")


def tune_process() -> tuple[str, ...]:
    """Let freed memory stay with the process, and let idle OpenMP threads sleep.

    The commands that train call this before they import PyTorch; ``import visattn`` never does.
    What the environment already says about either wins, and ``VISATTN_TUNE_PROCESS=0`` turns both
    off. The price: memory that was once used (allocations of up to 2 GB each) is returned at the
    end of the process only. On other systems than Linux with glibc, only the second is done.

    Returns:
        What was changed: ``"allocator"``, ``"openmp"``, both, or nothing.

    Example:
        >>> import os
        >>> os.environ["VISATTN_TUNE_PROCESS"] = "0"
        >>> tune_process()
        ()
        >>> del os.environ["VISATTN_TUNE_PROCESS"]
    """
    if os.environ.get(OPT_OUT) == "0":
        return ()
    changed = []
    if not any(name in os.environ for name in _MALLOC_VARIABLES) and _keep_freed_memory():
        changed.append("allocator")
    if "OMP_WAIT_POLICY" not in os.environ and "torch" not in sys.modules:
        os.environ["OMP_WAIT_POLICY"] = "passive"
        changed.append("openmp")
    return tuple(changed)


def skip_unloading() -> bool:
    """Let the process end without the destructors of native libraries, which is for its last line.

    Python ends as ever: its ``atexit`` functions run, threads are joined, output is flushed, and
    the exit status is what it would have been. Then C's open files are written and closed, and the
    system takes the memory back. PyTorch for CUDA, unloaded, reads 130 MB of its libraries into
    memory for nothing. What native code wants to do at the very end (a leak checker's report) is
    left out: ``VISATTN_TUNE_PROCESS=0`` keeps it.

    Returns:
        Whether it will be so: not without PyTorch, nor with another C library than glibc.
    """
    libc = _glibc() if "torch" in sys.modules and os.environ.get(OPT_OUT) != "0" else None
    if libc is None:
        return False
    libc.on_exit.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    last_first = ("_exit", "fcloseall")  # C calls what was registered last first
    ends = [ctypes.cast(getattr(libc, name), ctypes.c_void_p) for name in last_first]
    return all(libc.on_exit(end, None) == 0 for end in ends)


def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None


def _keep_freed_memory() -> bool:
    mallopt = getattr(_glibc(), "mallopt", None)
    if mallopt is None:
        return False
    # Some versions refuse a threshold above 32 MB; they can be told to map nothing at all.
    mapped = mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES) or mallopt(_M_MMAP_MAX, 0)
    return bool(mapped and mallopt(_M_TRIM_THRESHOLD, -1))
