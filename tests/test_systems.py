"""docs/systems.md names tests, lessons, commands and files that exist."""

import ast
import json
import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from visattn.cli import LIGHTNING
from visattn.commands import COMMANDS

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "systems.md"
NUMBERS = {
    "a": {*range(1, 12), 13, 14, 15},
    "b": {*range(1, 9), *range(10, 19)},
    "c": {*range(1, 6)},
    "d": {1, 2, 3, 5, 6, *range(8, 14)},
    "e": {*range(1, 6), 7, 8, 9},
}
IDS = {f"{document}{number}" for document, taken in NUMBERS.items() for number in taken}


def rows():
    """The cells of each row: ids of the documents' systems, what, shown by, what came out."""
    lines = PAGE.read_text().splitlines()
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if line[:1] == "|"
    ]
    return [row for row in cells if row[0] != "id" and set(row[0]) != {"-"}]


@cache
def functions(path):
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@cache
def headings(path):
    cells = json.loads(path.read_text())["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return set(re.findall(r"^## (.*)$", text, re.MULTILINE))


def test_every_system_has_its_row():
    assert {name for row in rows() for name in row[0].split(", ") if name} == IDS


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row[0]} {row[1]}"[:40])
def test_what_is_named_exists(row):
    _, _, shown, found = row
    tests = re.findall(r"`(tests/[^`]*)`", shown)
    links = re.findall(r"\[[^]]*\]\(([^)]+)\)(?: \(([^)]+)\))?", shown)
    commands = re.findall(r"`(visattn [^`]*)`", shown)
    assert tests or links or commands, "a claim without anything that shows it"
    assert found
    for test in tests:
        path, _, name = test.partition("::")
        assert name in functions(path), test
    for target, sections in links:
        path = (PAGE.parent / target).resolve()
        assert path.is_file(), target
        for section in filter(None, sections.split("; ")):
            assert section in headings(path), section
    for command in commands:
        words = shlex.split(command)
        assert words[1] in {*COMMANDS, *LIGHTNING}, command
        if "-c" in words:
            assert (ROOT / words[words.index("-c") + 1]).is_file(), command
