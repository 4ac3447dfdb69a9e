"""The tests of several runs in one table."""

import json

import pytest

from visattn.cli import main
from visattn.training.spread import read_tests, spread_table


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
