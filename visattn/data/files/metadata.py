"""The table ``metadata.csv`` of a data set: what is known of its pictures beside their class."""

import csv
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from visattn.data.files.names import same_form, shown

KEYS = ("split", "class", "id")
_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")
_log = logging.getLogger(__name__)


def read_metadata(
    path: Path,
    *,
    split: str,
    splits: Sequence[str],
    pictures: Mapping[tuple[str, str], str],
) -> dict[tuple[str, str], dict[str, str]]:
    """What a table says of the pictures of a split.

    The table is UTF-8, UTF-16 or Windows' code page 1252, its columns parted by commas, semicolons
    or tabs, as spreadsheets write them. An id is a picture's name, with its suffix or without.

    Args:
        path: ``metadata.csv``; nothing is said where there is none.
        split: Which split.
        splits: All of them; rows of any other match no picture.
        pictures: The file name of each picture of the split, by class and name without suffix.

    Returns:
        The other columns of the rows, by class and name without suffix.

    Raises:
        ValueError: It can't be read, lacks a column, says two things of one picture, or most of
            its rows match no picture.
    """
    if not path.is_file():
        return {}
    known = {same_form(name) for name in splits}
    stems = {
        (same_form(name), same_form(form)): (name, stem)
        for (name, stem), file in pictures.items()
        for form in (file, stem)
    }
    rows = [
        (tuple(same_form(row.pop(key, "").strip()) for key in KEYS), row) for row in _rows(path)
    ]
    rows = [(key, others) for key, others in rows if any(key)]
    own = [(key, others) for key, others in rows if key[0] == same_form(split)]
    found: dict[tuple[str, str], dict[str, str]] = {}
    for key, others in own:
        picture = stems.get((key[1], key[2]))
        if picture is not None and found.setdefault(picture, others) != others:
            raise ValueError(
                f"{shown(path)}: expected one row a picture, found two that differ for "
                f"{', '.join(key)}; remove one"
            )
    lost = [key for key, _ in own if key[1:] not in stems]
    _tell(path, lost, of=len(own), split=split, pictures=pictures)
    elsewhere = [key for key, _ in rows if key[0] not in known]
    _tell(path, elsewhere, of=len(rows), split=" or ".join(splits), pictures=pictures, mostly=1.0)
    return found


def _tell(
    path: Path,
    lost: Sequence[tuple[str, ...]],
    *,
    of: int,
    split: str,
    pictures: Mapping[tuple[str, str], str],
    mostly: float = 0.5,
) -> None:
    """Log how many rows match no picture, or raise where these are most of them."""
    if not lost:
        return
    text = (
        f"{shown(path)}: {len(lost)} of {of} rows match no picture of the split {split!r}, such as "
        f"{', '.join(map(repr, lost[0]))} (split, class, id)"
    )
    if len(lost) > mostly * of or len(lost) == of:
        name, stem = next(iter(pictures), ("CLASS", "ID"))
        raise ValueError(
            f"{text}; expected names as of SPLIT/images/{name}/{stem}.*, zeros in front included "
            "(a spreadsheet drops them); correct the table or remove it"
        )
    _log.warning("%s", text)


def _rows(path: Path) -> list[dict[str, str]]:
    """The rows by column; what a row has beyond the columns is left out."""
    text = text_of(path)
    for delimiter in (",", ";", "\t"):
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
        try:
            columns = [name.strip() for name in reader.fieldnames or ()]
            if set(KEYS) <= set(columns):
                reader.fieldnames = columns
                return [
                    {n: value for n, value in row.items() if n is not None and value is not None}
                    for row in reader
                ]
        except csv.Error as error:
            raise ValueError(f"{shown(path)}, line {reader.line_num}: {error}") from error
    columns = list(csv.DictReader(io.StringIO(text, newline="")).fieldnames or ["none"])
    missing = [key for key in KEYS if key not in columns]
    raise ValueError(
        f"{shown(path)}: expected the columns split, class and id (and any others), missing "
        f"{', '.join(missing)}; found {', '.join(columns)}"
    )


def text_of(path: Path) -> str:
    """The text of a table, in whichever encoding a spreadsheet wrote it.

    Raises:
        ValueError: It is in none of UTF-8, UTF-16 and Windows' code page 1252.
    """
    data = path.read_bytes()
    if data.startswith(_BYTE_ORDER_MARKS):
        encodings = ["utf-16"]
    elif b"\0" in data[:2]:  # UTF-16 without its mark: the first letter is Latin
        encodings = ["utf-16-be" if data[:1] == b"\0" else "utf-16-le"]
    else:
        encodings = ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise ValueError(
        f"{shown(path)}: expected text in UTF-8, UTF-16 or Windows' code page 1252, found neither; "
        "save it as UTF-8"
    )
