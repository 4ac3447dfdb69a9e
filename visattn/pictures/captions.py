"""The words of a figure: a line for each image, and titles for groups of them."""

import math
from collections.abc import Mapping, Sequence


def captions_for(
    number: int,
    *,
    true: Sequence[str] | None = None,
    predicted: Sequence[str] | None = None,
    iou: Sequence[float] | None = None,
    captions: Sequence[str] | None = None,
) -> list[str]:
    """A line for each image from what is known of it (see `panels`), empty where that is nothing.

    Example:
        >>> captions_for(2, true=["buri", "ika"], predicted=["buri", "ebi"], iou=[0.914, 0.3])
        ['buri, predicted buri · IoU 0.91', 'ika, predicted ebi (wrong) · IoU 0.30']
    """
    given = {"true": true, "predicted": predicted, "iou": iou, "captions": captions}
    for name, values in given.items():
        if values is not None and (isinstance(values, str) or len(values) != number):
            found = "a single string" if isinstance(values, str) else f"{len(values)} values"
            raise ValueError(f"{name} must have one value an image, {number}, not {found}")
    lines = []
    for place in range(number):
        parts = []
        if true is not None and predicted is not None:
            wrong = "" if true[place] == predicted[place] else " (wrong)"
            parts.append(f"{true[place]}, predicted {predicted[place]}{wrong}")
        elif true is not None:
            parts.append(str(true[place]))
        elif predicted is not None:
            parts.append(f"predicted {predicted[place]}")
        if iou is not None:
            value = float(iou[place])
            parts.append("IoU undefined" if math.isnan(value) else f"IoU {value:.2f}")
        if captions is not None and captions[place]:
            parts.append(str(captions[place]))
        lines.append(" · ".join(parts))
    return lines


def sections_for(number: int, sections: Mapping[str, int] | None) -> dict[str, int]:
    """Titles and the number of images under each, where there is one; None is one without a title.

    Example:
        >>> sections_for(12, {"8 random (seed 0)": 8, "the 4 worst": 4})
        {'8 random (seed 0)': 8, 'the 4 worst': 4}
    """
    if sections is None:
        return {"": number}
    if any(rows < 0 for rows in sections.values()) or sum(sections.values()) != number:
        raise ValueError(
            f"the rows of the sections must add up to the {number} images, not "
            f"{sum(sections.values())}: {dict(sections)}"
        )
    return {title: rows for title, rows in sections.items() if rows}
