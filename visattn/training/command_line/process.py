"""Settings of the process that make training on a CPU up to twice as fast.

Two defaults cost more than any model: glibc returns every large tensor's memory to the system and
takes it back page by page, and OpenMP's threads spin while they wait, against whoever else wants
the core. Both can only be changed early: the second is read when PyTorch is imported.
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


def _keep_freed_memory() -> bool:
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    # Some versions refuse a threshold above 32 MB; they can be told to map nothing at all.
    mapped = mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES) or mallopt(_M_MMAP_MAX, 0)
    return bool(mapped and mallopt(_M_TRIM_THRESHOLD, -1))
