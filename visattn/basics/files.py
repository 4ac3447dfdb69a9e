"""Files that are whole or not there, whatever ends the process that writes them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A path to write to; what stands there takes the place of ``path`` at the end, at once.

    Folders above are made. After an exception ``path`` is as it was, and an error of writing names
    it. A link stays, and what it points to is written; a device such as ``/dev/stdout`` is written
    to as it comes.

    Args:
        path: The file; what is written in its place has its suffix, too.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with whole_file(Path(folder, "new", "a.json")) as part:
        ...         _ = part.write_text("{}")
        ...     [found.name for found in Path(folder, "new").iterdir()]
        ['a.json']
    """
    target = Path(path).resolve()
    if target.exists() and not target.is_file():
        yield target
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.stem}.{os.getpid()}.part{target.suffix}")
    try:
        yield part
        part.replace(target)
    except OSError as error:
        if error.filename in (None, str(part)):  # the disk is full, say
            error.filename = str(target)
        raise
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_stream(path: str | Path) -> Iterator[BinaryIO]:
    """As `whole_file`, open to be written; for PyTorch, which makes a full disk a riddle."""
    with whole_file(path) as part, part.open("wb") as stream:
        try:
            yield stream
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def write_whole(path: str | Path, text: str) -> Path:
    """Write a text file that is whole or not there, see `whole_file`; give its path."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")
    return Path(path)
