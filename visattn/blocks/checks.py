"""Checks of the numbers and names that blocks are made with."""


def check_numbers(block: str = "", **numbers: int) -> None:
    """Raise a ValueError, with the block and the name, for the first number below 1.

    Example:
        >>> check_numbers("SelectiveKernel", channels=8, groups=0)
        Traceback (most recent call last):
        ...
        ValueError: SelectiveKernel: groups must be at least 1, got 0.
    """
    for name, number in numbers.items():
        if number < 1:
            begin = f"{block}: {name}" if block else name
            raise ValueError(f"{begin} must be at least 1, got {number}.")


def check_odd(kernel_size: int) -> None:
    """Raise a ValueError unless a kernel has a middle."""
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size must be odd and at least 1, got {kernel_size}.")


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise a ValueError unless ``value`` is one of the choices.

    Example:
        >>> check_choice("combine", "mean", ("sum", "max"))
        Traceback (most recent call last):
        ...
        ValueError: combine must be 'sum' or 'max', got 'mean'.
    """
    if value not in choices:
        known = " or ".join(map(repr, choices)) if len(choices) == 2 else f"one of {choices}"
        raise ValueError(f"{name} must be {known}, got {value!r}.")


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
