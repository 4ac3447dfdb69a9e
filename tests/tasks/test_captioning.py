"""Captioners, trained from the command line."""

import itertools
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from visattn.attention import Weights
from visattn.cli import main
from visattn.data.generated.sushi import KINDS
from visattn.sequence import PAD, Captioner
from visattn.tasks.captioning.data import CaptionData
from visattn.tasks.captioning.features import map_features
from visattn.tasks.captioning.module import CaptionerModule, pointing
from visattn.training.command_line.recipes import find_recipe, recipe_folder, recipe_names

RECIPES = [name for name in recipe_names() if name.startswith("captioning/")]
SHORT = (
    "--data.size=32",
    "--data.train=16",
    "--data.val=4",
    "--data.test=4",
    "--data.pieces=1",
    "--data.batch_size=4",
    "--trainer.max_epochs=1",
)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_begins_with_command_time_and_result(name):
    lines = find_recipe(name).read_text().splitlines()
    comment = "\n".join(itertools.takewhile(lambda line: line.startswith("#"), lines))
    assert f"visattn fit  -c recipes/{name}.yaml" in comment
    assert f"visattn test -c recipes/{name}.yaml" in comment
    for word in ("two cores", "To expect"):
        assert word in comment
    readme = (recipe_folder() / "captioning" / "README.md").read_text()
    assert f"]({name.rpartition('/')[2]}.yaml)" in readme


@pytest.mark.parametrize("name", ["captioning/soft", "captioning/hard"])
def test_fit_and_test(name, tmp_path):
    words = ["-c", name, f"--runs={tmp_path}", *SHORT]
    assert main(["fit", *words]) == 0
    assert main(["test", *words]) == 0
    (path,) = tmp_path.glob("*/version_0/test.json")
    (measured,) = json.loads(path.read_text())["splits"].values()
    assert set(measured) == {"exact", "pointing", "other"}


def test_a_picture_is_captioned_and_drawn(tmp_path, capsys):
    assert main(["fit", "-c", "captioning/soft", f"--runs={tmp_path}", *SHORT]) == 0
    model = tmp_path / "captioning_soft" / "version_0" / "checkpoints" / "last.ckpt"
    trained = torch.load(model, weights_only=False)
    trained["state_dict"]["model.decoder.out.bias"][[0, 2]] = -100.0  # some words in any case
    torch.save(trained, model)
    asked = ["caption", f"--model={model}", "--size=32"]
    picture = tmp_path / "buri.png"
    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(picture)
    for out, given in (("strip.png", []), ("words.gif", [f"--picture={picture}"])):
        capsys.readouterr()
        assert main([*asked, *given, f"--out={tmp_path / out}"]) == 0
        said, written = capsys.readouterr().out.splitlines()
        assert len(said.split()) == 7
        assert written == str(tmp_path / out)
        with Image.open(written) as opened:
            assert getattr(opened, "n_frames", 1) == (7 if out.endswith("gif") else 1)
    assert main([*asked[:1], "--model=no.ckpt"]) == 1
    assert "no checkpoint at no.ckpt" in capsys.readouterr().err


def test_captions_say_what_is_in_the_picture():
    data = CaptionData(size=32, train=12, val=2, test=2, pieces=1)
    scene = data.test_dataloader().dataset[0]
    words = data.vocabulary.words(scene["target"])
    assert words[0] == KINDS[scene["kinds"][0]]
    assert words[-1] == KINDS[scene["kinds"][1]]
    assert words[1:-1] in (("left", "of"), ("above",))
    (batch,) = data.val_dataloader()
    assert batch["image"].shape == (2, 3, 32, 32)
    assert -1 <= batch["image"].min() < 0 < batch["image"].max() <= 1
    assert batch["mattes"].dtype == torch.bool


def test_pointing_reads_the_words_of_the_dishes():
    """The first dish in the upper left quarter, the second in the lower right one."""
    mattes = torch.zeros(3, 2, 16, 16, dtype=torch.bool)
    mattes[:, 0, 1:5, 1:5] = True
    mattes[:, 1, 9:13, 9:13] = True
    target = torch.tensor([[3, 11, 12, 4, 2], [3, 13, 4, 2, 0], [3, 13, 4, 2, 0]])
    weights = torch.zeros(3, 5, 16)  # 4 x 4 places of 4 pixels; middles at 2, 6, 10, 14
    first, second, right = 0, 2 * 4 + 2, 3
    weights[0, 0, first] = weights[0, 3, second] = 1
    weights[1, 0, second] = weights[1, 2, first] = 1
    weights[2, 0, 1 * 4 + 1] = weights[2, 2, right] = 1  # 2 pixels away counts, 10 do not
    own, other = pointing(weights, target, mattes, size=(4, 4))
    assert own.tolist() == [[True, True], [False, False], [True, False]]
    assert other.tolist() == [[False, False], [True, True], [False, False]]


def test_rewards_alone_train_the_places_of_hard_attention():
    torch.manual_seed(1)
    batch = next(iter(CaptionData(size=32, train=8, pieces=1, batch_size=8).train_dataloader()))
    for hard in (False, True):
        model = CaptionerModule(hard, words=14, hidden=16, expected=0.0, reinforce=1.0)
        model.log = lambda *args, **kwargs: None
        model.training_step(batch, 0).backward()
        query = model.model.decoder.attention.score.query.weight
        assert query.grad.abs().sum() > 0
        assert bool((model.baseline != 0).any()) == hard
        model.zero_grad()
        model.reinforce = 0.0
        model.training_step(batch, 0).backward()
        assert (query.grad is not None and bool(query.grad.abs().sum() > 0)) != hard


class Chosen(nn.Module):
    """A normaliser that goes to given places, one a step, and keeps their log-probabilities."""

    def __init__(self, places):
        super().__init__()
        self.places = iter(places)
        self.drawn = []

    def forward(self, scores, mask):
        place = next(self.places)
        weights = torch.zeros_like(scores)
        weights[..., place] = 1
        self.drawn.append(scores.log_softmax(-1)[..., place])
        return Weights(weights, self.drawn[-1])


def hard_captioner():
    """A hard captioner of 2 x 2 places and a caption of two words, one place of padding after it.

    With them the gradient of the expected loss, from all ways to choose two places.
    """
    torch.manual_seed(0)
    module = CaptionerModule(True, words=6, hidden=4, expected=0.0, reinforce=1.0)
    module.model = Captioner(
        nn.Conv2d(3, 4, 2, stride=2),
        channels=4,
        words=6,
        hard=True,
        expected=0.0,
        embedding=3,
        hidden=4,
    )
    module.double().log = lambda *args, **kwargs: None
    parameters = list(module.model.parameters())
    with torch.no_grad():
        for parameter in parameters:
            parameter.normal_(0, 0.8)
    batch = {"image": torch.randn(1, 3, 4, 4).double(), "target": torch.tensor([[3, 2, PAD]])}
    attention = module.model.decoder.attention
    sampled, expected = attention.normaliser, 0.0
    for places in itertools.product(range(4), repeat=2):
        attention.normaliser = chosen = Chosen([*places, 0])
        logits = module.model(batch["image"], batch["target"]).logits
        loss = F.cross_entropy(logits[0, :2], batch["target"][0, :2])
        expected = expected + sum(chosen.drawn[:2]).exp().squeeze() * loss
    attention.normaliser = sampled
    return module, batch, flat(torch.autograd.grad(expected, parameters))


def flat(tensors):
    return torch.cat([tensor.flatten() for tensor in tensors])


@pytest.mark.parametrize("baseline", [0.0, 1.5])
def test_the_gradient_of_hard_captions_over_all_places(baseline):
    """REINFORCE, each choice of places weighed by its probability, is the expected loss's."""
    module, batch, exact = hard_captioner()
    found = 0.0
    for places in itertools.product(range(4), repeat=2):
        module.baseline.fill_(baseline)
        module.model.decoder.attention.normaliser = chosen = Chosen([*places, 0])
        loss = module.training_step(batch, 0)
        share = sum(chosen.drawn[:2]).exp().squeeze().detach()
        found = found + share * flat(torch.autograd.grad(loss, list(module.model.parameters())))
    torch.testing.assert_close(found, exact, atol=1e-12, rtol=1e-9)


def test_the_gradient_of_hard_captions_is_unbiased():
    """Its mean over sampled places lies within five standard errors of the expected loss's."""
    module, batch, exact = hard_captioner()
    many = {name: value.expand(400, *value.shape[1:]) for name, value in batch.items()}
    parameters = list(module.model.parameters())
    sampled = torch.stack(
        [flat(torch.autograd.grad(module.training_step(many, 0), parameters)) for _ in range(30)]
    )
    error = sampled.std(0) / len(sampled) ** 0.5
    assert ((sampled.mean(0) - exact).abs() <= 5 * error + 1e-12).all()


def test_a_reduction_that_a_backbone_has_not():
    with pytest.raises(ValueError, match=r"not at reduction=3"):
        map_features("resnet10t", reduction=3)
    assert map_features("resnet10t", reduction=8)[1] == 128
