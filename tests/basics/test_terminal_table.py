"""Tables of the terminal."""

import io

from rich.console import Console

from visattn.basics.terminal_table import terminal_table


def test_a_title_and_a_caption_stand_there_as_they_are():
    said = "nets.py:one: 2 images of [test]"
    table = terminal_table(title=said, words=["map"], numbers=["IoU"], caption=f"of {said}")
    table.add_row("layer4", "0.5")
    out = io.StringIO()
    Console(file=out, width=80).print(table)
    words = " ".join(out.getvalue().split())
    assert words.startswith(f"{said} map IoU")
    assert words.endswith(f"of {said}")
