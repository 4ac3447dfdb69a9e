"""Tables in Markdown, and the place in a README that they fill."""

from collections.abc import Sequence
from pathlib import Path

from visattn.basics.files import write_whole

BEGIN, END = "<!-- table -->", "<!-- end -->"


def table_text(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are numbers.

    Example:
        >>> print(table_text(["recipe", "seeds"], [["plain", "5"]]))
        | recipe | seeds |
        | --- | ---: |
        | plain | 5 |
    """
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def fill_readme(path: str | Path, text: str, *, name: str = "") -> None:
    """Put a text between the lines ``<!-- table -->`` and ``<!-- end -->`` of a file.

    Args:
        path: The file.
        text: What shall stand there.
        name: Of the table, if a file has several: ``<!-- table NAME -->``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It has not exactly one such place.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}: expected one with the lines {BEGIN} and {END}")
    page, own = path.read_text(encoding="utf-8"), BEGIN.replace("table", f"table {name}")
    begin = own if f"{own}\n" in page else BEGIN
    before, *rest = page.split(f"{begin}\n")
    if len(rest) != 1 or (begin == BEGIN and rest[0].count(f"{END}\n") != 1) or END not in rest[0]:
        raise ValueError(
            f"{path} must have one line {BEGIN}, or {own} of several, and after it a line {END}:"
            " what is between them is replaced"
        )
    after = rest[0].partition(f"{END}\n")[2]
    write_whole(path, f"{before}{begin}\n{text.strip()}\n{END}\n{after}")


def recipe_link(name: str, *, folder: Path) -> str:
    """The name of a recipe, linked where its file lies in a folder.

    ``translation_dot`` is ``dot.yaml`` in a folder ``translation``.
    """
    short = name.removeprefix(f"{folder.resolve().name}_")
    return f"[{short}]({short}.yaml)" if (folder / f"{short}.yaml").is_file() else name
