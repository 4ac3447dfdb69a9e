"""A sentence that a trained network judges, tags or copies, and the picture of it."""

import pytest
import torch
from PIL import Image

from visattn.cli import main
from visattn.pictures import draw_alignment, draw_highlighted
from visattn.sequence import review_vocabulary
from visattn.tasks import highlight
from visattn.tasks.copying.module import CopyingModule
from visattn.tasks.highlight import highlight_sentence
from visattn.tasks.sentence_words import known_words
from visattn.tasks.sentiment.module import SentimentModule
from visattn.tasks.tagging.module import TaggingModule
from visattn.tasks.translation.module import Translator

WORDS = len(review_vocabulary())
OTHER = "this buri is delicious but that ika is bad"


@pytest.fixture
def kept(tmp_path):
    """Writes a checkpoint of an untrained module."""

    def keep(module):
        path = tmp_path / "last.ckpt"
        saved = {"state_dict": module.state_dict(), "hyper_parameters": dict(module.hparams)}
        torch.save({**saved, "pytorch-lightning_version": "2.0.0"}, path)
        return path

    return keep


@pytest.fixture
def drawn(monkeypatch):
    """What the pictures were drawn of."""
    calls = []

    def spied(function):
        def draw(*args, **options):
            calls.append((*args, options))
            return function(*args, **options)

        return draw

    monkeypatch.setattr(highlight, "draw_highlighted", spied(draw_highlighted))
    monkeypatch.setattr(highlight, "draw_alignment", spied(draw_alignment))
    return calls


def test_a_sentence_is_judged_and_highlighted(kept, drawn, tmp_path):
    torch.manual_seed(0)
    module = SentimentModule(words=WORDS).eval()
    with torch.no_grad():
        module.model.out.bias[1] += 5
    said, path = highlight_sentence(
        "We came by train, and the buri was so fresh.",
        model=kept(module),
        out=tmp_path / "words.png",
    )
    words = ["we", "came", "by", "train", "and", "the", "buri", "was", "so", "fresh"]
    numbers = torch.tensor([review_vocabulary().numbers(words)])
    found = module.model(numbers, torch.tensor([10]))
    assert said == f"kind, p = {found.logits.softmax(1)[0, 1]:.3f}"
    ((shown, weights, options),) = drawn
    assert shown == words
    assert torch.equal(weights, found.weights[0])
    assert options == {"title": said}
    with Image.open(path) as picture:
        assert picture.width > picture.height


def test_nouns_are_tagged_and_each_has_a_row(kept, drawn, tmp_path):
    torch.manual_seed(0)
    module = TaggingModule(words=WORDS, tags=3).eval()
    with torch.no_grad():
        module.model.out[-1].bias[2] += 5
    said, _ = highlight_sentence(OTHER, model=kept(module), out=tmp_path / "map.png")
    words = OTHER.split()
    found = module.model(torch.tensor([review_vocabulary().numbers(words)]), torch.tensor([9]))
    p = found.logits.softmax(-1)[0, :, 2]
    assert said == f"buri: bad (p = {p[1]:.3f}), ika: bad (p = {p[6]:.3f})"
    ((weights, source, target, _),) = drawn
    assert (source, target) == (words, ["buri: bad", "ika: bad"])
    assert torch.equal(weights, found.weights[0, [1, 6]])


def test_a_copy_and_where_its_symbols_look(kept, drawn, tmp_path):
    torch.manual_seed(0)
    module = CopyingModule("attention", length=4, symbols=3).eval()
    said, _ = highlight_sentence("3 1 1 2", model=kept(module), out=tmp_path / "map.png")
    logits = module.model(torch.tensor([[3, 1, 1, 2, 0, 0, 0, 0]]))
    copy = [str(symbol) for symbol in logits[0].argmax(-1).tolist()]
    assert said == f"{' '.join(copy)} (p at least {logits.softmax(-1).max(-1).values.min():.3f})"
    ((weights, source, target, _),) = drawn
    assert (source, target) == (["3", "1", "1", "2"], copy)
    assert weights.shape == (4, 4)
    assert 0 < weights.min() < weights.sum(-1).max() <= 1 + 1e-6
    with pytest.raises(ValueError, match="copies 4 symbols, the sentence has 2"):
        highlight_sentence("3 1", model=kept(module))
    with pytest.raises(KeyError, match="unknown word '4'; there are 3: 1, 2, 3"):
        highlight_sentence("3 1 4 1", model=kept(module))
    plain = kept(CopyingModule("recurrence", length=4, symbols=3))
    assert highlight_sentence("3 1 1 2", model=plain)[1] is None
    with pytest.raises(ValueError, match="no attention to draw"):
        highlight_sentence("3 1 1 2", model=plain, out=tmp_path / "none.png")


def test_the_command(kept, capsys, tmp_path):
    model = kept(SentimentModule(False, words=WORDS))
    asked = ["highlight", "the buri was fresh", f"--model={model}"]
    assert main(asked) == 0
    assert " p = 0." in capsys.readouterr().out
    assert main([*asked, f"--out={tmp_path / 'none.png'}"]) == 1
    assert "no attention to draw; leave out the picture" in capsys.readouterr().err
    model = kept(TaggingModule(words=WORDS, tags=3))
    picture = tmp_path / "new" / "map.png"
    assert main(["highlight", OTHER, f"--model={model}", f"--out={picture}"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(picture)
    assert picture.stat().st_size > 1000
    assert main(["highlight", "the buri was fesh", f"--model={model}"]) == 1
    assert "unknown word 'fesh'; did you mean fresh?" in capsys.readouterr().err
    assert main(["highlight", "we came by train", f"--model={model}"]) == 1
    assert "no noun; expected one of buri, maguro" in capsys.readouterr().err


def test_what_is_no_checkpoint_of_these(kept, capsys, tmp_path):
    model = kept(Translator(source_words=9, target_words=8, hidden=16))
    assert main(["highlight", "so fresh", f"--model={model}"]) == 1
    error = capsys.readouterr().err
    assert "is of the task translation; expected a checkpoint that visattn fit -c sentiment/" in (
        error
    )
    page = tmp_path / "README.md"
    page.write_text("# A page")
    assert main(["highlight", "so fresh", f"--model={page}"]) == 1
    assert "README.md is no checkpoint of visattn's" in capsys.readouterr().err
    torch.save({"weight": torch.zeros(2)}, page)
    assert main(["highlight", "so fresh", f"--model={page}"]) == 1
    assert "README.md is no checkpoint of visattn's" in capsys.readouterr().err
    assert main(["highlight", "so fresh", "--model=no.ckpt"]) == 1
    assert "no checkpoint at no.ckpt; visattn fit -c sentiment/" in capsys.readouterr().err


def test_a_sentence_is_read_as_it_is_typed():
    vocabulary = review_vocabulary()
    assert known_words("This BURI, is bad!", vocabulary=vocabulary) == ["this", "buri", "is", "bad"]
    for nothing in ("", " ?"):
        with pytest.raises(ValueError, match="the sentence has no word"):
            known_words(nothing, vocabulary=vocabulary)
