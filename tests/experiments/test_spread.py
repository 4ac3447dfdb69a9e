"""The tests of several runs in one table."""

import json

import pytest

from visattn.cli import main
from visattn.experiments.markdown import fill_readme
from visattn.experiments.spread import column_table, read_tests, spread_table


@pytest.fixture
def runs(tmp_path):
    """Three tested runs of one name and an untested one, one run of another."""
    for name, version, splits in (
        ("dot", 0, {"test_1": {"exact": 1.0}, "test_5": {"exact": 0.9, "alignment": 0.5}}),
        ("dot", 2, {"test_1": {"exact": 1.0}, "test_5": {"exact": 0.8}}),
        ("dot", 10, {"test_1": {"exact": 0.7}, "test_5": {"exact": 0.7}}),
        ("mask", 0, {"rand": {"accuracy": {"value": 0.25, "low": 0.1}, "none": None}}),
    ):
        folder = tmp_path / name / f"version_{version}"
        folder.mkdir(parents=True)
        (folder / "test.json").write_text(json.dumps({"splits": splits}))
    (tmp_path / "dot" / "version_1").mkdir()
    return tmp_path


def test_numbers_of_every_tested_run(runs):
    assert read_tests(runs, name="dot") == {
        "test_1": {"exact": [1.0, 1.0, 0.7]},
        "test_5": {"exact": [0.9, 0.8, 0.7], "alignment": [0.5]},
    }
    assert read_tests(runs, name="mask") == {"rand": {"accuracy": [0.25]}}
    with pytest.raises(FileNotFoundError, match="did you mean dot"):
        read_tests(runs, name="dott")
    (runs / "qkv" / "version_0").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="qkv has no tested run; test it first") as error:
        read_tests(runs, name="qkv")
    assert "did you mean" not in str(error.value)


def test_mean_and_sample_deviation(runs):
    table = spread_table({"dot": read_tests(runs, name="dot")}, splits=["test_5"])
    cells = {column.header: list(column.cells) for column in table.columns}
    assert cells == {
        "name": ["dot"],
        "split": ["test_5"],
        "runs": ["3"],
        "exact": ["0.800 ± 0.100"],
        "alignment": ["0.500"],
    }


def test_the_command(runs, capsys):
    assert main(["spread", "[dot, mask]", f"--runs={runs}"]) == 0
    assert "0.800 ± 0.100" in capsys.readouterr().out
    assert main(["spread", "[dot]", f"--runs={runs}", "--splits=[test_6]"]) == 1
    assert "no split 'test_6'; did you mean test_5" in capsys.readouterr().err


def test_columns_in_a_readme(runs, capsys):
    folder = runs / "dot_folder"
    folder.mkdir()
    readme = folder / "README.md"
    readme.write_text("# Dots\n\n<!-- table -->\nold\n<!-- end -->\n\nmore\n")
    (folder / "dot.yaml").touch()
    words = ["spread", "[dot, mask]", f"--runs={runs}", f"--readme={readme}"]
    columns = "--columns=[exact/test_5, alignment/test_5, accuracy/rand]"
    assert main([*words, columns]) == 0
    assert "0.800 ± 0.100" in capsys.readouterr().out
    assert readme.read_text() == (
        "# Dots\n\n<!-- table -->\n"
        "| recipe | seeds | exact, test 5 | alignment, test 5 | accuracy, rand |\n"
        "| --- | ---: | ---: | ---: | ---: |\n"
        "| [dot](dot.yaml) | 3 | 0.800 ± 0.100 | 0.500 |  |\n"
        "| mask | 1 |  |  | 0.250 |\n"
        "<!-- end -->\n\nmore\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--columns=[exat/test_5]"], "no measure 'exat/test_5'; did you mean exact/test_5"),
        (["--columns=[exact/test_5]", "--splits=[test_5]"], "give splits or columns, not both"),
        (["--readme=README.md"], "needs its columns"),
        (["--columns=[exact/test_5]", "--readme=none.md"], "no file none.md"),
    ],
)
def test_columns_that_cannot_be(runs, capsys, words, message):
    assert main(["spread", "[dot]", f"--runs={runs}", *words]) == 1
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_count_has_no_digits_behind_the_point():
    tests = {"near": {"test": {"path": [1.0, 1.0]}}, "far": {"test": {"path": [20.0]}}}
    table = column_table(tests, columns=["path/test"])
    assert list(table.columns[2].cells) == ["1", "20"]
    tests["near"]["test"]["path"] = [1.0, 1.5]
    table = column_table(tests, columns=["path/test"])
    assert list(table.columns[2].cells) == ["1.250 ± 0.354", "20.000"]


@pytest.mark.parametrize(
    "text", ["# No place\n", "<!-- table -->\n", "<!-- end -->\n<!-- table -->\n"]
)
def test_a_readme_without_a_place_stays_as_it_is(tmp_path, text):
    readme = tmp_path / "README.md"
    readme.write_text(text)
    with pytest.raises(ValueError, match="must have one line"):
        fill_readme(readme, "new")
    assert readme.read_text() == text


def test_a_readme_may_have_several_tables(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("".join(f"<!-- table {name} -->\nold\n<!-- end -->\n" for name in "ab"))
    fill_readme(readme, "new", name="b")
    assert readme.read_text() == (
        "<!-- table a -->\nold\n<!-- end -->\n<!-- table b -->\nnew\n<!-- end -->\n"
    )
    with pytest.raises(ValueError, match="<!-- table c --> of several"):
        fill_readme(readme, "new", name="c")
