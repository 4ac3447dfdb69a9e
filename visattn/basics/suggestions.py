"""Near misses: what a mistyped name may have meant."""

import difflib
from collections.abc import Iterable


def nearest(name: str, *, names: Iterable[str], count: int = 3) -> str:
    """A clause that names the nearest of ``names``, empty if none is near.

    Example:
        >>> nearest("resnt18", names=["resnet18", "vgg11"])
        '; did you mean resnet18?'
        >>> nearest("x", names=["resnet18"])
        ''
    """
    found = difflib.get_close_matches(name, list(names), n=count, cutoff=0.6)
    if not found:
        return ""
    listed = found[0] if len(found) == 1 else f"{', '.join(found[:-1])} or {found[-1]}"
    return f"; did you mean {listed}?"
