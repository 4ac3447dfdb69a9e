"""Checks of the numbers and names that something is made with."""


def check_numbers(owner: str = "", *, least: int = 1, **numbers: int | None) -> None:
    """Raise a ValueError, with its name and the owner's, for the first number below ``least``.

    None stands for a number that was left out, and passes.

    Example:
        >>> check_numbers("SelectiveKernel", channels=8, in_channels=None, groups=0)
        Traceback (most recent call last):
        ...
        ValueError: SelectiveKernel: groups must be at least 1, got 0.
    """
    for name, number in numbers.items():
        if number is not None and number < least:
            begin = f"{owner}: {name}" if owner else name
            raise ValueError(f"{begin} must be at least {least}, got {number}.")


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
