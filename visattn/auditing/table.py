"""The numbers of an audit as a table for the terminal."""

import math
from collections.abc import Iterable

from rich.table import Table

from visattn.auditing.opening import short_name
from visattn.auditing.results import Audit
from visattn.basics.terminal_table import terminal_table
from visattn.metrics import Difference, Proportion, WorstGroup

_ORDER = ("original", "mixed-same", "mixed-rand", "mixed-next", "mixed-new")


def audit_table(found: Audit) -> Table:
    """A row a number, with its images, its interval and its chance level."""
    settings = found.settings
    title = f"Does it read the background?\n{settings['name']} on {settings['data']}"
    if settings["split"]:
        title += f", {settings['split']}"
    if found.estimate:
        title += f"\nAN ESTIMATE: the masks are predicted by {short_name(settings['masks'])}"
    table = terminal_table(
        title=title,
        words=("", "pictures"),
        numbers=("images", "value", "95 % interval", "chance"),
        caption=f"\n{_caption(found)}",
    )
    if found.accuracies:
        table.add_row("accuracy")
    for variant in ordered(found.accuracies):
        row = (*_share(found.accuracies[variant]), _percent(found.chance[variant]))
        table.add_row(f"  {variant}", found.made[variant], *row)
    if found.adversarial is not None:
        row = (*_share(found.adversarial), _percent(found.chance["adversarial"]))
        made = found.made["adversarial"]
        table.add_row(f"  all {found.backgrounds} backgrounds", made, *row)
    for variant, worst in found.worst_groups.items():
        label, made = f"  worst group, {variant}", found.made[variant]
        table.add_row(label, made, *_share(worst.accuracy), "0.0 %")
    if found.accuracies:
        table.add_section()
    if found.gap is not None:
        table.add_row("BG-gap, points", "", *_difference(found.gap), "0.0")
    if found.noise_accuracies:
        images = str(next(iter(found.noise_accuracies.values())).images)
        value, interval = "undefined", ""
        if not math.isnan(found.sensitivity):
            low, high = found.sensitivity_interval
            value, interval = f"{found.sensitivity:+.3f}", f"{low:+.3f} to {high:+.3f}"
        table.add_row("RFS, -1 to 1", "", images, value, interval, "0.000")
    if found.gap is not None or found.noise_accuracies:
        table.add_section()
    table.add_row("answers that flip", "ESTIMATES" if found.estimate else "")
    for (first, second), share in found.flips.items():
        made, chance = found.made[second], _percent(found.chance["flips"])
        table.add_row(f"  {first}, {second}", made, *_share(share), chance)
    return table


def ordered(variants: Iterable[str]) -> list[str]:
    """Variants in the order of the papers.

    Example:
        >>> ordered(["only-fg", "mixed-rand", "original"])
        ['original', 'mixed-rand', 'only-fg']
    """
    given = list(variants)
    return [name for name in _ORDER if name in given] + [n for n in given if n not in _ORDER]


def _caption(found: Audit) -> str:
    lines = []
    if found.accuracies:
        lines.append("Chance: one and the same answer to every picture, the commonest class.")
    lines.append("Chance of flips: answers drawn anew each time, as often as the model gave them.")
    lines.extend(_group(found, name, worst) for name, worst in found.worst_groups.items())
    if found.noise_accuracies:
        shares = [
            f"{_percent(share.value)} on the {part}"
            for part, share in found.noise_accuracies.items()
        ]
        noise = f"{found.settings['noise']:g}"
        lines.append(f"Accuracy under noise of {noise}: {', '.join(shares)}.")
    if not math.isnan(found.mask_iou):
        lines.append(f"IoU of the predicted masks with those given: {found.mask_iou:.3f}.")
    lines.extend(f"{count} {why}." for why, count in found.left_out.items() if count)
    lines.extend(found.settings.get("notes", ()))
    return "\n".join(lines)


def _group(found: Audit, variant: str, worst: WorstGroup) -> str:
    small = f"{worst.left_out} have fewer than 10 images" if worst.left_out else ""
    if worst.label is None:
        return f"Worst group of {variant}: undefined, all {small}."
    name = f"{found.classes[worst.label]} on {worst.background}, of {worst.groups}"
    return f"Worst group of {variant}: {name}{f'; {small}' if small else ''}."


def _share(share: Proportion) -> tuple[str, str, str]:
    if not share.images:
        return "0", "undefined", ""
    interval = f"{100 * share.low:.1f} to {100 * share.high:.1f}"
    return str(share.images), _percent(share.value), interval


def _difference(gap: Difference) -> tuple[str, str, str]:
    if not gap.images:
        return "0", "undefined", ""
    interval = f"{100 * gap.low:+.1f} to {100 * gap.high:+.1f}"
    return str(gap.images), f"{100 * gap.value:+.1f}", interval


def _percent(share: float) -> str:
    return "" if math.isnan(share) else f"{100 * share:.1f} %"
