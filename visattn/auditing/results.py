"""What an audit found, its table and its files."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.table import Table

from visattn.auditing import variants as v
from visattn.auditing.flips import FlipCase, draw_flips
from visattn.auditing.opening import short_name
from visattn.basics.files import whole_file, write_whole
from visattn.basics.terminal_table import terminal_table
from visattn.metrics import Difference, Proportion, WorstGroup
from visattn.pictures import save

_COST = 0.01


@dataclass(frozen=True)
class Audit:
    """The numbers of one classifier on one set of pictures.

    Shares have 95 % intervals: Wilson's, and Newcombe's for the gap; RFS has the percentiles of a
    bootstrap over the pictures.

    Attributes:
        settings: What was audited and how.
        classes: Names of the folder's classes.
        estimate: Whether the masks are a model's; then nothing here is more than an estimate.
        made: How each variant came about: ``"given"`` (the original, and the variants of a public
            set), ``"rendered"`` (a split of the folder) or ``"composed"``.
        accuracies: By variant; empty without classes.
        gap: BG-gap, mixed-same minus mixed-rand.
        cost: What cutting and filling cost by themselves, original minus put-back.
        adversarial: Share of foregrounds recognised on each one of a set of backgrounds.
        backgrounds: How many backgrounds that set has.
        worst_groups: The worst (class, background) group by variant.
        noise_accuracies: Under noise on ``"foreground"`` and on ``"background"``.
        sensitivity: RFS, NaN where undefined.
        sensitivity_interval: Its ends; see `visattn.metrics.bootstrap_sensitivity`.
        flips: Share of changed answers, by pair of variants.
        chance: What an answer that never changes gets, by variant, and ``"flips"``: what answers
            drawn anew for each background from the model's own get.
        left_out: Why and how many pictures are not in the numbers, or in some of them.
        mask_iou: IoU of a model's masks with given ones, its mean; NaN where there is none.
        cases: Pictures of random objects and of the worst flips.
    """

    settings: Mapping[str, Any]
    classes: Sequence[str]
    estimate: bool
    made: Mapping[str, str]
    accuracies: Mapping[str, Proportion]
    gap: Difference | None
    adversarial: Proportion | None
    backgrounds: int
    worst_groups: Mapping[str, WorstGroup]
    noise_accuracies: Mapping[str, Proportion]
    sensitivity: float
    flips: Mapping[tuple[str, str], Proportion]
    chance: Mapping[str, float]
    left_out: Mapping[str, int]
    sensitivity_interval: tuple[float, float] = (math.nan, math.nan)
    mask_iou: float = math.nan
    cost: Difference | None = None
    cases: Sequence[FlipCase] = ()

    @property
    def flip_rate(self) -> Proportion:
        """Share of pictures whose answer changes with a random other background."""
        return self.flips["original", "mixed-rand"]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; undefined ones are None."""
        return _plain(
            {
                "settings": dict(self.settings),
                "estimate": self.estimate,
                "classes": list(self.classes),
                "made": dict(self.made),
                "accuracies": {name: asdict(share) for name, share in self.accuracies.items()},
                "background_gap": self.gap and asdict(self.gap),
                "composite_cost": self.cost and asdict(self.cost),
                "adversarial": self.adversarial
                and {**asdict(self.adversarial), "backgrounds": self.backgrounds},
                "worst_groups": {name: self._group(w) for name, w in self.worst_groups.items()},
                "relative_foreground_sensitivity": {
                    "value": self.sensitivity,
                    "low": self.sensitivity_interval[0],
                    "high": self.sensitivity_interval[1],
                    **{f"noise_on_{k}": asdict(v) for k, v in self.noise_accuracies.items()},
                },
                "flip_rate": asdict(self.flip_rate),
                "flips": {f"{a} to {b}": asdict(share) for (a, b), share in self.flips.items()},
                "chance": dict(self.chance),
                "left_out": dict(self.left_out),
                "mask_iou": self.mask_iou,
                "cases": [
                    {name: value for name, value in vars(case).items() if name != "images"}
                    for case in self.cases
                ],
            }
        )

    def table(self) -> Table:
        """All numbers, a row each, with images, interval and chance level."""
        return _table(self)

    def figure(self, *, columns: int = 3, width: float = 7.5) -> Figure:
        """A Matplotlib figure of the cases; see `visattn.auditing.draw_flips`."""
        return draw_flips(self, columns=columns, width=width)

    def save(self, folder: str | Path) -> list[Path]:
        """Write ``audit.json`` and, where there are cases, ``flips.png``.

        Args:
            folder: Made if it is not there.

        Returns:
            The files.
        """
        text = json.dumps(self.as_dict(), indent=2) + "\n"
        written = [write_whole(Path(folder, "audit.json"), text)]
        if self.cases:
            written.append(Path(folder, "flips.png"))
            with whole_file(written[1]) as part:
                save(self.figure(), part)
        return written

    def _group(self, worst: WorstGroup) -> dict[str, Any]:
        found = asdict(worst)
        found["class"] = None if worst.label is None else self.classes[worst.label]
        return found


def _plain(value: Any) -> Any:
    """NaN to None and tuples to lists, at any depth."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _table(found: Audit) -> Table:
    settings = found.settings
    data = Path(settings["data"]).absolute().name
    title = f"Does it read the background?\n{settings['name']} on {data}"
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
    order = [v.ORIGINAL, *v.MIXED, *found.accuracies]
    for variant in sorted(found.accuracies, key=order.index):
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
        table.add_row("BG-gap, points", "", *_share(found.gap), "0.0")
    if found.cost is not None:
        table.add_row("cost of cutting, points", "", *_share(found.cost), "0.0")
    if found.noise_accuracies:
        images = str(next(iter(found.noise_accuracies.values())).images)
        value, interval = "undefined", ""
        if not math.isnan(found.sensitivity):
            low, high = found.sensitivity_interval
            value, interval = f"{found.sensitivity:+.3f}", f"{low:+.2f} to {high:+.2f}"
        table.add_row("RFS, -1 to 1", "", images, value, interval, "0.000")
    if found.gap is not None or found.noise_accuracies:
        table.add_section()
    table.add_row("answers that flip", "ESTIMATES" if found.estimate else "")
    for (first, second), share in found.flips.items():
        made, chance = found.made[second], _percent(found.chance["flips"])
        table.add_row(f"  {first}, {second}", made, *_share(share), chance)
    return table


def _caption(found: Audit) -> str:
    lines = []
    if found.accuracies:
        lines.append("Chance: one and the same answer to every picture, the commonest class.")
    if (v.ORIGINAL, v.PUT_BACK) in found.flips:
        lines.append("put-back: the object laid on its own background, filled as the others' are.")
    if found.cost is not None and found.cost.value > _COST:
        lines.append(
            "Cutting alone costs points here, and the others' loss holds them too: --backgrounds "
            "FOLDER, pictures without objects, leaves nothing to be filled."
        )
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


def _share(found: Proportion | Difference) -> tuple[str, str, str]:
    """The number of images, a share in percent or a difference in points, and its interval."""
    if not found.images:
        return "0", "undefined", ""
    sign, unit = ("", " %") if isinstance(found, Proportion) else ("+", "")
    value, low, high = (f"{100 * end:{sign}.1f}" for end in (found.value, found.low, found.high))
    return str(found.images), f"{value}{unit}", f"{low} to {high}"


def _percent(share: float) -> str:
    return "" if math.isnan(share) else f"{100 * share:.1f} %"
