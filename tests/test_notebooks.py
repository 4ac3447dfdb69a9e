"""Every lesson runs as it stands, keeps its promises, and shows what it shows when it runs."""

import runpy
import time
from pathlib import Path

import pytest
import torch
from quick import slow_but

FOLDER = Path(__file__).parent.parent / "notebooks"
HOW = runpy.run_path(str(FOLDER / "execute.py"))
LESSONS = HOW["lessons"]()


def test_there_are_lessons_in_an_order():
    assert len(LESSONS) > 8
    numbers = [int(path.stem.partition("_")[0]) for path in LESSONS]
    assert numbers == list(range(1, 1 + len(LESSONS)))
    index = (FOLDER / "README.md").read_text()
    for path in LESSONS:
        assert f"]({path.name})" in index


@pytest.mark.parametrize(
    "path",
    slow_but(LESSONS, [path for path in LESSONS if path.stem[0] in "238"]),
    ids=lambda path: path.stem,
)
def test_a_lesson_runs_and_shows_what_it_keeps(path):
    """What is claimed stands in the cells as assertions."""
    lesson = HOW["read_lesson"](path)
    cells = HOW["code_cells"](lesson)
    before = torch.random.get_rng_state()
    begun = time.process_time()
    outputs = HOW["run_lesson"](lesson, name=path.name)
    spent = time.process_time() - begun
    torch.random.set_rng_state(before)
    assert HOW["alike"](outputs, [cell["outputs"] for cell in cells]), (
        f"stale outputs: python notebooks/execute.py notebooks/{path.name}"
    )
    assert any("assert" in "".join(cell["source"]) for cell in cells)
    assert spent < 30, spent
    assert path.stat().st_size < 300_000


def test_what_differs_in_more_than_numbers_is_seen():
    def said(text):
        return [[{"name": "stdout", "output_type": "stream", "text": [text]}]]

    assert HOW["alike"](said("loss 0.25 at 10"), said("loss 1e-05 at 9"))
    assert not HOW["alike"](said("loss 0.25"), said("error 0.25"))
    assert not HOW["alike"](said("loss 0.25"), [[]])


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_has_the_badge_of_the_repository_and_installs_itself(path):
    lesson = HOW["read_lesson"](path)
    assert lesson == HOW["with_badge"](lesson, HOW["badge"](path)), "notebooks/execute.py --badges"
    assert "%pip install" in "".join(HOW["code_cells"](lesson)[0]["source"])


def test_a_badge_comes_from_the_address_in_the_project(tmp_path):
    file = tmp_path / "pyproject.toml"
    file.write_text('[project]\nurls = {Repository = "https://github.com/us/visattn"}\n')
    line = HOW["badge"](LESSONS[0], project=file)
    assert line.endswith(
        "(https://colab.research.google.com/github/us/visattn/blob/main/notebooks/"
        "1_query_key_value.ipynb)"
    )
    plain = HOW["read_lesson"](LESSONS[0])
    marked = HOW["with_badge"](plain, line)
    assert marked["cells"][0]["source"][2] == line + "\n"
    assert HOW["with_badge"](marked, line) == marked
    assert HOW["with_badge"](marked, "") == plain
