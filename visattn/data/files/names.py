"""Names of files and folders: how they are shown, and when two of them are the same."""

import unicodedata
from pathlib import Path


def shown(path: str | Path) -> str:
    r"""A path for a message: itself, or with escapes where it would break a line or a terminal.

    Example:
        >>> shown(Path("a/café.png")), shown("two\nlines.png")
        ('a/café.png', 'two\\nlines.png')
    """
    text = str(path)
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def same_form(name: str) -> str:
    r"""A name as it is compared: accents composed (NFC), whichever way a system wrote them.

    Example:
        >>> same_form("cafe\u0301") == "caf\u00e9"
        True
    """
    return unicodedata.normalize("NFC", name)


def inside(root: Path, name: str | Path, *, source: Path) -> Path:
    """The path of a name under a folder, which it may not leave.

    Args:
        root: The folder.
        name: A relative path that a file of the data set names.
        source: That file, for the message.

    Raises:
        ValueError: The name is absolute or leads out of the folder.

    Example:
        >>> inside(Path("birds"), "a/1.jpg", source=Path("birds/metadata.csv")).as_posix()
        'birds/a/1.jpg'
    """
    relative = Path(name)
    if relative.is_absolute() or ".." in relative.parts:
        raise ValueError(
            f"{shown(source)} names the file {shown(name)!r}, which lies outside of {shown(root)}: "
            "expected a path inside of it; correct that line, if you trust the file at all"
        )
    return root / relative
