"""The parser of the command line: no abbreviations, and a whole number stays one."""

from functools import reduce
from operator import or_
from types import UnionType
from typing import Any, Union, final, get_args, get_origin

from lightning.pytorch.cli import LightningArgumentParser


@final
class RunParser(LightningArgumentParser):
    """Lightning's parser, which takes an option by its whole name alone, and 1 for one batch.

    Lightning says ``int | float`` of ``limit_train_batches``, where 1 is a batch and 1.0 all of
    them. Python remembers one order of such a union a process, that of whoever wrote it first; some
    libraries write ``float | int``, and 1 would then be read as 1.0.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **options})

    def add_class_arguments(self, *args: Any, **options: Any) -> list[str]:
        """As its base; types that take whole numbers and others try the whole ones first."""
        added: list[str] = super().add_class_arguments(*args, **options)
        actions: list[Any] = self._actions
        for action in actions:
            hint = getattr(action, "_typehint", None)
            if hint is not None:
                action._typehint = integers_first(hint)
        return added


def integers_first(hint: Any) -> Any:
    """The same type, in which ``int`` stands before ``float`` where it has both.

    Example:
        >>> integers_first(float | int | None)
        int | float | None
        >>> integers_first(list[float])
        list[float]
    """
    if get_origin(hint) not in (Union, UnionType):
        return hint
    kinds = get_args(hint)
    if not {int, float} <= set(kinds) or kinds.index(int) < kinds.index(float):
        return hint
    swapped = {int: float, float: int}
    return reduce(or_, [swapped.get(kind, kind) for kind in kinds])
