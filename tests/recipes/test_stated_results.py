"""What a recipe's first lines say to expect is what stands in the results beside it."""

import itertools
import re

import pytest

from visattn.experiments.comparison.page import tables_text
from visattn.experiments.comparison.records import read_records
from visattn.experiments.comparison.summary import summarise_records
from visattn.training.command_line.recipes import find_recipe, recipe_folder, recipe_names

NAMES = [name for name in recipe_names() if name.startswith(("foreground/", "ablation/"))]
COLUMNS = {"BG-gap": "background_gap", "mask IoU": "mask_iou/mixed_rand"}
NUMBER = re.compile(r"(original|(?:mixed|only)_\w+|BG-gap|mask IoU) (-?\d+\.\d+)(?: ± (\d+\.\d+))?")


def sections_of(folder, name="results"):
    return summarise_records(read_records(recipe_folder() / folder / f"{name}.csv"))


def expectation(name):
    """The lines of a recipe that tell of ``results.md``, None if it tells of something else."""
    lines = find_recipe(name).read_text().splitlines()
    comment = itertools.takewhile(lambda line: line.startswith("#"), lines)
    text = "\n".join(line.removeprefix("#").strip() for line in comment)
    _, told, after = text.partition("(results.md):")
    return after.partition("\n\n")[0] if told else None


def test_recipes_tell_of_the_results():
    told = {name for name in NAMES if expectation(name) is not None}
    assert set(NAMES) - told == {"foreground/plain", "foreground/mask"}  # they tell of the demo


@pytest.mark.parametrize("name", [name for name in NAMES if expectation(name) is not None])
def test_what_to_expect_is_what_was_measured(name):
    folder, _, recipe = name.partition("/")
    rows = (row for section in sections_of(folder) for row in section.rows)
    row = next(row for row in rows if row.recipe == recipe)
    stated = NUMBER.findall(expectation(name))
    assert {"original", "mixed_rand"} <= {key for key, *_ in stated}
    for key, mean, spread in stated:
        found = row.measures[COLUMNS.get(key, f"accuracy/{key}")]
        scale = 1 if key == "mask IoU" else 100
        digits = len(mean.partition(".")[2])
        assert float(mean) == float(f"{scale * found.mean:.{digits}f}")
        if found.sd is None:
            assert not spread
        else:
            assert float(spread) == float(f"{scale * found.sd:.{digits}f}")


@pytest.mark.parametrize("folder", ["foreground", "ablation"])
def test_the_tables_of_the_readme_are_those_of_the_results(folder):
    readme = recipe_folder() / folder / "README.md"
    table = readme.read_text().partition("<!-- table -->\n")[2].partition("<!-- end -->")[0]
    assert table.strip() == tables_text(sections_of(folder), folder=readme.parent).strip()


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in (recipe_folder() / "blocks").glob("*.csv"))
)
def test_the_tables_of_the_blocks_are_those_of_the_results(name):
    readme = recipe_folder() / "blocks" / "README.md"
    found = readme.read_text().partition(f"<!-- table {name} -->\n")[2].partition("<!-- end -->")[0]
    expected = tables_text(sections_of("blocks", name), folder=readme.parent)
    assert found.strip() == expected.strip()
