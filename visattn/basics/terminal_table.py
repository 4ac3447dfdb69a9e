"""A table that is whole on eighty columns, where rich's own would shorten words."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text


def terminal_table(
    *, title: str, words: Sequence[str], numbers: Sequence[str], caption: str | None = None
) -> Table:
    """An empty table with a line under its headings, a blank between its columns.

    Args:
        title: Above it, as it is: no ``:word:`` in it becomes a picture.
        words: Headings of the first columns, whose cells stand on the left.
        numbers: Headings of the columns after them, whose cells stand on the right, unbroken.
        caption: Below it.
    """
    table = Table(
        title=Text(title, style="table.title"),
        caption=None if caption is None else Text(caption, style="table.caption"),
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )
    for place, heading in enumerate(words):
        table.add_column(heading, no_wrap=place == 0)
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    return table
