"""The variants, pixel by pixel; who lends; what logits mean."""

import numpy as np
import pytest
import torch
from coloured_squares import BACKGROUNDS, FIRST, LAST, OBJECTS, mask, picture

from visattn.auditing import variants
from visattn.auditing.classes import read_logits
from visattn.auditing.scenes import Lenders
from visattn.data import composite


@pytest.fixture
def scene():
    image = torch.from_numpy(picture(OBJECTS[0], BACKGROUNDS[0])).permute(2, 0, 1)[None] / 255
    return image, torch.from_numpy(mask())[None, None] / 255


INSIDE = (..., slice(FIRST, LAST), slice(FIRST, LAST))


def colour(values):
    return torch.tensor(values).view(3, 1, 1) / 255


def outside(picture):
    rest = torch.ones(picture.shape[-2:], dtype=torch.bool)
    rest[FIRST:LAST, FIRST:LAST] = False
    return picture[0][:, rest]


def test_parts_of_a_picture(scene):
    image, alpha = scene
    filled = variants.only_background_filled(image, alpha)
    torch.testing.assert_close(filled, colour(BACKGROUNDS[0]).expand_as(image))
    for part in (variants.only_background_boxed, variants.no_foreground):
        found = part(image, alpha)
        assert (found[INSIDE] == 0).all()
        assert torch.equal(outside(found), outside(image))


def test_the_box_is_black_and_the_shape_is_not_the_box():
    image = torch.ones(1, 3, 6, 6)
    diagonal = torch.eye(6)[None, None].clone()
    diagonal[..., 0, 0] = diagonal[..., 5, 5] = 0
    assert variants.only_background_boxed(image, diagonal)[0, 0].tolist() == [
        [1, 1, 1, 1, 1, 1],
        *[[1, 0, 0, 0, 0, 1]] * 4,
        [1, 1, 1, 1, 1, 1],
    ]
    assert torch.equal(variants.no_foreground(image, diagonal), image - diagonal)
    assert torch.equal(variants.boxes(diagonal * 0), diagonal * 0)


def test_cutouts_are_composites(scene):
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(3, 3, 16, 16, generator=generator)
    alpha = scene[1].repeat(3, 1, 1, 1)
    alpha[..., FIRST, FIRST:LAST] = 0.4
    behind = torch.rand(3, 3, 16, 16, generator=generator)
    cutouts = variants.cut_out(image, alpha)
    torch.testing.assert_close(cutouts.on(behind), composite(image, alpha, behind))
    one = cutouts.rows(torch.tensor([2])).on(behind[1])
    torch.testing.assert_close(one, composite(image[2:], alpha[2:], behind[1:2]))


def test_noise_stays_in_its_part_and_in_range(scene):
    image, alpha = scene
    rows = torch.tensor([5])
    noise = variants.row_noise(rows, like=image, deviation=0.5, seed=1)
    on_object = variants.noisy(image, alpha, noise=noise)
    on_rest = variants.noisy(image, 1 - alpha, noise=noise)
    assert torch.equal(outside(on_object), outside(image))
    assert torch.equal(on_rest[INSIDE], image[INSIDE])
    for found in (on_object, on_rest):
        assert not torch.equal(found, image)
        assert found.min() >= 0
        assert found.max() <= 1
    expected = (outside(image) + outside(noise)).clamp(0, 1)
    torch.testing.assert_close(outside(on_rest), expected)


def test_noise_follows_the_row_and_the_seed():
    like = torch.zeros(2, 3, 32, 32)
    first = variants.row_noise(torch.tensor([3, 4]), like=like, deviation=0.25, seed=0)
    again = variants.row_noise(torch.tensor([4]), like=like, deviation=0.25, seed=0)
    other = variants.row_noise(torch.tensor([4]), like=like, deviation=0.25, seed=1)
    assert torch.equal(first[1:], again)
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(again, other)
    assert first.std().item() == pytest.approx(0.25, rel=0.03)


def test_thresholds_of_masks():
    masks = torch.zeros(3, 1, 10, 10)
    masks[1, :, 0, 0] = 1
    masks[2] = 1
    assert variants.has_foreground(masks).tolist() == [False, True, True]
    assert variants.has_background(masks).tolist() == [True, True, False]
    masks[2, :, 0, :5] = 0  # 5 %, but the box goes around it
    assert variants.has_background(masks)[2]
    assert not variants.leaves_background(masks)[2]


def test_who_lends():
    lenders = Lenders({0: [0, 1, 2], 2: [3, 4], 5: [6]})
    drawn = {
        variant: [next(lenders.candidates(row, 2, variant=variant)) for row in range(3, 5)]
        for variant in ("mixed-same", "mixed-next")
    }
    assert drawn == {"mixed-same": [4, 3], "mixed-next": [6, 6]}
    assert set(lenders.candidates(6, 5, variant="mixed-next")) <= {0, 1, 2}  # the first again
    assert list(lenders.candidates(6, 5, variant="mixed-same")) == []  # alone in its class
    first = [next(lenders.candidates(row, 0, variant="mixed-rand")) for row in range(100, 1600)]
    counts = [sum(row in rows for row in first) for rows in lenders.rows.values()]
    assert min(counts) > 440  # 500 each: classes are equally likely, whatever their size
    assert first == [
        next(lenders.candidates(row, 0, variant="mixed-rand")) for row in range(100, 1600)
    ]


def test_fixed_backgrounds_are_spread_over_the_classes():
    lenders = Lenders({label: range(10 * label, 10 * label + 10) for label in range(4)})
    rows = lenders.spread(8)
    assert sorted(row // 10 for row in rows[:8]) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert len(set(rows)) == len(rows)


def options(**given):
    return {
        "folders": ["cat", "dog"],
        "known": None,
        "class_map": None,
        "flips_only": False,
        **given,
    }


def test_logits_by_order_by_name_and_by_map():
    logits = torch.eye(3) * 9
    by_name = read_logits(3, **options(known=["owl", "dog", "cat"]))
    assert by_name(logits)[0].tolist() == [2, 1, 0]
    assert [by_name.names[answer] for answer in (2, 1, 0)] == ["owl", "dog", "cat"]
    by_order = read_logits(2, **options())
    assert by_order(torch.eye(2))[0].tolist() == [0, 1]
    by_map = read_logits(3, **options(class_map={"cat": [0, 2], "dog": 1}))
    answers, shares = by_map(torch.tensor([[0.5, 0.2, 0.3], [0.3, 0.4, 0.3]]).log())
    assert answers.tolist() == [0, 1]
    torch.testing.assert_close(shares, torch.tensor([0.8, 0.4]))
    alone = read_logits(3, **options(flips_only=True))
    assert alone(logits)[0].tolist() == [0, 1, 2]


def test_answers_outside_of_the_map_are_wrong_and_differ():
    reading = read_logits(4, **options(class_map={"cat": 0, "dog": 1}))
    answers = reading(torch.eye(4) * 9)[0].tolist()
    assert answers == [0, 1, 4, 5]
    assert [reading.names[answer] for answer in answers] == ["cat", "dog", "class 2", "class 3"]


@pytest.mark.parametrize(
    ("logits", "given", "message"),
    [
        (1000, {}, "1000 logits, the data have 2 classes .cat, dog., .*--class-map"),
        (2, {"known": ["cat", "dgo"]}, "the data have dog besides; did you mean dgo"),
        (3, {"known": ["cat", "dog"]}, "3 logits, and names of 2"),
        (3, {"class_map": {"cat": 0, "dgo": 1}}, "'dgo', which is no class .*did you mean dog"),
        (3, {"class_map": {"cat": 0}}, "no logit for dog"),
        (3, {"class_map": {"cat": 0, "dog": 3}}, "'dog' the logit 3; there are 0 to 2"),
        (3, {"class_map": {"cat": [0, 1], "dog": 1}}, "logit 1 to 'cat' and to 'dog'"),
        (3, {"class_map": {"cat": [0, True], "dog": 2}}, "'cat' the logit True; there are 0 to 2"),
        (3, {"class_map": {"cat": 0, "dog": "12"}}, "'dog' the logit '12'; there are 0 to 2"),
        (3, {"class_map": {"cat": 0, "dog": 1.0}}, "'dog' the logit 1.0; there are 0 to 2"),
        (3, {"class_map": {}}, "no logit for cat, dog"),
        (3, {"class_map": {"0": 0, "3": 1}}, "has the logit '3'; there are 0 to 2"),
        (3, {"class_map": {"0": 0, "1": 2}}, "logit '1' the class 2; there are 0 to 1 .*-1 for"),
        (3, {"class_map": {"0": 0, "1": [1]}}, "logit '1' the class .1.; there are 0 to 1"),
        (3, {"class_map": {"0": 0, "1": -2}}, "logit '1' the class -2;"),
        (3, {"class_map": {"0": 0, "1": 1, "01": 0}}, "the logit 1 twice"),
        (3, {"class_map": {"0": 0, "1": -1}}, "no logit for dog"),
    ],
    ids=[
        *("number", "name", "names", "unknown", "lacking", "range", "twice"),
        *("truth", "word", "fraction", "empty", "logit", "class", "list", "below", "again", "none"),
    ],
)
def test_classes_that_do_not_match_are_refused(logits, given, message):
    with pytest.raises(ValueError, match=message):
        read_logits(logits, **options(**given))


def test_a_class_map_may_be_any_mapping_of_whole_numbers():
    given = {"cat": np.int64(0), "dog": np.array([2, 1])}
    assert read_logits(3, **options(class_map=given)).answers.tolist() == [0, 1, 1]
    by_logit = [{"0": 1, "1": 0, "2": -1}, {0: np.int64(1), 1: 0}]
    for given in by_logit:
        assert read_logits(3, **options(class_map=given)).answers.tolist() == [1, 0, 4]


def test_folders_that_are_called_by_numbers_keep_their_names():
    """Every key is a class folder: read from folder to logit, whatever else it may look like."""
    given = options(folders=["0", "1"], class_map={"0": 2, "1": [0, 1]})
    assert read_logits(3, **given).answers.tolist() == [1, 1, 0]
    given = options(folders=["0", "1"], class_map={"0": 1, "1": 1, "2": 0})
    assert read_logits(3, **given).answers.tolist() == [1, 1, 0]


@pytest.mark.parametrize("given", [[1, 2], "cat", 3], ids=["list", "word", "number"])
def test_a_class_map_that_is_no_mapping(given):
    with pytest.raises(
        TypeError, match=f"must map class folders to logits.*{type(given).__name__}"
    ):
        read_logits(3, **options(class_map=given))
