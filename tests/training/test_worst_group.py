"""The worst (class, background) group of a test."""

import io
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

from visattn.training.outcomes import SplitOutcome, split_outcome
from visattn.training.results import Results


def outcome(groups, *, backgrounds=True):
    """A split from (class, background): (right, wrong)."""
    label, prediction, behind = [], [], []
    for (number, background), (right, wrong) in groups.items():
        label += [number] * (right + wrong)
        prediction += [number] * right + [1 - number] * wrong
        behind += [background] * (right + wrong)
    nothing = torch.full((len(label),), math.nan)
    return SplitOutcome(
        label=torch.tensor(label),
        prediction=torch.tensor(prediction),
        mask_iou=nothing,
        mask_share=nothing,
        index=torch.arange(len(label)),
        backgrounds=tuple(behind) if backgrounds else (),
        class_names=("buri", "ika"),
    )


GROUPS = {
    (0, "slate"): (12, 0),
    (0, "wood"): (5, 5),
    (1, "slate"): (3, 17),
    (1, "wood"): (0, 9),  # too small
}


def test_the_worst_of_the_groups_that_are_large_enough():
    found = outcome(GROUPS).worst
    assert (found.label, found.background) == (1, "slate")
    assert found.accuracy.value == pytest.approx(3 / 20)
    assert (found.groups, found.left_out) == (3, 1)


@pytest.mark.parametrize(
    "split",
    [
        outcome(GROUPS, backgrounds=False),
        outcome({(0, "wood"): (9, 9), (1, "wood"): (9, 9)}),
        outcome({(0, "wood"): (4, 5), (1, "slate"): (9, 0)}),
    ],
    ids=["unknown", "one background", "all too small"],
)
def test_there_may_be_no_such_group(split):
    assert split.worst is None
    results = Results.of({"test_rand": split})
    assert "worst_group" not in results.as_dict()["splits"]["test_rand"]
    assert "worst group" not in [column.header for column in results.table(title="").columns]


def test_it_stands_in_the_table_and_among_the_plain_values():
    results = Results.of({"test_rand": outcome(GROUPS), "test_bare": outcome({(0, ""): (1, 1)})})
    found = results.as_dict()["splits"]["test_rand"]["worst_group"]
    assert found["value"] == pytest.approx(0.15)
    assert found["low"] < 0.15 < found["high"]
    assert {key: found[key] for key in ("class", "background", "images", "minimum")} == {
        "class": "ika",
        "background": "slate",
        "images": 20,
        "minimum": 10,
    }
    columns = {c.header: list(c.cells) for c in results.table(title="").columns}
    assert columns["worst group"] == ["15.0 % (3/4)", ""]


def test_the_table_is_whole_on_eighty_columns():
    image = {"mask_iou": torch.tensor([0.5]), "mask_share": torch.tensor([0.1])}
    one = {"label": torch.tensor([0]), "prediction": torch.tensor([0]), "index": torch.arange(1)}
    masked = SplitOutcome(**one, **image)
    splits = {
        "test_mixed_rand": outcome(GROUPS),
        "test_only_fg_grey": masked,
        "test_adversarial": replace(masked, foregrounds=("00000",)),
    }
    console = Console(width=80, file=io.StringIO())
    console.print(Results.of(splits).table(title="a/checkpoint.ckpt"))
    text = console.file.getvalue()
    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert rows[1] == "split images accuracy 95 % interval worst group mask IoU"
    assert rows[4] == "test_only_fg_grey 1 100.0 % 20.7 to 100.0 0.500"
    assert "…" not in text
    assert "An adversarial split counts foregrounds" in text


@pytest.mark.parametrize("known", [True, False], ids=["named", "one without a name"])
def test_backgrounds_come_from_the_data_set(known):
    styles = ["slate", "wood" if known else "", "slate"]
    items = [
        SimpleNamespace(path=SimpleNamespace(name=f"{n}.png"), metadata={"style": style})
        for n, style in enumerate(styles)
    ]
    dataset = SimpleNamespace(items=items, class_names=("buri", "ika"))
    rows = torch.tensor([2, 0, 1])
    values = {"index": rows, "label": rows % 2, "prediction": rows % 2}
    masks = {"mask_iou": torch.full((3,), math.nan), "mask_share": torch.ones(3)}
    split = split_outcome({**values, **masks}, split="test", dataset=dataset)
    assert split.backgrounds == (("slate", "slate", "wood") if known else ())
    assert split.class_names == ("buri", "ika")
    assert split.names == ("2.png", "0.png", "1.png")
