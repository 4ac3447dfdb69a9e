"""Checks of kernels, groups and heads."""


def check_odd(kernel_size: int) -> None:
    """Raise a ValueError unless a kernel has a middle."""
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size must be odd and at least 1, got {kernel_size}.")


def check_groups(block: str, groups: int, *, taken: int, given: int) -> None:
    """Raise a ValueError unless the groups of a convolution divide what it takes and gives."""
    if taken % groups or given % groups:
        raise ValueError(
            f"{block}: groups={groups} must divide the {taken} channels that a convolution takes"
            f" and the {given} that it gives."
        )


def head_count(block: str, heads: int | None, *, channels: int) -> int:
    """The heads asked for if they divide the channels, or the largest number up to 4 that does.

    Example:
        >>> head_count("MultiHeadSelfAttention", None, channels=9)
        3
    """
    if heads is None:
        return next(count for count in (4, 3, 2, 1) if channels % count == 0)
    if heads < 1 or channels % heads:
        fitting = [count for count in range(1, channels + 1) if channels % count == 0]
        near = sorted(fitting, key=lambda count: abs(count - heads))[:4]
        raise ValueError(
            f"{block}: {channels} channels can't be shared out among heads={heads}."
            f" Give one of {', '.join(map(str, sorted(near)))}, or leave heads out."
        )
    return heads
