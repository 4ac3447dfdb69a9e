from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from each_block import EACH_BLOCK
from PIL import Image
from torch import nn
from torchvision.models import resnet

from visattn import class_activation, grad_cam, record, wrap
from visattn.cli import main
from visattn.commands import overlays
from visattn.recording.network_maps import layer_table, maps_of
from visattn.testing import enliven

ADDED = {
    "spatial": "",
    "gate": ", gates",
    "spatial_logits": ", from logits",
    "pairwise": ", received",
}
"""What follows the name of a site, by what its map is made of."""


@pytest.fixture
def images():
    return torch.rand(2, 3, 64, 64)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for number, name in enumerate(("a/1.jpg", "b/1.png", "b/1.jpg", "b/2.PNG")):
        pixels = np.random.default_rng(number).integers(0, 255, (40, 50, 3), dtype=np.uint8)
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / name)
    (folder / "b" / "notes.txt").write_text("no picture")
    return folder


def wrapped(block, network=torchvision.models.resnet18):
    options = {"num_classes": 5} if block == "abn" else {}
    return enliven(wrap(network(num_classes=5), block, **options)).eval()


def resnet10(**options):
    return resnet.ResNet(resnet.BasicBlock, [1, 1, 1, 1], **options)


def test_pictures_are_given_as_a_shell_gives_them(pictures, tmp_path, capsys):
    words = ["--model=resnet10t", "--layers", "grad_cam", "--size=32", f"--out={tmp_path}"]
    given = [str(pictures / "a/1.jpg"), str(pictures / "b" / "*.png"), str(pictures / "b")]
    assert main(["overlay", given[0], *words, *given[1:]]) == 0
    drawn = capsys.readouterr().out.split()
    assert [path.removeprefix(f"{tmp_path}/") for path in drawn] == [
        *("a/1.png", "b/1.png.png", "b/1.jpg.png", "b/2.png"),
    ]
    assert main(["overlay", *given, *words, str(pictures / "a/2.jpg")]) == 1
    assert "no picture at" in capsys.readouterr().err


def test_a_checkpoint_takes_no_weights_of_timm(tmp_path, pictures, capsys):
    (tmp_path / "a.ckpt").write_bytes(b"")
    assert main(["overlay", str(pictures), f"--model={tmp_path / 'a.ckpt'}", "--pretrained"]) == 1
    assert "leave pretrained out" in capsys.readouterr().err


@pytest.mark.parametrize("block", EACH_BLOCK)
def test_every_block_is_drawn_or_says_that_it_knows_nothing_of_places(block, images):
    network = wrapped(block, resnet10)
    table = layer_table(network, images)
    with torch.no_grad(), record(network) as maps:
        logits = network(images)
    if all(site.heat_kind is None for site in maps.values()):
        with pytest.raises(ValueError, match=r"says nothing of places: .* layers gradcam"):
            maps_of(network, images)
        with pytest.raises(ValueError, match=r"computes channel, nothing of places"):
            maps_of(network, images, layers=["layer4.*"])
        assert "no: nothing of places" in table
        assert list(maps_of(network, images, layers=["grad_cam"]).maps) == ["Grad-CAM, layer4"]
        return
    found = maps_of(network, images)
    torch.testing.assert_close(found.logits, logits)
    assert list(found.maps) == [
        f"{name}, mask" if name == "image" else f"{name}{ADDED[site.heat_kind]}"
        for name, site in maps.items()
    ]
    for heat, site in zip(found.maps.values(), maps.values(), strict=True):
        torch.testing.assert_close(heat, site.heat)
    assert "nothing of places" not in table
    assert len(table.splitlines()) == len(maps) + 2  # the head, Grad-CAM


def test_layers_by_name_end_glob_and_grad_cam(images):
    network = nn.Sequential(wrapped("cbam"))

    def names(*layers):
        return list(maps_of(network, images, layers=layers).maps)

    assert names("0.layer4.1", "layer3.0") == ["0.layer4.1", "0.layer3.0"]
    assert names("layer4.*") == names("*4.0", "*4.1") == ["0.layer4.0", "0.layer4.1"]
    assert names("layer4.1", "layer4.*") == ["0.layer4.1", "0.layer4.0"]
    found = maps_of(network, images, layers=["grad_cam:0.layer3", "grad_cam"])
    assert list(found.maps) == ["Grad-CAM, 0.layer3", "Grad-CAM, 0.layer4"]
    expected = grad_cam(network, images, layer="0.layer3")
    torch.testing.assert_close(found.maps["Grad-CAM, 0.layer3"], expected)
    assert found.normalise == "image"
    assert maps_of(network, images).normalise == "image"  # gates up to 2
    paper = wrap(torchvision.models.resnet18(num_classes=5), "cbam", init="paper")
    assert maps_of(enliven(paper).eval(), images).normalise == "none"
    with pytest.raises(ValueError, match=r"(?s)no map at 'layer4.7'; did you mean .*gradcam"):
        names("layer4.7")
    with pytest.raises(KeyError, match=r"no layer '0\.layer7'"):
        names("grad_cam:0.layer7")
    with pytest.raises(ValueError, match="layers is empty"):
        names()


def test_a_block_that_runs_twice_is_drawn_twice():
    from visattn.blocks import CBAM

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.block, self.fc = enliven(CBAM(3)), nn.Linear(3, 2)

        def forward(self, x):
            return self.fc(self.block(self.block(x)).mean((2, 3)))

    network, images = Twice().eval(), torch.rand(1, 3, 8, 8)
    assert list(maps_of(network, images).maps) == ["block, call 1", "block, call 2"]
    assert len(maps_of(network, images, layers=["block"]).maps) == 2
    assert list(maps_of(network, images, layers=["block, call 2"]).maps) == ["block, call 2"]
    assert "2 calls" in layer_table(network, images)


def width(path):
    with Image.open(path) as image:
        return image.width


def run(*words):
    return main(["overlay", *map(str, words)])


SMALL = ("--model", "resnet10t", "--size", "48")


@pytest.fixture(scope="module")
def network():
    from visattn.networks.backbone import build_backbone

    return enliven(wrap(build_backbone("resnet10t", num_classes=5), "cbam", stages=[3, 4])).eval()


@pytest.fixture
def attentive(monkeypatch, network):
    """``resnet10t`` with attention in it."""
    monkeypatch.setattr(overlays, "load_classifier", lambda model, **_: (network, {}))


@pytest.mark.usefixtures("attentive")
def test_a_folder_a_glob_and_one_picture(tmp_path, pictures, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(pictures, *SMALL) == 0
    written = ["a/1.png", "b/1.jpg.png", "b/1.png.png", "b/2.png"]
    assert capsys.readouterr().out.split() == [f"overlays/{name}" for name in written]
    assert (
        sorted(str(p.relative_to("overlays")) for p in Path("overlays").rglob("*.png")) == written
    )
    assert run(f"{pictures}/*/1.*", *SMALL, "--out", tmp_path / "new", "--layers", "layer4.0") == 0
    assert len(capsys.readouterr().out.split()) == 3
    wide, narrow = (width(Path(folder) / "a" / "1.png") for folder in ("overlays", "new"))
    assert wide > narrow  # one layer less
    assert run(pictures / "a" / "1.jpg", *SMALL) == 0
    assert capsys.readouterr().out.split() == ["overlay.png"]
    assert run(pictures / "a", *SMALL, "--out=x/sheet.pdf", "--layers=[layer4.0,grad_cam]") == 0
    assert Path("x/sheet.pdf").read_bytes().startswith(b"%PDF")
    assert run(pictures / "a" / "1.jpg", *SMALL, "--out=x") == 0
    assert Path("x/1.png").is_file()


def test_grad_cam_of_a_plain_cnn(tmp_path, pictures):
    out = tmp_path / "cam.png"
    torch.manual_seed(0)  # of the network, which is drawn at random
    assert run(pictures / "a" / "1.jpg", *SMALL, "--layers=grad_cam", "--out", out) == 0
    asked = out.read_bytes()
    torch.manual_seed(0)
    assert run(pictures / "a" / "1.jpg", *SMALL, "--out", out) == 0
    assert out.read_bytes() == asked


@pytest.mark.usefixtures("attentive")
def test_the_table_of_layers(pictures, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(pictures, *SMALL, "--list_layers") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["layer", "records", "drawn"]
    assert lines[1].split("  ")[0] == "layer3.0"
    assert "channel 256; spatial 3 x 3" in lines[1]
    assert lines[-1].startswith("gradcam")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{}/a/2.jpg"], "no picture at {}/a/2.jpg; did you mean 1.jpg?"),
        (["{}/*/*.webp"], "no picture fits {}/*/*.webp"),
        (["{}/b/notes.txt"], "notes.txt"),
        (["{}", "--out=all.png"], "4 pictures have a sheet each: out must be a folder"),
        (["{}/b/2.PNG", "--out={}/b/2.PNG"], "is one of the pictures and would be lost"),
        (["{}/b", "--layers=layer4.7"], "no map at 'layer4.7'; did you mean layer4.0"),
        (["{}/b", "--alpha=2"], "alpha is the opacity"),
    ],
)
@pytest.mark.usefixtures("attentive")
def test_mistakes_are_told(words, message, pictures, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*(word.format(pictures) for word in words), *SMALL) == 1
    assert message.format(pictures) in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())


def test_untrained_weights_are_said(tmp_path, pictures, monkeypatch, network):
    titles = []
    monkeypatch.setattr(overlays, "load_classifier", lambda model, **_: (network, {}))
    monkeypatch.setattr(overlays, "save", lambda figure, path: path)
    drawn = overlays.grid
    monkeypatch.setattr(
        overlays, "grid", lambda *a, **k: titles.append(k["title"]) or drawn(*a, **k)
    )
    for pretrained in (False, True):
        overlays.draw_maps(pictures / "a", model="x", size=48, pretrained=pretrained)
    assert titles == ["1.jpg (untrained weights)", "1.jpg"]


def test_other_methods_by_name(images):
    torch.manual_seed(0)
    network = timm.create_model("test_vit", num_classes=3, img_size=64).eval()
    batch = torch.rand(2, 3, 64, 64)
    found = maps_of(network, batch, layers=["grad_cam", "layercam", "gradcam++:blocks.0"]).maps
    layer = next(iter(found)).removeprefix("Grad-CAM, ")
    assert list(found) == [f"Grad-CAM, {layer}", f"LayerCAM, {layer}", "Grad-CAM++, blocks.0"]
    expected = class_activation(network, batch, method="layercam")
    torch.testing.assert_close(found[f"LayerCAM, {layer}"], expected, rtol=0, atol=0)


def test_one_logit_is_no_or_yes(pictures, tmp_path, monkeypatch):
    network = torchvision.models.resnet18(num_classes=1).eval()
    nn.init.constant_(network.fc.bias, -1.0)
    monkeypatch.setattr(overlays, "load_classifier", lambda model, **_: (network, {}))
    said = []
    monkeypatch.setattr(overlays, "grid", lambda *_, captions, **__: said.extend(captions))
    monkeypatch.setattr(overlays, "save", lambda figure, path: path)
    overlays.draw_maps(pictures / "a", model="x", layers=["grad_cam"], out=tmp_path, size=64)
    (caption,) = said
    assert caption.startswith("class 0, p = 0.")


NETS = """
import torch
from torchvision.models import detection, segmentation

PLAIN = {"weights": None, "weights_backbone": None}

def segmenter():
    torch.manual_seed(0)
    return segmentation.lraspp_mobilenet_v3_large(**PLAIN, num_classes=5)

def detector():
    torch.manual_seed(0)
    return detection.ssdlite320_mobilenet_v3_large(**PLAIN, num_classes=4, score_thresh=0.0)

def blind():
    torch.manual_seed(0)
    return detection.ssdlite320_mobilenet_v3_large(**PLAIN, num_classes=4, score_thresh=0.99)

def regression():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Unflatten(1, (3, -1)))
"""


@pytest.fixture
def nets(tmp_path):
    (tmp_path / "nets.py").write_text(NETS)
    return tmp_path / "nets.py"


def drawn_by(monkeypatch, *words):
    """What is handed to the figure of each picture."""
    sheets = []
    monkeypatch.setattr(overlays, "save", lambda figure, path: path)
    draw = overlays.grid

    def kept(images, maps, **options):
        sheets.append((images, maps, options))
        return draw(images, maps, **options)

    monkeypatch.setattr(overlays, "grid", kept)
    assert run(*words) == 0
    return sheets


def test_segmentations_and_detectors(nets, pictures, monkeypatch):
    sheets = drawn_by(monkeypatch, pictures / "b", "--model", f"{nets}:segmenter", "--size=64")
    assert len(sheets) == 3
    for _, maps, options in sheets:
        assert options["captions"][0].startswith("class ")
        assert options["captions"][0].endswith("% of the picture")
        share = int(options["captions"][0].split()[-5])
        assert 100 * options["targets"].float().mean().item() == pytest.approx(share, abs=0.51)
        assert [name.split(", ")[0] for name in maps] == ["Grad-CAM"]
    words = ("--model", f"{nets}:segmenter", "--size=64", "--target=2:8,8,40,24")
    ((_, _, options),) = drawn_by(monkeypatch, pictures / "a/1.jpg", *words)
    assert options["captions"] == ["class 2 in the outlined rectangle"]
    assert options["targets"][0].nonzero().amin(0).tolist() == [8, 8]
    assert options["targets"][0].nonzero().amax(0).tolist() == [23, 39]
    ((images, _, options),) = drawn_by(
        monkeypatch, pictures / "a/1.jpg", "--model", f"{nets}:detector"
    )
    assert images.shape[2:] == (320, 320)  # what the network says that it takes
    assert options["captions"][0].startswith("box of class ")
    assert options["targets"].any()


def test_where_nothing_is_found_nothing_is_marked(nets, pictures, monkeypatch):
    words = (pictures / "a/1.jpg", "--model", f"{nets}:blind")
    ((_, maps, options),) = drawn_by(monkeypatch, *words)
    assert options["captions"] == ["no box is found"]
    assert list(maps) == ["Grad-CAM"]
    assert not maps["Grad-CAM"].any()
    assert not options["targets"].any()


def test_what_cannot_be_asked_is_told(nets, pictures, capsys):
    for words, message in (
        (("--model", f"{nets}:regression"), "returned logits (1, 3, 50176): expected logits"),
        (("--model", f"{nets}:segmenter", "--target=9"), "classes 0 to 4, not 9"),
        (("--model", f"{nets}:segmenter", "--target=cat"), "no class 'cat'"),
        (("--model", "resnet10t", "--target=1:0,0,9,9"), "rectangle is for segmentations"),
    ):
        assert run(pictures / "a/1.jpg", *words) == 1
        assert message in " ".join(capsys.readouterr().err.split())


def test_a_classifier_is_asked_about_a_class(pictures, monkeypatch):
    network = wrapped("cbam")
    monkeypatch.setattr(overlays, "load_classifier", lambda model, **_: (network, {}))
    words = (pictures / "a/1.jpg", "--model=x", "--size=64", "--target=3")
    ((images, maps, options),) = drawn_by(monkeypatch, *words)
    name = next(name for name in maps if name.startswith("Grad-CAM, "))
    layer = name.removeprefix("Grad-CAM, ")
    torch.testing.assert_close(maps[name], grad_cam(network, images, layer=layer, classes=3))
    assert len(maps) > 1  # its own maps beside it
    with torch.no_grad():
        shares = network(images).softmax(1)[0]
    said = f"class {int(shares.argmax())}, p = {shares.max():.2f}"
    expected = f"class 3, p = {shares[3]:.2f}; answer: {said}"
    assert options["captions"] == [said if int(shares.argmax()) == 3 else expected]


def test_labels_that_hold_each_by_itself_have_a_sigmoid(pictures, monkeypatch):
    network = wrapped("cbam")
    monkeypatch.setattr(overlays, "load_classifier", lambda model, **_: (network, {}))
    words = (pictures / "a/1.jpg", "--model=x", "--size=64", "--multilabel")
    ((images, _, options),) = drawn_by(monkeypatch, *words)
    with torch.no_grad():
        share, place = network(images).sigmoid()[0].max(0)
    assert options["captions"] == [f"class {int(place)}, p = {float(share):.2f}"]
