"""What an audit found."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from visattn.metrics import Difference, Proportion, WorstGroup


@dataclass(frozen=True)
class FlipCase:
    """One object on two backgrounds.

    Attributes:
        name: File of the original.
        true: Its class; empty where that is unknown.
        images: The original and the picture with the other background (H, W, 3), bytes.
        answers: The two answers.
        probabilities: The probability of each.
        kind: ``"random"`` or ``"worst"``.
    """

    name: str
    true: str
    images: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]] = field(repr=False)
    answers: tuple[str, str]
    probabilities: tuple[float, float]
    kind: str

    @property
    def flipped(self) -> bool:
        """Whether the answers differ."""
        return self.answers[0] != self.answers[1]


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
                    {
                        "name": case.name,
                        "true": case.true,
                        "answers": list(case.answers),
                        "probabilities": list(case.probabilities),
                        "kind": case.kind,
                    }
                    for case in self.cases
                ],
            }
        )

    def table(self) -> Any:
        """A `rich.table.Table` of all numbers; see `visattn.auditing.table.audit_table`."""
        from visattn.auditing.table import audit_table

        return audit_table(self)

    def figure(self, *, columns: int = 3, width: float = 7.5) -> Any:
        """A Matplotlib figure of the cases; see `visattn.auditing.draw_flips`."""
        from visattn.auditing.flips import draw_flips

        return draw_flips(self, columns=columns, width=width)

    def save(self, folder: str | Path) -> list[Path]:
        """Write ``audit.json`` and, where there are cases, ``flips.png``.

        Args:
            folder: Made if it is not there.

        Returns:
            The files.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        written = [folder / "audit.json"]
        written[0].write_text(json.dumps(self.as_dict(), indent=2) + "\n", encoding="utf-8")
        if self.cases:
            from visattn.pictures import save

            written.append(save(self.figure(), folder / "flips.png"))
        return written

    def _group(self, worst: WorstGroup) -> dict[str, Any]:
        found = asdict(worst)
        found["class"] = None if worst.label is None else self.classes[worst.label]
        return found


def _plain(value: Any) -> Any:
    """NaN to None, at any depth."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value
