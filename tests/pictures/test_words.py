"""Pictures of what words look at."""

import numpy as np
import pytest
from PIL import Image, ImageSequence

from visattn.pictures.saving import save
from visattn.pictures.words import draw_highlighted, draw_word_maps, save_alignment_steps


def test_each_word_has_the_map_of_its_own():
    image = np.full((32, 48, 3), 128, dtype=np.uint8)
    maps = np.zeros((4, 4, 6))
    maps[0, 0, 0] = maps[1, 3, 5] = maps[2, 1, 2] = 0.5
    figure = draw_word_maps(image, maps, ["buri", "above", "ebi"])
    assert [axes.get_title() for axes in figure.axes] == ["", "buri", "above", "ebi"]
    pictures = [axes.images[0].get_array() for axes in figure.axes]
    assert (pictures[0] == 128).all()
    for picture, values in zip(pictures[1:], maps[:3], strict=True):
        assert picture.shape == (32, 48, 3)
        empty = picture[0, 0] if values[0, 0] == 0 else picture[-1, -1]
        coloured = np.abs(np.asarray(picture, dtype=int) - empty).sum(2)
        cells = coloured.reshape(4, 8, 6, 8).mean((1, 3))
        assert cells.argmax() == values.argmax()


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
    path = save_alignment_steps(
        weights, ["I", "love", "you"], ["je", "t'", "aime"], tmp_path / "new" / "steps.gif"
    )
    with Image.open(path) as animation:
        frames = [np.asarray(f.convert("L")).astype(int) for f in ImageSequence.Iterator(animation)]
    assert len(frames) == 3
    white = [(frame > 250).sum() for frame in frames]
    assert white[0] < white[1] < white[2]


def test_shapes_and_suffixes_are_checked(tmp_path):
    image = np.zeros((8, 8, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match=r"each of the 2 words, not \(1, 4, 4\)"):
        draw_word_maps(image, np.zeros((1, 4, 4)), ["a", "b"])
    with pytest.raises(ValueError, match=r"each of the 2 words, not \(1,\)"):
        draw_highlighted(["a", "b"], [0.5])
    with pytest.raises(ValueError, match=r"saved as \.gif, not '\.png'"):
        save_alignment_steps(np.eye(1), ["a"], ["b"], tmp_path / "x.png")
    figure = draw_highlighted(["so", "$1"], [0.5, 0.5])
    assert save(figure, tmp_path / "x.png", dpi=60).stat().st_size > 500
