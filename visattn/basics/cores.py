"""How many processor cores there are for this process."""

import os


def core_count() -> int:
    """The cores that this process may use, where the system tells; else all there are.

    Example:
        >>> core_count() >= 1
        True
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
