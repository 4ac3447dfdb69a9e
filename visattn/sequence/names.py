"""Names of options, checked."""

from collections.abc import Iterable

from visattn.basics.suggestions import nearest


def check_name(option: str, given: object, *, names: Iterable[str]) -> None:
    """Refuse a name that an option doesn't have.

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
