"""What the values of mask files mean, as it is said on the command line."""

from dataclasses import fields
from typing import Any

from visattn.basics.suggestions import nearest


def mask_values_of(given: dict[str, Any]) -> Any:
    """The `visattn.data.MaskValues` of ``--mask_values``.

    Raises:
        ValueError: An unknown name, or a value of another kind.
    """
    from visattn.data import MaskValues

    known = [field.name for field in fields(MaskValues)]
    for name, value in given.items():
        if name not in known:
            raise ValueError(
                f"--mask_values has no {name!r}{nearest(name, names=known)}; there are "
                f"{', '.join(known)}"
            )
        several = name not in ("threshold", "channel")
        if isinstance(value, list) != several:
            raise ValueError(
                f"--mask_values: {name} takes {'values, such as [1]' if several else 'one number'},"
                f" not {value}"
            )
    return MaskValues(**given)
