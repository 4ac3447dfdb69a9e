"""What the READMEs say can be done, can be done."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from visattn.cli import LIGHTNING
from visattn.commands import COMMANDS, GROUPS

ROOT = Path(__file__).parent.parent
FRONT, JAPANESE = ROOT / "README.md", ROOT / "README.ja.md"
GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
PAGES = [
    FRONT,
    JAPANESE,
    *(page for page in GUIDES if "```bash" in page.read_text()),
    ROOT / "recipes" / "README.md",
    *sorted((ROOT / "recipes").glob("*/README.md")),
]


def blocks(page, *languages):
    """The fenced blocks of a page in some languages."""
    found = re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [text for language, text in found if language in languages]


def commands(page):
    """The shell commands of a page, one a line."""
    return [
        shlex.split(line, comments=True)
        for text in blocks(page, "bash", "sh")
        for line in text.replace("\\\n", " ").splitlines()
        if shlex.split(line, comments=True)
    ]


CODES = {f"{p.name}-{n}": c for p in (FRONT, *GUIDES) for n, c in enumerate(blocks(p, "python"))}


@pytest.mark.parametrize("name", CODES)
def test_python_runs(name):
    exec(compile(CODES[name], name, "exec"), {})


def test_the_front_page_is_short_and_says_the_same_in_japanese():
    def said(page):
        code = "".join(blocks(page, "python", "bash"))
        return re.sub(r"\s*#.*", "", code), re.findall(r"\d+\.\d+", page.read_text())

    assert len(FRONT.read_text().splitlines()) <= 150
    assert said(JAPANESE) == said(FRONT)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_recipes_exist(page):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert commands(page)
    looped = re.findall(r"for recipe in ([\w ]+); do", page.read_text())
    named = " ".join(looped).split()
    for words in commands(page):
        if words[0] == "make":
            assert words[1] in targets, words
        elif words[0] == "visattn":
            assert words[1] in {*COMMANDS, *GROUPS, *LIGHTNING}, words
            for flag, value in pairwise(words):
                if flag == "-c" and value != "mine.yaml":
                    name = value.removeprefix("recipes/").removesuffix(".yaml")
                    assert named or "$" not in name, words
                    for recipe in named if "$recipe" in name else [""]:
                        path = ROOT / "recipes" / f"{name.replace('$recipe', recipe)}.yaml"
                        assert path.is_file(), words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_pictures_exist(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target
