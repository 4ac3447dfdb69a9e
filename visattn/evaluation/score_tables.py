"""The scores of maps as tables and sentences of the terminal."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.table import Table

from visattn.basics.terminal_table import terminal_table
from visattn.evaluation.scores import MapScores

_WHERE = {
    "pointing": "pointing",
    "mass_inside": "mass inside",
    "iou": "IoU",
    "pxap": "PxAP",
    "max_box_acc": "MaxBoxAcc",
}
_WHY = {
    "deletion": "deletion ↓",
    "insertion": "insertion ↑",
    "drop": "drop ↓",
    "increase": "increase ↑",
    "road": "ROAD ↑",
}


def score_tables(
    found: Mapping[str, MapScores], *, title: str, deletion: str, insertion: str
) -> tuple[Table, Table, Table]:
    """Localisation with its chance level, faithfulness, and the randomisation test.

    ``deletion`` and ``insertion`` say by which baselines the curves were taken.
    """
    first = next(iter(found.values()))
    where = _table(
        f"{title}\nDoes the map lie on the object?",
        _WHERE.values(),
        {name: [s.localisation[m].value for m in _WHERE] for name, s in found.items()},
    )
    where.add_section()
    where.add_row("chance", *_texts(first.localisation[metric].chance for metric in _WHERE))
    why = _table(
        "Does the prediction depend on what the map marks? (↓ low is good, ↑ high is good)",
        _WHY.values(),
        {name: [s.faithfulness[m].value for m in _WHY] for name, s in found.items()},
        caption=f"On {deletion} for deletion, {insertion} for insertion, zero for drop and"
        " increase. The random map is the chance level.",
    )
    randomised = _table(
        "Rank correlation with the map after a share of the layers was randomised, top first",
        [f"{share:.0%}" for share in first.randomisation],
        {name: [score.value for score in s.randomisation.values()] for name, s in found.items()},
        digits=2,
        caption="At 1 the map reads nothing of these layers; empty where it became flat.",
    )
    return where, why, randomised


def left_out(found: Mapping[str, MapScores]) -> Iterator[str]:
    """A sentence for each map and metric with undefined values."""
    for name, scores in found.items():
        for metric, score in {**scores.localisation, **scores.faithfulness}.items():
            if score.left_out:
                heading = {**_WHERE, **_WHY}[metric].rstrip(" ↓↑")
                yield (
                    f"{name}: {heading} is undefined for {score.left_out} of "
                    f"{score.images + score.left_out} images, which are left out"
                )


def _table(
    title: str,
    headings: Iterable[str],
    rows: Mapping[str, Sequence[float]],
    *,
    digits: int = 3,
    caption: str | None = None,
) -> Table:
    table = terminal_table(title=title, words=["map"], numbers=list(headings), caption=caption)
    for name, values in rows.items():
        table.add_row(name, *_texts(values, digits=digits))
    return table


def _texts(values: Iterable[float | None], *, digits: int = 3) -> list[str]:
    return ["" if v is None or math.isnan(v) else f"{v:.{digits}f}" for v in values]
