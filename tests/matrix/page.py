"""The page about the matrix: one row a family."""

from collections import Counter
from collections.abc import Iterable, Sequence

from matrix.architectures import VERSIONS
from matrix.survey import Surveyed, examples
from matrix.verification import Verified
from visattn.wrapping.placement import PLACES

MADE = "Made by `make matrix` with torch {torch}, timm {timm}, torchvision {torchvision}."
MADE = MADE.format(**VERSIONS)
"""How pages of the matrix begin."""


def table_row(cells: Iterable[str]) -> str:
    """A row of a table in Markdown."""
    return "| " + " | ".join(cells) + " |"


def table_head(*words: str) -> list[str]:
    """The lines above the rows of a table."""
    return [table_row(words), "|" + " --- |" * len(words)]


def table(surveyed: Sequence[Surveyed], verified: Sequence[Verified]) -> list[str]:
    """The lines of the table, one a family."""
    lines = []
    checks = {entry.architecture: entry for entry in verified}
    for family in dict.fromkeys(entry.architecture.family for entry in surveyed):
        inside = [entry for entry in surveyed if entry.architecture.family == family]
        chosen = [entry for entry in examples(inside) if entry.architecture in checks]
        taking = [entry for entry in inside if entry.own]
        places = [place for place in PLACES if any(place in entry.sites for entry in inside)]
        stages = sorted({entry.stages for entry in taking})
        sites = [
            f"{entry.architecture.name}: "
            + ", ".join(f"{place} {count}" for place, count in entry.sites.items())
            for entry in chosen
        ]
        held = [
            checks[entry.architecture].fault or ", ".join(checks[entry.architecture].places)
            for entry in chosen
        ]
        cells = (
            family,
            str(len(inside)),
            str(sum(entry.convolutional for entry in inside)),
            str(len(taking)),
            ", ".join(places),
            ", ".join(map(str, stages)),
            "<br>".join(sites),
            "<br>".join(held),
        )
        lines.append(table_row(cells))
    return lines


def document(surveyed: Sequence[Surveyed], verified: Sequence[Verified]) -> str:
    """The whole page."""
    shares = []
    for library in ("timm", "torchvision"):
        own = [
            entry
            for entry in surveyed
            if entry.architecture.family.startswith("torchvision.") == (library == "torchvision")
        ]
        convolutional = [entry for entry in own if entry.convolutional]
        taking = sum(entry.own is not None for entry in convolutional)
        if own:
            shares.append(
                f"- {library}: {len(own)} architectures, {len(convolutional)} with stages of"
                f" convolutions (maps of two or more resolutions); {taking} of these take"
                f" attention ({100 * taking / max(1, len(convolutional)):.1f} %)."
            )
    sound = sum(not entry.fault for entry in verified)
    lines = [
        "# Which architectures take attention",
        "",
        f"{MADE} Every architecture is traced and planned; of each"
        " family the smallest of every structure is wrapped with several blocks at each place that"
        " it has, with live normalisations, in evaluation and training mode, and must give the"
        f" plain model's outputs bit for bit: {sound} of {len(verified)} do.",
        "",
        *shares,
        "",
        *table_head(
            *("family", "architectures", "with stages", "take attention", "places", "stages"),
            *("sites", "equal bit for bit at"),
        ),
        *table(surveyed, verified),
        "",
        "## Those that take none at their blocks or stages",
        "",
        *_reasons(surveyed),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _reasons(surveyed: Sequence[Surveyed]) -> list[str]:
    """Why architectures take no attention, one line a family and reason."""
    counts = Counter(
        (entry.architecture.family, entry.reason.partition(". ")[0])
        for entry in surveyed
        if entry.own is None
    )
    return [f"- {family} ({count}): {why}." for (family, why), count in sorted(counts.items())]
