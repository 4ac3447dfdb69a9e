"""Sharing and fetching: as it was to the bit, or refused with the reason."""

import json
import shutil
import warnings
from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
import torchvision
from huggingface_hub import errors
from safetensors.torch import load_file, save_file

import visattn
from visattn.networks.backbone import build_with_weights
from visattn.networks.loading import load_classifier
from visattn.networks.shared_files import digest_of
from visattn.testing import enliven

SIZE = (3, 32, 32)


def network(block="cbam", **options):
    plain = timm.create_model("resnet10t", num_classes=5)
    return enliven(visattn.wrap(plain, block, **options), seed=1).eval()


@pytest.fixture(scope="module")
def model():
    return network(reduction=8)


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    return visattn.save_pretrained(
        model,
        folder,
        input_size=SIZE,
        data={"class_names": ["a", "b", "c", "d", "e"]},
        results={"accuracy": 0.91},
        command="visattn fit -c foreground/mask",
    )


@pytest.fixture
def folder(saved, tmp_path):
    return Path(shutil.copytree(saved, tmp_path / "folder"))


@pytest.fixture
def images():
    return torch.randn(2, *SIZE)


def edited(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    return folder


def with_weights(folder, state):
    save_file(state, folder / "model.safetensors")
    return edited(folder, sha256={"model.safetensors": digest_of(folder / "model.safetensors")})


def test_it_comes_back_to_the_bit(model, saved, images):
    again = visattn.from_pretrained(saved)
    assert torch.equal(again(images), model(images))
    assert not again.training
    assert again.data_facts["class_names"] == ["a", "b", "c", "d", "e"]
    with visattn.record(again) as maps, visattn.record(model) as wanted:
        again(images), model(images)
    assert list(maps) == list(wanted)
    assert sorted(path.name for path in saved.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    card = (saved / "README.md").read_text()
    for said in ("library_name: visattn", "| accuracy | 0.91 |", "visattn fit -c foreground/mask"):
        assert said in card
    assert "| cbam | layer1.0, layer2.0, layer3.0, layer4.0 | identity | reduction=8 |" in card


@pytest.mark.parametrize(
    "make",
    [
        lambda: network("aa", init="paper", input_size=SIZE),
        lambda: visattn.wrap(network("se"), "gc", at="stage"),
        lambda: visattn.wrap(visattn.wrap(network("se"), "se", stack=True), "spatial_mask"),
        lambda: network().to(torch.bfloat16),
    ],
    ids=["instead", "around others", "stacked, on the image", "half"],
)
def test_any_standing_and_its_plain_network_come_back(make, tmp_path):
    model = make().eval()
    again = visattn.from_pretrained(visattn.save_pretrained(model, tmp_path, input_size=SIZE))
    kind = next(model.parameters()).dtype
    images = torch.randn(1, *SIZE, dtype=kind)
    assert torch.equal(again(images), model(images))
    assert list(again.state_dict()) == list(model.state_dict())
    assert torch.equal(visattn.unwrap(again)(images), visattn.unwrap(model)(images))


def test_torchvision_by_its_name(tmp_path):
    model = enliven(visattn.wrap(torchvision.models.squeezenet1_1(num_classes=3), "se")).eval()
    with pytest.raises(ValueError, match=r"SqueezeNet doesn't say .* give backbone="):
        visattn.save_pretrained(model, tmp_path)
    name = "torchvision.models.squeezenet1_1"
    again = visattn.from_pretrained(
        visattn.save_pretrained(model, tmp_path, backbone=name, input_size=(3, 64, 64))
    )
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(again(images), model(images))


def test_modules_that_ask_for_their_version_come_back(tmp_path):
    model = enliven(visattn.wrap(torchvision.models.mnasnet0_5(num_classes=3), "se")).eval()
    options = {"backbone": "torchvision.models.mnasnet0_5", "input_size": (3, 64, 64)}
    again = visattn.from_pretrained(visattn.save_pretrained(model, tmp_path, **options))
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(again(images), model(images))
    visattn.unwrap(model)
    torch.save(dict(model.state_dict()), tmp_path / "own.pth")
    read, _ = build_with_weights(options["backbone"], tmp_path / "own.pth")
    assert torch.equal(read.eval()(images), model(images))


def test_a_network_that_would_come_back_otherwise_is_refused(tmp_path):
    model = timm.create_model("resnet10t", num_classes=5, act_layer="silu").eval()
    visattn.wrap(model, "se")
    with pytest.raises(ValueError, match=r"outputs that differ by .*backbone_options"):
        visattn.save_pretrained(model, tmp_path, input_size=SIZE)
    assert not list(tmp_path.iterdir())
    told = {"act_layer": "silu"}
    visattn.save_pretrained(model, tmp_path, input_size=SIZE, backbone_options=told)
    visattn.wrap(model, lambda channels: torch.nn.Conv2d(channels, channels, 1), at="stem")
    with pytest.raises(ValueError, match=r"'stem' has no name by which .*register_block"):
        visattn.save_pretrained(model, tmp_path, input_size=SIZE)


def test_what_drops_in_training_alone_is_not_lost(tmp_path):
    dropping = {"drop_rate": 0.4, "drop_path_rate": 0.3}
    model = visattn.wrap(timm.create_model("resnet10t", num_classes=5, **dropping), "se")
    with pytest.raises(ValueError, match="drops other shares in training"):
        visattn.save_pretrained(model, tmp_path / "a", input_size=SIZE)
    assert not (tmp_path / "a" / "config.json").exists()
    saved = visattn.save_pretrained(
        model, tmp_path / "b", input_size=SIZE, backbone_options=dropping
    )
    assert visattn.from_pretrained(saved).drop_rate == 0.4


def test_a_network_without_a_classifier_shares_its_attention(tmp_path):
    model = visattn.wrap(timm.create_model("resnet10t", num_classes=0), "se")
    with pytest.raises(ValueError, match="has no classifier"):
        visattn.save_pretrained(model, tmp_path / "a", input_size=SIZE)
    saved = visattn.save_pretrained(model, tmp_path / "b", input_size=SIZE, attention_only=True)
    with pytest.warns(UserWarning, match="other values"):
        again = visattn.from_pretrained(saved, model=timm.create_model("resnet10t", num_classes=0))
    assert visattn.attention_parameters(again)


def test_a_description_that_an_editor_saved_with_a_mark(folder):
    config = folder / "config.json"
    config.write_bytes(b"\xef\xbb\xbf" + config.read_bytes().replace(b"\n", b"\r\n"))
    visattn.from_pretrained(folder)


def test_attention_alone_goes_into_its_backbone_and_says_when_it_is_another(
    model, tmp_path, images
):
    visattn.save_pretrained(model, tmp_path, attention_only=True, input_size=SIZE)
    plain = timm.create_model("resnet10t", num_classes=5).eval()
    plain.load_state_dict(visattn.backbone_state_dict(model))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert visattn.from_pretrained(tmp_path, model=plain) is plain
    assert torch.equal(plain(images), model(images))
    with pytest.warns(UserWarning, match=r"of \d+ tensors of this network, first 'conv1.0.weight'"):
        visattn.from_pretrained(tmp_path, model=timm.create_model("resnet10t", num_classes=5))
    with pytest.raises(ValueError, match=r"attention alone, trained in resnet10t.*model=\.\.\."):
        visattn.from_pretrained(tmp_path)
    other = timm.create_model("resnet18", num_classes=5)
    keys = list(other.state_dict())
    with pytest.raises(ValueError, match="doesn't fit ResNet"):
        visattn.from_pretrained(tmp_path, model=other)
    assert list(other.state_dict()) == keys


def test_commands_open_a_folder(saved, images, model):
    found, facts = load_classifier(saved)
    assert torch.equal(found(images), model(images))
    assert facts["class_names"][0] == "a"


def test_saving_again_keeps_the_card_and_changes_the_rest(model, folder):
    (folder / "README.md").write_text("my own words")
    visattn.save_pretrained(network("se"), folder, input_size=SIZE)
    assert (folder / "README.md").read_text() == "my own words"
    assert "SE" in str(visattn.from_pretrained(folder))


BACKBONE = {"name": "resnet10t", "num_classes": 5, "options": {}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"library": None, "model_type": "vit"}, "transformers wrote it"),
        ({"library": None, "pretrained_cfg": {}}, "timm wrote it"),
        ({"format": 2}, "format 2, this visattn .* Update visattn"),
        ({"attention": None}, "no 'attention' that is a list"),
        ({"backbone": BACKBONE | {"name": "resnet10tt"}}, "'resnet10tt'; did you mean resnet10t"),
        ({"backbone": BACKBONE | {"name": "os.system"}}, "unknown backbone 'os.system'"),
        ({"backbone": BACKBONE | {"name": "hf-hub:me/evil"}}, "unknown backbone 'hf-hub:me/evil'"),
        ({"backbone": BACKBONE | {"name": "torchvision.models.feature_extraction.re"}}, "unknown"),
        ({"backbone": BACKBONE | {"options": {"checkpoint_path": "/etc/x"}}}, "checkpoint_path"),
        ({"backbone": BACKBONE | {"num_classes": 6}}, r"size mismatch for fc.weight"),
        (
            {"backbone": BACKBONE | {"name": "resnet18"}, "versions": {"timm": "0.9"}},
            "Missing key.*saved with .*timm 0.9, here",
        ),
        ({"sha256": {"model.safetensors": "0"}}, "is not the file that config.json"),
        ({"input_size": [3, 32]}, "input_size must be"),
    ],
)
def test_descriptions_that_are_refused(folder, changes, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        visattn.from_pretrained(edited(folder, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"block": "torch.nn.Flatten"}, "No block is called 'torch.nn.Flatten'"),
        ({"block": "se"}, "(Missing|Unexpected) key|no option 'reduction'"),
        ({"path": "layer9.0"}, "no map at 'layer9.0'"),
        ({"options": {"model": "x"}}, "'model' is no option of a block"),
        ({"options": {"reductions": 8}}, "no option 'reductions'"),
        ({"init": "magic"}, "init"),
        ({"site": 3}, "'site', a str"),
    ],
)
def test_attention_that_is_refused(folder, changes, message):
    config = json.loads((folder / "config.json").read_text())
    config["attention"][0] |= changes
    with pytest.raises(ValueError, match=f"(?s){message}"):
        visattn.from_pretrained(edited(folder, attention=config["attention"]))


def test_weights_that_are_refused(folder):
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    state = {name: value.clone() for name, value in load_file(path).items()}  # no map of the file
    for content, message in [
        (whole[: len(whole) // 2], "cut off, or of another revision"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    ]:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            visattn.from_pretrained(folder)
    for other, message in [
        ({f"model.{name}": value for name, value in state.items()}, "(?s)doesn't fit.*Missing key"),
        (state | {"fc.bias": torch.full((5,), torch.nan)}, "NaN"),
    ]:
        with pytest.raises(ValueError, match=message):
            visattn.from_pretrained(with_weights(folder, other))
    path.unlink()
    torch.save(state, folder / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match=r"no model.safetensors, but .*pytorch_model.bin"):
        visattn.from_pretrained(folder)


def test_paths_that_are_none(folder, tmp_path):
    (folder / "config.json").write_text('{"library": "vis')
    with pytest.raises(ValueError, match=r"is no JSON .* half written"):
        visattn.from_pretrained(folder)
    with pytest.raises(ValueError, match="has no revision"):
        visattn.from_pretrained(folder, revision="main")
    with pytest.raises(FileNotFoundError, match="no name on the hub"):
        visattn.from_pretrained(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"has no config\.json, but nothing"):
        visattn.from_pretrained(tmp_path / "empty")


class Hub:
    """The hub as a folder, a branch a folder below: what HfApi and hf_hub_download would do."""

    def __init__(self, root):
        self.root, self.calls = root, []

    def create_repo(self, repo_id, **options):
        self.calls.append(options)
        (self.root / repo_id / "main").mkdir(parents=True, exist_ok=True)
        return huggingface_hub.RepoUrl(f"https://huggingface.co/{repo_id}")

    def create_branch(self, repo_id, *, branch, exist_ok):
        (self.root / repo_id / branch).mkdir(exist_ok=exist_ok)

    def upload_folder(self, *, repo_id, folder_path, revision, commit_message):
        target = self.root / repo_id / (revision or "main")
        shutil.copytree(folder_path, target, dirs_exist_ok=True)

    def download(self, repo_id, name, *, revision, token, cache_dir, local_files_only):
        huggingface_hub.utils.validate_repo_id(repo_id)
        where = self.root / repo_id
        for there, error in [
            (where, errors.RepositoryNotFoundError),
            (where / (revision or "main"), errors.RevisionNotFoundError),
            (where / (revision or "main") / name, errors.EntryNotFoundError),
        ]:
            if not there.exists():
                raise error.__new__(error)
        return str(where / (revision or "main") / name)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    hub = Hub(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda token: hub)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hub.download)
    return hub


def test_the_hub_there_and_back(hub, model, images, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    address = visattn.push_to_hub(model, "me/cbam", private=True, revision="v1", input_size=SIZE)
    assert address == "https://huggingface.co/me/cbam"
    assert hub.calls == [{"private": True, "exist_ok": True}]
    again = visattn.from_pretrained("me/cbam", revision="v1")
    assert torch.equal(again(images), model(images))
    assert 'from_pretrained("me/cbam")' in (hub.root / "me/cbam/v1/README.md").read_text()
    for name, revision, message in [
        ("me/cbam", None, "has no config.json"),
        ("me/cbam", "v2", "no revision 'v2'"),
        ("me/other", None, "no such repository on the hub, or it is private"),
    ]:
        with pytest.raises(FileNotFoundError, match=message):
            visattn.from_pretrained(name, revision=revision)
    with pytest.raises(ValueError, match="Repo id"):
        visattn.push_to_hub(model, "me/my/cbam")


def test_no_network_says_so(monkeypatch):
    def offline(*_, **__):
        raise errors.LocalEntryNotFoundError("no connection")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    with pytest.raises(OSError, match=r"could not be fetched and was not .*no connection"):
        visattn.from_pretrained("me/cbam")
