"""Trainings that are stopped and resumed; many more: python -m visattn.bench interrupted."""

import subprocess
import sys

import pytest
import torch

CODE = """
import sys
from visattn.bench.interrupted import main
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_stopped_trainings_end_with_the_same_bits(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CODE, "--moments", "3", "--recipes", "mask"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "3 bit-equal at the end" in done.stdout, done.stdout


def test_a_difference_is_found(tmp_path):
    from visattn.bench.interrupted import COMPARED, differences

    whole = {name: {"a": torch.zeros(2), "b": [1, (2, 3)]} for name in COMPARED}
    other = {**whole, "state_dict": {"a": torch.tensor([0.0, 1e-7]), "b": [1, (2, 4)]}}
    for name, state in (("one", whole), ("two", other)):
        torch.save(state, tmp_path / name)
    assert differences(tmp_path / "one", tmp_path / "one") == []
    found = differences(tmp_path / "one", tmp_path / "two")
    assert found == ["state_dict.a", "state_dict.b.1.1"]
