"""Einstein sums of two factors that are products of matrices."""

from collections.abc import Sequence
from typing import Any, NamedTuple


class EinsteinSum(NamedTuple):
    """A product of matrices (..., T, D) and (..., D, S), by the axes of its factors and its output.

    Attributes:
        orders: The axes of each factor in that order.
        result: The output's axes in the order (..., T, S).
        back: The axes (..., T, S) in the output's order.
    """

    orders: tuple[list[int], list[int]]
    result: tuple[int, ...]
    back: list[int]


def einstein_sum(equation: Any, factors: Sequence[Any]) -> EinsteinSum | None:
    """What an equation of two factors says; None if it is no product of matrices.

    Example:
        >>> einstein_sum("bihd,bjhd->bhij", (0, 0))
        EinsteinSum(orders=([0, 2, 1, 3], [0, 2, 3, 1]), result=(0, 1, 2, 3), back=[0, 1, 2, 3])
        >>> einstein_sum("bhij,hg->bgij", (0, 0)) is None
        True
    """
    if len(factors) != 2 or not isinstance(equation, str):
        return None
    left, _, order = equation.replace(" ", "").partition("->")
    first, second = left.split(",")
    if "." in left or any(len({*term}) != len(term) for term in (first, second)):
        return None
    lead = "".join(x for x in first if x in second and x in order)
    own = "".join(x for x in first if x not in second)
    other = "".join(x for x in second if x not in first)
    inner = "".join(x for x in first if x in second and x not in order)
    sides = lead + own + other
    if (len(own), len(other), len(inner)) != (1, 1, 1) or {*order} != {*sides}:
        return None
    orders = [*map(first.index, lead + own + inner)], [*map(second.index, lead + inner + other)]
    return EinsteinSum(orders, tuple(map(order.index, sides)), [*map(sides.index, order)])
