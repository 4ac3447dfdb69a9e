"""One HTML file from the contents: style, script and data inside, nothing from elsewhere."""

import base64
import html
from functools import cached_property
from pathlib import Path
from typing import final

import numpy as np

from visattn.basics.files import write_whole
from visattn.pictures.scales import colours
from visattn.report_page.contents import Contents
from visattn.report_page.joining import join_page

SCRIPTS = (
    "decode",
    "coding",
    "letters",
    "fields",
    "drawing",
    "state",
    "panel",
    "cards",
    "numbers",
    "main",
)
"""Files of the page's script, in the order in which they are joined."""
COLOUR_MAPS = ("viridis", "magma", "cividis")


@final
class Report:
    """A finished page.

    In a notebook it shows itself, in a frame that can reach nothing else.

    Args:
        contents: What it shows.
    """

    def __init__(self, contents: Contents) -> None:
        self.contents = contents

    @cached_property
    def html(self) -> str:
        """The whole file."""
        return build_html(self.contents)

    def save(self, path: str | Path) -> Path:
        """Write the file, whole or not at all; its folder is made if it is missing.

        Args:
            path: Where to; the usual ending is ``.html``.

        Returns:
            The path.
        """
        return write_whole(path, self.html)

    def __repr__(self) -> str:
        pictures, models = len(self.contents.pictures), len(self.contents.models)
        return f"Report({pictures} pictures, {models} models, {len(self.html) / 1e6:.2f} MB)"

    def _repr_html_(self) -> str:
        """A frame with the page inside: no origin of its own, scripts and downloads only."""
        return (
            f'<iframe title="{html.escape(self.contents.title)}" width="100%" height="980"'
            ' style="border:0" sandbox="allow-scripts allow-downloads"'
            f' srcdoc="{html.escape(self.html)}"></iframe>'
        )


def build_html(contents: Contents) -> str:
    """The page of some contents.

    Args:
        contents: What the page shows.
    """
    return join_page(
        "visattn.report_page",
        scripts=SCRIPTS,
        template="page.html",
        style="page.css",
        title=contents.title,
        data={**contents.as_json(), "colours": {name: _table(name) for name in COLOUR_MAPS}},
    )


def _table(name: str) -> str:
    """The 256 colours of a colour map, three bytes each, in base64."""
    table = np.rint(colours(name)(np.arange(256))[:, :3] * 255).astype(np.uint8)
    return base64.b64encode(table.tobytes()).decode("ascii")
