"""Strips and frames of words, frames of a training, GIFs, and the choice of cases."""

from pathlib import Path

import numpy as np
import pytest
import torch
from drawn import assert_nothing_is_clipped, shown, texts
from PIL import Image, ImageSequence
from quick import slow_but

from visattn.pictures import (
    channel_bars,
    choose_cases,
    chosen,
    frames,
    overlay,
    panels,
    save,
    training_frames,
    word_frames,
    word_strip,
)

RNG = np.random.default_rng(0)
IMAGE = RNG.random((20, 20, 3), dtype=np.float32)
WORDS = ["two", "pieces", "of", "yellowtail", "on", "a", "plate_of_slate_that_is_far_too_long"]
MAPS = RNG.random((9, 1, 5, 5)) / 25


def test_word_strip_shows_the_image_and_each_words_map() -> None:
    figure = word_strip(torch.from_numpy(IMAGE).permute(2, 0, 1), WORDS, MAPS, title="a caption")
    pictures = shown(figure)
    assert len(pictures) == 8
    np.testing.assert_array_equal(pictures[0], np.round(IMAGE * 255))
    used = MAPS[:7]
    for picture, values in zip(pictures[1:], used, strict=True):
        expected = overlay(IMAGE, values, alpha=0.6, normalise=(used.min(), used.max()))
        np.testing.assert_array_equal(picture, expected)
    found = texts(figure)
    assert {"a caption", "image", *WORDS[:6], "all maps over one range"} <= set(found)
    assert_nothing_is_clipped(figure)


@pytest.mark.parametrize("columns", slow_but([1, 3, 20], [1, 3]))
@pytest.mark.parametrize("normalise", ["image", "none", (0.0, 0.1)])
def test_word_strips_clip_nothing(columns: int, normalise) -> None:
    figure = word_strip(IMAGE, WORDS, MAPS, columns=columns, normalise=normalise)
    assert_nothing_is_clipped(figure)
    if normalise == "image":
        assert f"{MAPS[2].min():.3g} to {MAPS[2].max():.3g}" in texts(figure)
        expected = overlay(IMAGE, MAPS[2], alpha=0.6)
        np.testing.assert_array_equal(shown(figure)[3], expected)


@pytest.mark.parametrize("draw", [word_strip, word_frames])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"words": []}, "at least one word, not none"),
        ({"words": "two pieces"}, "not the single string 'two pieces'"),
        ({"maps": MAPS[:3]}, "7 words, 3 maps"),
        ({"maps": [*MAPS[:2], np.ones((2, 9)), *MAPS[:4]]}, r"word 2 \('of'\): map is 2 x 9"),
        ({"normalise": "layr"}, "did you mean 'layer'"),
        ({"width": 0.2}, r"0\.2 inches|1 inch"),
    ],
)
def test_words_that_do_not_fit_are_refused(draw, options: dict, message: str) -> None:
    given = {"words": WORDS, "maps": MAPS, **options}
    with pytest.raises(ValueError, match=message):
        draw(IMAGE, given.pop("words"), given.pop("maps"), **given)


def test_word_frames_have_one_scale() -> None:
    found = word_frames(IMAGE, WORDS[:3], MAPS, alpha=1.0, dpi=60)
    assert found.shape[0] == 3
    assert found.dtype == np.uint8
    assert (found[0] != found[1]).any()
    with pytest.raises(ValueError, match="a range of its own"):
        word_frames(IMAGE, WORDS, MAPS, normalise="image")


def test_training_frames_have_one_scale_a_layer() -> None:
    """A map that keeps a third of its final height has a third of the colours' range."""
    images = np.zeros((2, 20, 20, 3), np.uint8)
    flat = np.zeros((2, 4, 4))
    history = {
        f"epoch {epoch}": {"mask": flat + epoch / 3, "gate": flat + 0.49 + epoch / 300}
        for epoch in range(4)
    }
    found = training_frames(images, history, alpha=1.0, dpi=60, captions=["a", "b"])
    assert found.shape[0] == 4
    for epoch in range(4):
        alone = training_frames(
            images,
            {title: history[title] for title in ("epoch 0", f"epoch {epoch}", "epoch 3")},
            alpha=1.0,
            dpi=60,
            captions=["a", "b"],
        )
        np.testing.assert_array_equal(alone[1 if epoch else 0], found[epoch])
    pixels = found.reshape(4, -1, 3)
    for shade in ([68, 1, 84], [253, 231, 37]):  # the ends of viridis, beside the colour bar's
        counts = (pixels == shade).all(-1).sum(1)
        assert counts[0 if shade[0] == 68 else 3] > 10 * counts[1]
    constant = training_frames(images, {"a": {"l": flat}}, dpi=60)
    assert constant.shape[0] == 1


def test_training_frames_refuse_what_does_not_fit() -> None:
    image = IMAGE[None]
    with pytest.raises(ValueError, match="no frame"):
        training_frames(image, {})
    history = {"a": {"x": MAPS[:1]}, "b": {"y": MAPS[:1]}}
    with pytest.raises(ValueError, match="'b' has the layers y, the first frame x"):
        training_frames(image, history)


def test_frames() -> None:
    figures = [channel_bars([value, 0.5]) for value in (0.1, 0.9)]
    sizes = [tuple(figure.get_size_inches()) for figure in figures]
    found = frames(figures, dpi=50)
    assert found.shape == (2, 110, 325, 3)
    assert [tuple(figure.get_size_inches()) for figure in figures] == sizes
    assert figures[0].dpi != 50
    for wrong, message in (
        ([], "no picture"),
        ([found[0], found[0][:9]], "one size"),
        ([found[0] / 255.0], "of float64"),
    ):
        with pytest.raises(ValueError, match=message):
            frames(wrong)


def test_a_gif_has_every_frame_its_time_and_nearly_its_colours(tmp_path: Path) -> None:
    moving = np.stack([overlay(IMAGE, values) for values in MAPS[:4]])
    path = save(moving, tmp_path / "new" / "m.GIF", seconds=[0.1, 0.2, 0.3, 1])
    with Image.open(path) as gif:
        assert gif.format == "GIF"
        assert gif.info["loop"] == 0
        read = [
            (f.info["duration"], np.asarray(f.convert("RGB"))) for f in ImageSequence.Iterator(gif)
        ]
    assert [duration for duration, _ in read] == [100, 200, 300, 1000]
    for (_, found), expected in zip(read, moving, strict=True):
        assert np.abs(found.astype(int) - expected).mean() < 4
    assert (
        path.read_bytes()
        == save(moving, tmp_path / "n.gif", seconds=[0.1, 0.2, 0.3, 1]).read_bytes()
    )


def test_a_figure_and_a_picture_are_gifs_of_one_frame(tmp_path: Path) -> None:
    for picture in (channel_bars([0.5]), overlay(IMAGE, MAPS[0])):
        with Image.open(save(picture, tmp_path / "one.gif", dpi=50)) as gif:
            assert gif.n_frames == 1


def test_what_is_no_gif_is_refused(tmp_path: Path) -> None:
    moving = np.zeros((2, 4, 4, 3), np.uint8)
    for name, picture, options, message in (
        ("a.png", moving, {}, r"frames of shape \(2, 4, 4, 3\) are saved as .gif"),
        ("a.gif", moving, {"seconds": [1.0]}, r"one a frame \(2\)"),
        ("a.gif", moving, {"seconds": 0}, "from 0.02 to 600"),
        ("a.gif", moving / 255, {}, "float64"),
        ("a.gif", moving[:0], {}, r"\(0, 4, 4, 3\)"),
    ):
        with pytest.raises(ValueError, match=message):
            save(picture, tmp_path / name, **options)
    assert not list(tmp_path.iterdir())


def test_random_and_worst_cases_are_what_they_say() -> None:
    scores = RNG.random(50)
    scores[[3, 8]] = np.nan
    choice = choose_cases(torch.from_numpy(scores), name="mask IoU", random=8, worst=4, seed=2)
    order = [row for row in np.argsort(scores) if not np.isnan(scores[row])]
    assert choice.rows[8:] == order[:4]
    assert len(set(choice.rows[:8])) == 8
    assert choice.sections == {
        "8 random of 50 (seed 2)": 8,
        "the 4 of 50 with the lowest mask IoU (undefined for 2)": 4,
    }
    assert choose_cases(scores, name="IoU", seed=2).rows[:8] == choice.rows[:8]
    assert choose_cases(scores, name="IoU", seed=3).rows[:8] != choice.rows[:8]
    highest = choose_cases(scores, name="deletion area", random=0, worst=2, worst_are="highest")
    assert highest.rows == order[:-3:-1]
    assert list(highest.sections) == [
        "the 2 of 50 with the highest deletion area (undefined for 2)"
    ]
    few = choose_cases([0.5], name="IoU")
    assert few.rows == [0, 0]
    images = RNG.random((50, 8, 8, 3), dtype=np.float32)
    masks = RNG.random((50, 4, 4))
    figure = panels(
        chosen(images, choice.rows),
        chosen(masks, choice.rows),
        iou=chosen(scores, choice.rows),
        sections=choice.sections,
    )
    assert set(choice.sections) <= set(texts(figure))
    assert_nothing_is_clipped(figure)


@pytest.mark.parametrize(
    ("scores", "options", "message"),
    [
        ([], {}, r"\(N,\), not \(0,\)"),
        ([[0.5]], {}, r"not \(1, 1\)"),
        ([0.5], {"worst": -1}, "nothing to choose: random=8, worst=-1"),
        ([0.5], {"worst": 0, "random": 0}, "nothing to choose"),
        ([0.5], {"worst_are": "low"}, "'lowest' or 'highest', not 'low'"),
    ],
)
def test_nothing_to_choose_is_an_error(scores, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose_cases(scores, name="IoU", **options)
