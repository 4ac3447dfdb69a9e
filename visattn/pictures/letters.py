"""Letters that a figure's own font doesn't have: another font of the system, or Roman letters."""

import logging
import unicodedata
from functools import cache

from matplotlib import rcParams
from matplotlib.font_manager import FontProperties, findfont, fontManager
from matplotlib.ft2font import FT2Font

# Fonts with Chinese, Japanese and Korean letters on the usual systems; Matplotlib brings none.
_EAST_ASIAN = (
    "Noto Sans CJK JP",
    "Noto Sans JP",
    "IPAexGothic",
    "Hiragino Sans",
    "Yu Gothic",
    "MS Gothic",
    "Microsoft YaHei",
    "PingFang SC",
    "WenQuanYi Zen Hei",
    "Malgun Gothic",
    "Arial Unicode MS",
)
_EMPTY = "Last Resort"  # a frame for every letter


def font_names(text: str) -> list[str] | None:
    """Further fonts with which a text can be drawn, none if the figure's own has all letters.

    Returns:
        Names of installed fonts; None if a letter is in none of them.
    """
    own = findfont(FontProperties(family=rcParams["font.family"]))
    missing = {ord(letter) for letter in text if letter.isprintable()} - _letters(own)
    found = []
    for name, path in _installed() if missing else ():
        there = missing & _letters(path)
        if there:
            found.append(name)
            missing -= there
        if not missing:
            break
    return None if missing else found


def romanised(text: str) -> str:
    """A text with kana and hangul in Roman letters, and other letters beyond Latin by number.

    Example:
        >>> romanised("マグロ – 寿司"), romanised("buri")
        ('maguro – U+5BFF U+53F8', 'buri')
    """
    letters = unicodedata.normalize("NFC", text)
    found = "".join(letter if _everywhere(letter) else _roman(letter) for letter in letters)
    return " ".join(found.split())


def _everywhere(letter: str) -> bool:
    """Whether every font has it: Latin letters, dashes and quotation marks."""
    return ord(letter) < 0x250 or 0x2010 <= ord(letter) <= 0x2026


def _roman(letter: str) -> str:
    words = unicodedata.name(letter, "").split()
    if len(words) > 1 and words[-2] in ("LETTER", "SYLLABLE", "SMALL"):
        return words[-1].lower()
    return "-" if "SOUND" in words else f" U+{ord(letter):04X} "


@cache
def _letters(path: str) -> frozenset[int]:
    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):  # a font that Matplotlib can't read, such as one of bitmaps
        return frozenset()


@cache
def _installed() -> list[tuple[str, str]]:
    """(name, file) of each font, those meant for East Asia first."""
    there = {font.name for font in fontManager.ttflist if not font.name.startswith(_EMPTY)}
    first = [name for name in _EAST_ASIAN if name in there]
    names = [*first, *sorted(there - set(first))]
    log = logging.getLogger("matplotlib.font_manager")
    level = log.level
    log.setLevel(logging.ERROR)  # it warns of a family that has no regular weight
    try:
        return [(name, findfont(FontProperties(family=name))) for name in names]
    finally:
        log.setLevel(level)
