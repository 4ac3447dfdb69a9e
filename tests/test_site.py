"""The documentation is built without a warning, and asks nobody for anything."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_the_site_is_built_and_is_offline(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "DISABLE_MKDOCS_2_WARNING": "true"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    pages = {page.relative_to(tmp_path).as_posix(): page for page in tmp_path.rglob("*.html")}
    assert {"index.html", "blocks/cbam.html", "reference/visattn.html"} <= set(pages)
    for name, page in pages.items():
        loaded = re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"(\w+:)?//", page.read_text())
        assert not loaded, name
