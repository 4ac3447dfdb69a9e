"""One HTML file from the contents: style, script and data inside, nothing from elsewhere."""

import base64
import hashlib
import html
import re
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import final

import numpy as np

from visattn.basics.files import write_whole
from visattn.pictures.scales import colours
from visattn.report_page.contents import Contents
from visattn.report_page.packing import safe_json

SCRIPTS = ("decode", "fields", "drawing", "state", "panel", "cards", "numbers", "main")
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
    """Join the page's parts.

    The policy in its head allows the one style sheet and the one script by their hashes, pictures
    that carry their own data, and nothing else.

    Args:
        contents: What the page shows.
    """
    style = _read("page.css")
    script = "\n".join(_read(f"{name}.js") for name in SCRIPTS)
    data = {**contents.as_json(), "colours": {name: _table(name) for name in COLOUR_MAPS}}
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}';"
        " img-src data:; base-uri 'none'; form-action 'none'"
    )
    parts = {
        "policy": policy,
        "title": html.escape(contents.title),
        "style": style,
        "script": script,
        "data": safe_json(data),
    }
    # One pass, so that nothing inside of a part is taken for a place.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _read("page.html"))


def _read(name: str) -> str:
    return files("visattn.report_page").joinpath("assets", name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """What a policy calls a text that stands between two tags."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


def _table(name: str) -> str:
    """The 256 colours of a colour map, three bytes each, in base64."""
    table = np.rint(colours(name)(np.arange(256))[:, :3] * 255).astype(np.uint8)
    return base64.b64encode(table.tobytes()).decode("ascii")
