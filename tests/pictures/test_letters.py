"""Letters that the figures' own font lacks."""

import logging

import numpy as np
import pytest
from matplotlib.font_manager import findfont

from visattn.pictures import grid, letters
from visattn.pictures.letters import font_names, romanised


def words_of(figure):
    return [text.get_text() for text in figure.texts]


def drawn(name):
    images = np.zeros((1, 32, 32, 3), np.uint8)
    figure = grid(images, {"layer4": np.eye(4)[None]}, captions=[name])
    figure.canvas.draw()  # a missing glyph would be a warning
    return figure


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("マグロ", "maguro*"),
        ("ショートケーキ", "siyoto"),
        ("鮪 (まぐろ)", "U+9BAA (maguro)*"),
        ("寿司", "U+5BFF U+53F8*"),
        ("참치", "camci*"),
        ("\u110e\u1161\u11b7\u110e\u1175", "camci*"),
        ("ความรัก", "U+0E04"),
    ],
)
def test_without_a_font_names_are_romanised_with_a_note(monkeypatch, name, said):
    monkeypatch.setattr(letters, "_installed", lambda: [])
    found = words_of(drawn(name))
    if said.endswith("*"):
        assert said in found
    else:
        assert any(text.startswith(said[:4]) and text.endswith("*") for text in found)
    assert sum("no font of this system" in text for text in found) == 1


def test_what_the_own_font_has_stays_as_it_is():
    for name in ("buri", "crème brûlée", "Лосось", "σολομός", "سلمون"):
        assert font_names(name) == []
        found = words_of(drawn(name))
        assert name in found
        assert not any("*" in text for text in found)


def test_a_font_that_has_the_letters_is_taken():
    """Here of a letter that another font of Matplotlib's own has."""
    own, other = (letters._letters(findfont(name)) for name in ("DejaVu Sans", "STIXGeneral"))
    letter = chr(min(code for code in other - own if chr(code).isprintable()))
    (name,) = font_names(letter)
    (text,) = (text for text in drawn(letter).texts if text.get_text() == letter)
    assert text.get_fontfamily()[-1] == name


def test_several_fonts_together(monkeypatch):
    sets = {"a": frozenset(map(ord, "鮪")), "b": frozenset(map(ord, "참치"))}
    monkeypatch.setattr(letters, "_installed", lambda: [("A", "a"), ("B", "b"), ("C", "c")])
    monkeypatch.setattr(letters, "_letters", lambda path: sets.get(path, frozenset(map(ord, "p "))))
    assert font_names("鮪 p") == ["A"]
    assert font_names("鮪참치") == ["A", "B"]
    assert font_names("鮪寿") is None


def test_romanised_leaves_latin_alone():
    assert romanised("naïve č $5") == "naïve č $5"


def test_a_search_through_all_fonts_logs_nothing(monkeypatch, caplog):
    def searched(properties):
        logging.getLogger("matplotlib.font_manager").warning("no regular weight")
        return findfont(properties)

    monkeypatch.setattr(letters, "findfont", searched)
    assert letters._installed.__wrapped__()
    assert not caplog.records
