"""Near misses: what a mistyped name may have meant."""

import difflib
from collections.abc import Iterable


def nearest(
    name: object,
    *,
    names: Iterable[str],
    count: int = 3,
    cutoff: float = 0.6,
    quoted: bool = False,
) -> str:
    """A clause that names the nearest of ``names``, empty if none is near.

    Example:
        >>> nearest("resnt18", names=["resnet18", "vgg11"])
        '; did you mean resnet18?'
        >>> nearest("x", names=["resnet18"])
        ''
    """
    found = difflib.get_close_matches(str(name), list(names), n=count, cutoff=cutoff)
    if not found:
        return ""
    found = [repr(name) for name in found] if quoted else found
    listed = found[0] if len(found) == 1 else f"{', '.join(found[:-1])} or {found[-1]}"
    return f"; did you mean {listed}?"


def did_you_mean(name: object, *, names: Iterable[str], count: int = 3, cutoff: float = 0.5) -> str:
    """The same as a sentence, with a space before it and the names in quotes.

    Example:
        >>> did_you_mean("cban", names=["cbam", "se"])
        " Did you mean 'cbam'?"
        >>> did_you_mean("x", names=["cbam"])
        ''
    """
    found = difflib.get_close_matches(str(name), list(names), n=count, cutoff=cutoff)
    return f" Did you mean {' or '.join(map(repr, found))}?" if found else ""


def check_name(option: str, given: object, *, names: Iterable[str]) -> None:
    """Refuse a value that an option doesn't have.

    Raises:
        ValueError: ``given`` is none of ``names``; the message has them, and the nearest one.

    Example:
        >>> check_name("cell", "LSTM", names=("lstm", "gru"))
        Traceback (most recent call last):
        ...
        ValueError: cell must be one of lstm, gru, got 'LSTM'; did you mean 'lstm'?
    """
    known = list(names)
    if given not in known:
        near = nearest(str(given).lower(), names=known, count=1, quoted=True)
        raise ValueError(f"{option} must be one of {', '.join(known)}, got {given!r}{near}")
