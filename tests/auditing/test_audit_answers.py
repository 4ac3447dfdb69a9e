"""Logits that are no answers, and answers on many rendered backgrounds."""

import math

import pytest
import torch

import visattn
from visattn.data.generated.sushi import rendering

QUICK = {"size": 16, "adversarial": 0, "noise": 0, "cases": 0, "progress": False}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf], ids=["nan", "inf", "minus"])
def test_logits_that_are_no_numbers_are_no_answers(toy, reads_object, value):
    def model(images):
        logits = reads_object(images)
        logits[logits.argmax(1) == 1, 0] = value
        return logits

    # What fills the box of a class's pictures has the colour of the next class's object.
    message = r"NaN or infinite ones for 40 of 40 only-bg-t pictures of batch 1 .*class map"
    with pytest.raises(ValueError, match=message):
        visattn.audit(model, toy, **QUICK, batch_size=40)
    with pytest.raises(ValueError, match="NaN or infinite ones for 2 of 2 pictures"):
        visattn.audit(lambda images: images[:, :, 0, 0] * value, toy, **QUICK)


def test_scenes_of_sushi_are_rendered_on_many_backgrounds_when_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("VISATTN_CACHE", str(tmp_path))
    monkeypatch.setattr(rendering, "core_count", lambda: 1)

    def model(images):
        """Takes everything for buri, the first class."""
        return torch.eye(8)[:1].expand(len(images), 8)

    options = {"size": 32, "noise": 0, "cases": 0, "progress": False, "limit": 2}
    found = visattn.audit(model, "sushi", **options, adversarial=64)
    assert (found.made["adversarial"], found.backgrounds) == ("rendered", 64)
    assert (found.adversarial.count, found.adversarial.images) == (1, 2)  # a buri and a maguro
    few = visattn.audit(model, "sushi", **options, adversarial=1)
    assert (few.made["adversarial"], few.backgrounds) == ("composed", 1)
    assert len(list((tmp_path / "sushi").iterdir())) == 2  # the scenes without them are as ever


@pytest.mark.parametrize("flat", [True, False])
def test_one_logit_answers_no_or_yes(toy, flat):
    def pair(images):
        """Red less green: the second class where it is above 0."""
        logit = (images[:, 0] - images[:, 1]).mean((1, 2))[:, None]
        return torch.cat([0 * logit, logit], 1)

    def single(images):
        logit = pair(images)[:, 1:]
        return logit[:, 0] if flat else logit

    expected, found = (
        visattn.audit(model, toy, flips_only=True, **QUICK) for model in (pair, single)
    )
    assert 0 < expected.flips["original", "mixed-rand"].value < 1
    assert found.flips == expected.flips
