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
