"""The scores of maps as tables and sentences of the terminal."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.table import Table

from visattn.basics.terminal_table import terminal_table
from visattn.evaluation.scores import MapScores
from visattn.metrics.statistic import Statistic

_WHERE = {
    "pointing": "pointing",
    "mass_inside": "mass inside",
    "iou": "IoU",
    "pxap": "PxAP",
    "max_box_acc": "MaxBoxAcc",
    "grid": "grid",
}
_WHY = {
    "deletion": "deletion ↓",
    "insertion": "insertion ↑",
    "flipping": "AOPC ↑",
    "drop": "drop ↓",
    "increase": "increase ↑",
    "road": "ROAD ↑",
}


def score_tables(
    draws: Sequence[Mapping[str, MapScores]], *, title: str, deletion: str, insertion: str
) -> tuple[Table, Table, Table]:
    """Localisation with its chance level, faithfulness, and the randomisation test.

    Of several draws, mean ± standard deviation. ``deletion`` and ``insertion`` say by which
    baselines the curves were taken.
    """
    names, chances = list(draws[0]), [next(iter(draw.values())).localisation for draw in draws]
    scores = {name: [draw[name] for draw in draws] for name in names}
    where = _table(
        f"{title}\nDoes the map lie on the object?",
        _WHERE.values(),
        {n: [_text(s.localisation[m].value for s in scores[n]) for m in _WHERE] for n in names},
    )
    where.add_section()
    where.add_row("chance", *(_text(found[m].chance for found in chances) for m in _WHERE))
    why = _table(
        "Does the prediction depend on what the map marks? (↓ low is good, ↑ high is good)",
        [*_WHY.values(), "ms"],
        {
            name: [
                *(_text(s.faithfulness[m].value for s in scores[name]) for m in _WHY),
                _text((1000 * s.seconds for s in scores[name]), digits=0),
            ]
            for name in names
        },
        caption=f"On {deletion} for deletion and AOPC (pixel flipping), {insertion} for insertion,"
        " zero for drop and increase. The random map is the chance level. ms: time an image.",
    )
    shares = draws[0][names[0]].randomisation
    randomised = _table(
        "Rank correlation with the map after a share of the layers was randomised, top first",
        [f"{share:.0%}" for share in shares],
        {
            name: [
                _text((s.randomisation[r].value for s in scores[name]), digits=2) for r in shares
            ]
            for name in names
        },
        caption="At 1 the map reads nothing of these layers; empty where it became flat.",
    )
    return where, why, randomised


def as_markdown(table: Table) -> str:
    """A table for a page of Markdown, its title above and its caption below.

    Of several lines of a title the last is the table's own; those before stand above it.
    """
    columns = [[str(column.header), *map(str, column.cells)] for column in table.columns]
    head, *rows = zip(*columns, strict=True)
    lines = [head, ("---", *("---:" for _ in head[1:])), *rows]
    *above, title = (" ".join(line.split()) for line in str(table.title).splitlines())
    before = "".join(f"{line}\n\n" for line in above)
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{before}**{title}**\n\n{body}\n" + (f"\n{table.caption}\n" if table.caption else "")


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
    rows: Mapping[str, Sequence[str]],
    *,
    caption: str | None = None,
) -> Table:
    table = terminal_table(title=title, words=["map"], numbers=list(headings), caption=caption)
    table.columns[0].no_wrap, table.columns[0].overflow = False, "fold"  # and no number is cut
    for name, texts in rows.items():
        table.add_row(name, *texts)
    return table


def _text(values: Iterable[float | None], *, digits: int = 3) -> str:
    """Values over the draws, without those that are undefined."""
    known = [value for value in values if value is not None and not math.isnan(value)]
    return Statistic.of(known).text(digits=digits) if known else ""
