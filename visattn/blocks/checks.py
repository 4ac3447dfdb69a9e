"""Checks of the numbers that blocks are made with."""


def check_numbers(block: str, **numbers: int) -> None:
    """Raise a ValueError, with the block and the name, for the first number below 1.

    Example:
        >>> check_numbers("SelectiveKernel", channels=8, groups=0)
        Traceback (most recent call last):
        ...
        ValueError: SelectiveKernel: groups must be at least 1, got 0.
    """
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{block}: {name} must be at least 1, got {number}.")


def head_count(block: str, heads: int | None, *, channels: int) -> int:
    """The heads asked for if they divide the channels, or the largest number up to 4 that does.

    Raises:
        ValueError: They don't; the nearest numbers that do are named.

    Example:
        >>> head_count("MultiHeadSelfAttention", None, channels=9)
        3
    """
    if heads is None:
        return next(count for count in (4, 3, 2, 1) if channels % count == 0)
    if heads < 1 or channels % heads:
        near = [count for count in range(1, channels + 1) if channels % count == 0]
        near = sorted(near, key=lambda count: abs(count - heads))[:4]
        raise ValueError(
            f"{block}: {channels} channels can't be shared out among heads={heads}."
            f" Give one of {', '.join(map(str, sorted(near)))}, or leave heads out."
        )
    return heads
