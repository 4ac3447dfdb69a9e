"""Style, script and data into one HTML file that loads nothing from elsewhere."""

import base64
import hashlib
import html
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from visattn.report_page.packing import safe_json


def join_page(
    package: str, *, scripts: Sequence[str], template: str, style: str, title: str, data: Any
) -> str:
    """Join the parts of a page that lie in the folder ``assets`` of a package.

    The policy in its head allows the one style sheet and the one script by their hashes, pictures
    that carry their own data, and nothing else.

    Args:
        package: The package.
        scripts: Files of the script without their suffix, in the order in which they are joined.
        template: The HTML, with ``{{policy}}``, ``{{title}}``, ``{{style}}``, ``{{script}}`` and
            ``{{data}}``.
        style: The style sheet.
        title: Of the page.
        data: What the script finds in ``{{data}}``, as JSON.
    """

    def read(name: str) -> str:
        return files(package).joinpath("assets", name).read_text(encoding="utf-8")

    css, script = read(style), "\n".join(read(f"{name}.js") for name in scripts)
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(css)}';"
        " img-src data:; base-uri 'none'; form-action 'none'"
    )
    parts = {
        "policy": policy,
        "title": html.escape(title),
        "style": css,
        "script": script,
        "data": safe_json(data),
    }
    # One pass, so that nothing inside of a part is taken for a place.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], read(template))


def _digest(text: str) -> str:
    """What a policy calls a text that stands between two tags."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"
