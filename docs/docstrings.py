"""Docstrings as the site shows them: formulas drawn, examples and tables as they are typed."""

import re
from textwrap import indent
from typing import Any

import griffe
from latex2mathml.converter import convert

_FORMULA = re.compile(r"^( *)\.\. math:: *(.*(?:\n\1 +\S.*)*)", re.MULTILINE)
_INLINE = re.compile(r":math:`([^`]*)`")
_TABLE = re.compile(
    r"^( *)=+  +=[= ]*\n(?:\1.*\n)+?\1=+  +=[= ]*\n(?:\1.*\n)+?\1=+  +=[= ]*$", re.M
)


def shown(text: str) -> str:
    """A docstring in the words that the site's reader knows."""
    text = re.sub(r"^( *)Example:$", r"\1Examples:", text, flags=re.MULTILINE)
    text = _TABLE.sub(lambda table: f"\n{table[1]}```text\n{table[0]}\n{table[1]}```\n", text)
    text = _FORMULA.sub(_drawn, text)
    return _INLINE.sub(lambda formula: convert(formula[1]), text)


def _drawn(formula: re.Match[str]) -> str:
    latex = " ".join(line.strip() for line in formula[2].splitlines())
    return indent(f"\n{convert(latex, display='block')}\n", formula[1])


class Docstrings(griffe.Extension):
    """Gives each docstring of the API reference that form."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change what was read of one object."""
        if obj.docstring is not None:
            obj.docstring.value = shown(obj.docstring.value)
