"""Docstrings as the site shows them: formulas and tables drawn, examples as typed."""

import re
from textwrap import indent
from typing import Any

import griffe
from latex2mathml.converter import convert

_FORMULA = re.compile(r"^( *)\.\. math:: *(.*(?:\n\1 +\S.*)*)", re.MULTILINE)
_INLINE = re.compile(r":math:`([^`]*)`")
_TABLE = re.compile(
    r"^( *)(=+(?:  +=+)+)\n((?:\1.+\n)+?)\1\2(?:\n((?:\1.+\n)+?)\1\2)?$", re.MULTILINE
)


def shown(text: str) -> str:
    """A docstring in the words that the site's reader knows."""
    text = re.sub(r"^( *)Example:$", r"\1Examples:", text, flags=re.MULTILINE)
    text = _TABLE.sub(_ruled, text)
    text = _FORMULA.sub(_drawn, text)
    return _INLINE.sub(lambda formula: convert(formula[1]), text)


def _drawn(formula: re.Match[str]) -> str:
    latex = " ".join(line.strip() for line in formula[2].splitlines())
    return indent(f"\n{convert(latex, display='block')}\n", formula[1])


def _ruled(table: re.Match[str]) -> str:
    """A table between rules of ``=``: a row without a first cell goes on with the one before."""
    margin, rule, first, second = table.groups()
    starts = [column.start() for column in re.finditer("=+", rule)]
    ends = [*starts[1:], None]

    def rows(lines: str) -> list[list[str]]:
        found: list[list[str]] = []
        for line in lines.replace("|", r"\|").splitlines():
            line = line.removeprefix(margin)
            cells = [line[a:b].strip() for a, b in zip(starts, ends, strict=True)]
            if cells[0] or not found:
                found.append(["" if cell == "\\" else cell for cell in cells])
            else:
                found[-1] = [f"{a} {b}".strip() for a, b in zip(found[-1], cells, strict=True)]
        return found

    head = rows(first)[0] if second else [""] * len(starts)
    body = [head, ["---"] * len(starts), *rows(second or first)]
    return "\n" + "".join(f"{margin}| {' | '.join(row)} |\n" for row in body)


class Docstrings(griffe.Extension):
    """Gives each docstring of the API reference that form."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change what was read of one object."""
        if obj.docstring is not None:
            obj.docstring.value = shown(obj.docstring.value)
