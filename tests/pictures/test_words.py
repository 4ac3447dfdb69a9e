"""Pictures of what words look at."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
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
    shares = axes.get_xticklabels()
    assert [share.get_text() for share in shares] == ["0.10", "0.20", "0.00", "0.70"]
    assert [share.get_position()[0] for share in shares] == [
        t.get_position()[0] for t in axes.texts
    ]


def test_no_word_runs_over_its_ground_or_off_the_picture():
    words = ["i", "wwwwwwww", "$1", "so"]
    for title in ("", "a title that is a good deal longer than the sentence, p = 0.99"):
        figure = draw_highlighted(words, [0.1, 0.2, 0.0, 0.7], title=title)
        FigureCanvasAgg(figure).draw()
        axes = figure.axes[0]
        for span, text in zip(axes.patches, axes.texts, strict=True):
            ground, word = span.get_window_extent(), text.get_window_extent()
            assert ground.x0 < word.x0 < word.x1 < ground.x1
            assert ground.y0 < word.y0 < word.y1 < ground.y1
        drawn = axes.get_tightbbox()
        assert drawn.x0 >= 0
        assert drawn.x1 <= figure.bbox.x1


def test_an_animation_has_a_frame_a_word(tmp_path):
    weights = np.array([[1.0, 0, 0], [0, 0, 1.0], [0, 1.0, 0]])
    steps = alignment_frames(weights, ["I", "love", "you"], ["je", "t'", "aime"])
    path = save(steps, tmp_path / "new" / "steps.gif")
    with Image.open(path) as animation:
        shown = [np.asarray(f.convert("L")).astype(int) for f in ImageSequence.Iterator(animation)]
    assert len(steps) == len(shown) == 3
    white = [(frame > 250).sum() for frame in shown]
    assert white[0] < white[1] < white[2]
    black = [np.argwhere((step < 5).all(-1)) for step in steps]
    edges = [(places.min(0).tolist(), places.max(0).tolist()) for places in black]
    assert edges[0][1] == edges[2][1]  # of the map's frame, which stays in place


def test_shapes_and_suffixes_are_checked(tmp_path):
    with pytest.raises(ValueError, match=r"each of the 2 words, not \(1,\)"):
        draw_highlighted(["a", "b"], [0.5])
    figure = draw_highlighted(["so", "$1"], [0.5, 0.5])
    assert save(figure, tmp_path / "x.png", dpi=60).stat().st_size > 500
