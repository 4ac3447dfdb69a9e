"""What `visattn translate` says of sentences as people type them, and of what it cannot read."""

import pytest
import torch

from visattn.cli import main
from visattn.sequence import clause_vocabularies
from visattn.tasks.tagging.module import TaggingModule
from visattn.tasks.translation import translate
from visattn.tasks.translation.module import Translator


@pytest.fixture
def model(tmp_path):
    """A checkpoint of an untrained translator, which says nothing."""
    source, target = clause_vocabularies()
    module = Translator(source_words=len(source), target_words=len(target), hidden=16, embedding=8)
    with torch.no_grad():
        module.model.decoder.out.bias[2] += 100
    return keep(module, tmp_path / "translator.ckpt")


def keep(module, path):
    saved = {"state_dict": module.state_dict(), "hyper_parameters": dict(module.hparams)}
    torch.save({**saved, "pytorch-lightning_version": "2.0.0"}, path)
    return path


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("I love you.", ["I", "love", "you", "."]),
        ("i love You", ["I", "love", "you", "."]),
        ("The cat see a dog?", ["the", "cat", "see", "a", "dog", "?"]),
        ("good morning, but I see a dog!", ["good", "morning", "but", "I", "see", "a", "dog", "."]),
    ],
)
def test_signs_and_capitals(sentence, words, model, monkeypatch):
    read = []
    vocabularies = clause_vocabularies()

    class Listening:
        def __getattr__(self, name):
            return getattr(vocabularies[0], name)

        def __len__(self):
            return len(vocabularies[0])

        def numbers(self, given):
            read.append(list(given))
            return vocabularies[0].numbers(given)

    monkeypatch.setattr(translate, "clause_vocabularies", lambda: (Listening(), vocabularies[1]))
    assert translate.translate_sentence(sentence, model=model) == ("", None)
    assert read == [words]


def test_nothing_said_is_nothing_to_draw(model, tmp_path, capsys):
    picture = tmp_path / "none.png"
    assert main(["translate", "I love you", f"--model={model}", f"--out={picture}"]) == 1
    assert "said nothing, so there is nothing to draw" in capsys.readouterr().err
    assert not picture.exists()


def test_the_nearest_words_are_named(model, capsys):
    assert main(["translate", "I lov you", f"--model={model}"]) == 1
    error = capsys.readouterr().err
    assert error.split("; ")[1].startswith("did you mean love")
    assert "morning" not in error
    assert main(["translate", "I love xyzzy", f"--model={model}"]) == 1
    assert "; there are 44: I, you, we" in " ".join(capsys.readouterr().err.split())
    assert main(["translate", " ", f"--model={model}"]) == 1
    assert "the sentence has no word" in capsys.readouterr().err


@pytest.mark.parametrize("attention", ["encoder_dot", "encoder_qkv"])
def test_encoders_alone_refuse_teacher_forcing(attention):
    with pytest.raises(ValueError, match=f"forcing=0.5 has no effect on {attention}"):
        Translator(attention, source_words=9, target_words=8, hidden=16, forcing=0.5)
    assert Translator("dot", source_words=9, target_words=8, hidden=16, forcing=0.5).forcing == 0.5


def test_a_file_that_is_none_of_a_translator(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("# A page")
    assert main(["translate", "I love you", f"--model={page}"]) == 1
    wanted = "page.md is no checkpoint of visattn's; expected one that visattn fit -c translation/"
    assert wanted in capsys.readouterr().err
    model = keep(TaggingModule(words=20, tags=3), tmp_path / "tagger.ckpt")
    for command in (["translate", "I love you"], ["caption"]):
        assert main([*command, f"--model={model}"]) == 1
        assert "is of the task tagging; expected" in capsys.readouterr().err
