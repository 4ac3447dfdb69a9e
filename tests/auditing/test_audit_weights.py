"""Weights of one's own for a timm model, and files that are something else."""

import pickle

import lightning as L
import pytest
import timm
import torch
from safetensors.torch import save_file

import visattn
from visattn.auditing.classes import read_logits
from visattn.cli import main

FAST = ["--size=32", "--limit=4", "--cases=0", "--adversarial=0", "--noise=0"]


@pytest.fixture(autouse=True)
def _process_as_it_is(monkeypatch):
    monkeypatch.setenv("VISATTN_TUNE_PROCESS", "0")


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(3)
    return timm.create_model("resnet10t", num_classes=3).state_dict()


@pytest.fixture(scope="module")
def files(state, tmp_path_factory):
    """A file of each kind, by name."""
    root = tmp_path_factory.mktemp("files")
    wrapped = {f"module.{name}": value for name, value in state.items()}
    torch.save(state, root / "flat.pth")
    torch.save({"state_dict": wrapped, "epoch": 3}, root / "under.pth")
    torch.save({"model": dict(state), "args": {"lr": 0.1}}, root / "model.pt")
    save_file(state, root / "flat.safetensors")
    torch.save(torch.nn.Linear(2, 2), root / "whole.pt")
    torch.save({"epoch": 3, "best": 0.5}, root / "numbers.pt")
    torch.save([1, 2], root / "list.pt")
    (root / "text.ckpt").write_text("hello")
    (root / "empty.ckpt").write_bytes(b"")
    (root / "text.safetensors").write_text("hello, not a header of safetensors")
    (root / "old.pkl").write_bytes(pickle.dumps({"a": 1}, protocol=2)[:-3])
    trainer = L.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.strategy.connect(Other(words=7))
    trainer.save_checkpoint(root / "other.ckpt")
    return root


class Other(L.LightningModule):
    """No classifier of images."""

    def __init__(self, *, words):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(words, 2)


@pytest.mark.parametrize("name", ["flat.pth", "under.pth", "model.pt", "flat.safetensors"])
def test_weights_are_those_of_the_file(name, files, state, toy):
    network = timm.create_model("resnet10t", num_classes=3)
    network.load_state_dict(state)
    asked = {"size": 32, "limit": 6, "cases": 2, "adversarial": 0, "noise": 0, "progress": False}
    own = visattn.audit(network, toy, **asked)
    found = visattn.audit("resnet10t", toy, weights=files / name, **asked)
    assert [case.probabilities for case in found.cases] == [c.probabilities for c in own.cases]
    assert found.flips == own.flips
    assert found.settings["weights"] == str(files / name)
    assert not any("random" in note for note in found.settings["notes"])


def test_the_command_takes_weights_and_mask_values(files, of_two_values, tmp_path, capsys):
    words = [
        "audit",
        "--model=resnet10t",
        f"--weights={files / 'flat.pth'}",
        f"--data={of_two_values}",
    ]
    words += [f"--out={tmp_path / 'out'}", *FAST]
    assert main(words) == 1
    assert """--mask_values '{"foreground": [1]}'""" in capsys.readouterr().err
    for given in (['--mask_values={"foreground": [1]}'], ["--mask-values.foreground=[1]"]):
        assert main([*words, *given]) == 0
        printed = capsys.readouterr().out
        assert "mixed-rand" in printed
        assert "random" not in printed


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ('{"foregrond": [1]}', "did you mean foreground?"),
        ('{"foreground": 1}', "foreground takes values, such as [1], not 1"),
        ('{"threshold": [1]}', "threshold takes one number, not [1]"),
        ('{"foreground": [300]}', "outside 0 to 255"),
    ],
    ids=["name", "number", "list", "range"],
)
def test_mask_values_that_make_no_sense(given, message, of_two_values, capsys):
    words = ["audit", "--model=resnet10t", f"--data={of_two_values}", f"--mask_values={given}"]
    assert main(words) == 1
    assert message in capsys.readouterr().err


def test_random_weights_are_said_to_be(toy, tmp_path, capsys):
    words = ["audit", "--model=resnet10t", f"--data={toy}", "--flips_only", *FAST]
    assert main([*words, f"--out={tmp_path}"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "The weights are random" in printed
    assert "--pretrained loads timm's weights, --weights FILE your own" in printed


def test_other_answers_have_their_names_and_titles_no_path(toy, tmp_path):
    state = timm.create_model("efficientnet_lite0").state_dict()
    torch.save(state, tmp_path / "lite.pth")
    asked = {"size": 32, "limit": 4, "cases": 4, "adversarial": 0, "noise": 0, "progress": False}
    places = {name: place for place, name in enumerate("abc")}
    asked |= {"weights": tmp_path / "lite.pth", "class_map": places}
    found = visattn.audit("efficientnet_lite0", toy, **asked)
    answers = {answer for case in found.cases for answer in case.answers}
    assert answers
    assert not any(answer.startswith("class ") for answer in answers)
    title = str(found.table().title)
    assert f"efficientnet_lite0 with lite.pth on {toy.name}, test" in title
    assert str(tmp_path) not in title
    assert "fits tf_efficientnet_lite0 as well" in " ".join(found.settings["notes"])


def test_a_wrapped_network_is_audited_equal_bit_for_bit(state, toy):
    network = timm.create_model("resnet10t", num_classes=3)
    network.load_state_dict(state)
    asked = {"size": 32, "limit": 9, "cases": 4, "adversarial": 2, "progress": False}
    before = visattn.audit(network, toy, **asked)
    after = visattn.audit(visattn.wrap(network, "cbam"), toy, **asked)
    assert after.as_dict() == before.as_dict()


def test_two_logits_of_one_name_are_told_apart():
    asked = {"folders": ["ship"], "known": None, "class_map": {"ship": 0}, "flips_only": False}
    names = read_logits(4, **asked, called=["liner", "crane", "crane", "ship"]).names
    assert names == ["ship", "liner", "crane (1)", "crane (2)", "ship (3)"]


MISTAKEN = [
    ("flat.pth", "it holds 86 weights and no description of the network"),
    ("under.pth", "it holds 86 weights and no description of the network"),
    ("flat.safetensors", "it holds 86 weights and no description of the network"),
    ("whole.pt", "holds Python objects, perhaps a whole network"),
    ("old.pkl", "holds Python objects, perhaps a whole network"),
    ("numbers.pt", "it holds no weights, but epoch, best"),
    ("list.pt", "holds no weights by name but list"),
    ("text.ckpt", "is no file that torch.save wrote"),
    ("empty.ckpt", "is no file that torch.save wrote"),
    ("text.safetensors", "is no file of safetensors"),
    ("other.ckpt", "the checkpoint of another LightningModule, with the options words"),
]


@pytest.mark.parametrize(("name", "message"), MISTAKEN, ids=[name for name, _ in MISTAKEN])
def test_a_file_of_another_kind_is_named(name, message, files, toy, tmp_path, capsys):
    assert main(["audit", f"--model={files / name}", f"--data={toy}", f"--out={tmp_path}"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(str(files / name))
    assert message in said


@pytest.mark.parametrize("command", ["overlay", "report", "evaluate-maps"])
def test_other_commands_say_it_too(command, files, toy, tmp_path, capsys):
    path = files / "flat.pth"
    words = {
        "overlay": [str(toy / "test" / "images" / "a" / "00.png"), f"--model={path}"],
        "report": [str(path), f"--data={toy}"],
        "evaluate-maps": [str(path), f"--data={toy}"],
    }
    assert main([command, *words[command], f"--out={tmp_path / 'out'}"]) == 1
    said = capsys.readouterr().err
    assert "no checkpoint that visattn fit wrote (it holds 86 weights" in said
    assert "--model NAME --weights FILE" in said


def test_weights_of_another_network_or_for_no_name(files, toy):
    with pytest.raises(ValueError, match="is of another network"):
        visattn.audit("resnet18", toy, weights=files / "flat.pth", progress=False)
    with pytest.raises(ValueError, match=r"no classifier of mobilenetv3_small_050 \(class"):
        visattn.audit("mobilenetv3_small_050", toy, weights=files / "flat.pth", progress=False)
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at none\.pth"):
        visattn.audit("resnet10t", toy, weights="none.pth", progress=False)
    with pytest.raises(ValueError, match="weights are for the name of a timm model"):
        visattn.audit(torch.nn.Identity(), toy, weights=files / "flat.pth", progress=False)
    with pytest.raises(ValueError, match="pretrained loads timm's"):
        visattn.audit("resnet10t", toy, weights="x.pth", pretrained=True, progress=False)
    with pytest.raises(ValueError, match="has its own"):
        visattn.audit(files / "flat.pth", toy, weights=files / "flat.pth", progress=False)
