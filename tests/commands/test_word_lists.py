"""Words of a command that takes many things and passes options on."""

import pytest
from jsonargparse import ArgumentError

from visattn.cli import main
from visattn.commands.trainings import gather_comparison, gather_smiles, gather_spread


def test_things_and_options_are_gathered_wherever_they_stand():
    words = ["a.yaml", "--seeds", "3", "--data.rho", "1.0", "b.yaml", "--tables-only", "--jobs=2"]
    words += ["--data.variants", "[original, only_bg]", "--data=FolderData", "--skip", "x"]
    assert gather_comparison(words) == [
        *("--seeds", "3", "--tables-only", "--jobs=2", "--skip", "x"),
        '--recipes=["a.yaml", "b.yaml"]',
        '--options=["--data.rho=1.0", "--data.variants=[original, only_bg]", "--data=FolderData"]',
    ]


def test_a_flag_takes_no_word_with_it():
    for flag in ("--same-code", "--same_code", "--tables-only"):
        assert gather_comparison([flag, "a.yaml"]) == [flag, '--recipes=["a.yaml"]']


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.yaml", "--seed", "3"], "unknown option --seed; did you mean --seeds"),
        (["--seed_everything", "3"], "Passed on to the runs are --trainer"),
        (["--data.rho"], "--data.rho needs a value"),
        (["--data.rho", "--jobs", "2"], "--data.rho needs a value"),
    ],
)
def test_what_cannot_be_gathered_is_an_error(words, message):
    with pytest.raises(ArgumentError, match=message):
        gather_comparison(words)


def test_mistakes_are_told_in_a_sentence(capsys):
    assert main(["compare", "--seed", "3"]) == 2
    assert "did you mean --seeds" in capsys.readouterr().err
    assert main(["compare"]) == 1
    assert "name the recipes" in capsys.readouterr().err


@pytest.mark.parametrize("gather", [gather_spread, gather_smiles])
def test_names_are_words_or_one_list(gather):
    words = ["a", "b", "--runs", "[odd]"]
    assert gather(words) == ['["a", "b"]', "--runs", "[odd]"]
    for words in (["[a, b]", "--runs", "there"], ["--runs", "there", "[a, b]"]):
        assert gather(words) == words
    assert gather(["-h"]) == ["-h"]
