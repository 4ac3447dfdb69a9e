"""The tables of docs/names.md: all names of timm, most of the collection, what is here."""

import inspect
import re
from pathlib import Path

import pytest
from timm.layers.create_attn import create_attn, get_attn

from visattn.blocks import block_entry, block_names

PAGE = Path(__file__).parents[2] / "docs" / "names.md"


def rows(name):
    """The cells of a table of the page."""
    text = PAGE.read_text().partition(f"<!-- {name} -->")[2].partition("<!-- end -->")[0]
    lines = [line for line in text.strip().splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


TIMM = {theirs: (ours, remark) for theirs, ours, remark in rows("timm")}


@pytest.mark.parametrize("name", ["timm", "collection"])
def test_what_is_named_is_there_and_what_is_missing_has_its_reason(name):
    for theirs, ours, remark in rows(name):
        assert ours.strip("`") in block_names() or (ours == "–" and len(remark) > 20), theirs


def test_all_names_of_timm():
    known = re.findall(r"attn_type == '(\w+)'", inspect.getsource(get_attn))
    assert sorted(TIMM) == sorted(known)


def test_nine_tenths_of_the_collection():
    found = rows("collection")
    have = sum(ours != "–" for _, ours, _ in found)
    assert have >= 0.9 * len(found)
    assert f"Of the {len(found)} that take a map" in PAGE.read_text()
    assert f"{have} have a block here" in " ".join(PAGE.read_text().split())


@pytest.mark.parametrize(
    "name",
    [name for name, (ours, said) in TIMM.items() if ours != "–" and (not said or said[0] == "`")],
)
def test_the_same_options_give_as_many_weights(name):
    ours, said = TIMM[name]
    options = eval(f"dict({said.strip('`')})")
    block = block_entry(ours.strip("`")).factory(64, **options)
    expected = sum(parameter.numel() for parameter in create_attn(name, 64).parameters())
    assert sum(parameter.numel() for parameter in block.parameters()) == expected
