"""The alignment picture: every label at its own row or column."""

import io

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from visattn.pictures.alignments import draw_alignment
from visattn.pictures.saving import save

SOURCE, TARGET = ["I", "love", "you", "$ ."], ["je", "t'", "aime"]


def pixels(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return np.asarray(Image.open(file).convert("L"))


def test_labels_are_the_words_at_the_right_cells():
    weights = torch.zeros(3, 4)
    weights[0, 0] = weights[1, 2] = weights[2, 1] = 1.0
    figure = draw_alignment(weights, SOURCE, TARGET)
    axes = figure.axes[0]
    picture = pixels(figure)
    across = {word: place for place, word in zip(axes.get_xticks(), SOURCE, strict=True)}
    down = {word: place for place, word in zip(axes.get_yticks(), TARGET, strict=True)}
    assert [label.get_text() for label in axes.get_yticklabels()] == TARGET
    assert [label.get_text() for label in axes.get_xticklabels()] == ["I", "love", "you", r"\$ ."]
    white = {("je", "I"), ("t'", "you"), ("aime", "love")}
    for target, y in down.items():
        for source, x in across.items():
            column, row = axes.transData.transform((x, y))
            shade = picture[picture.shape[0] - round(row), round(column)]
            assert (shade > 250) == ((target, source) in white), (target, source, shade)
            label = axes.get_xticklabels()[int(x)].get_window_extent()
            assert label.x0 < column < label.x1
            label = axes.get_yticklabels()[int(y)].get_window_extent()
            assert label.y0 < row < label.y1


def test_padding_is_left_out_and_truth_is_framed():
    weights = np.full((6, 9), 0.1)
    truth = np.zeros((6, 9), dtype=bool)
    truth[0, 3] = truth[2, 1] = truth[5, 8] = True
    axes = draw_alignment(weights, SOURCE, TARGET, truth=truth).axes[0]
    assert axes.images[0].get_array().shape == (3, 4)
    assert [patch.get_xy() for patch in axes.patches] == [(2.5, -0.5), (0.5, 1.5)]


@pytest.mark.parametrize("title", ["", "a title that is longer than the map is wide"])
def test_labels_and_title_have_room_and_no_more(title):
    figure = draw_alignment(
        np.eye(2, 3), ["delicious", "i", "bad"], ["buri: good", "a"], title=title
    )
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = figure.get_tightbbox()
    size = figure.get_size_inches()
    assert 0 <= drawn.x0 < drawn.x1 <= size[0]
    assert 0 <= drawn.y0 < drawn.y1 <= size[1]
    assert min(drawn.width / size[0], drawn.height / size[1]) > 0.85


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match=r"3 rows and 4 columns at least, not \(4, 3\)"):
        draw_alignment(np.zeros((4, 3)), SOURCE, TARGET)
    with pytest.raises(ValueError, match="after the softmax"):
        draw_alignment(np.full((3, 4), 3.0), SOURCE, TARGET)
    with pytest.raises(ValueError, match="a word each"):
        draw_alignment(np.zeros((3, 4)), [], TARGET)


def test_saved(tmp_path):
    figure = draw_alignment(np.eye(3, 4), SOURCE, TARGET, title="dot, no $ sign")
    assert save(figure, tmp_path / "alignment.png", dpi=80).stat().st_size > 1000
