"""Pictures of what words look at."""

import numpy as np
import pytest
from PIL import Image, ImageSequence

from visattn.pictures.saving import save
from visattn.pictures.words import alignment_frames, draw_highlighted


def test_a_sentence_is_darkest_where_it_counts():
    words = ["the", "buri", "was", "fresh"]
    figure = draw_highlighted(words, np.array([0.1, 0.2, 0.0, 0.7, 0.0]), title="kind, p = 0.99")
    axes = figure.axes[0]
    spans = axes.patches
    assert [span.get_alpha() for span in spans] == [0.1, 0.2, 0.0, 0.7]
    for span, text in zip(spans, axes.texts, strict=True):
        box = span.get_extents().transformed(axes.transData.inverted())
        assert box.x0 < text.get_position()[0] < box.x1
    assert [text.get_text() for text in axes.texts] == words


def test_an_animation_has_a_frame_a_word(tmp_path):
    weights = np.array([[1.0, 0, 0], [0, 0, 1.0], [0, 1.0, 0]])
    steps = alignment_frames(weights, ["I", "love", "you"], ["je", "t'", "aime"])
    path = save(steps, tmp_path / "new" / "steps.gif")
    with Image.open(path) as animation:
        shown = [np.asarray(f.convert("L")).astype(int) for f in ImageSequence.Iterator(animation)]
    assert len(steps) == len(shown) == 3
    white = [(frame > 250).sum() for frame in shown]
    assert white[0] < white[1] < white[2]


def test_shapes_and_suffixes_are_checked(tmp_path):
    with pytest.raises(ValueError, match=r"each of the 2 words, not \(1,\)"):
        draw_highlighted(["a", "b"], [0.5])
    figure = draw_highlighted(["so", "$1"], [0.5, 0.5])
    assert save(figure, tmp_path / "x.png", dpi=60).stat().st_size > 500
