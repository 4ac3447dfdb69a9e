"""Proposals: GrabCut finds a disc, networks are asked rightly, and nothing is done twice."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
from PIL import Image

import visattn
from visattn.annotation import mask_models
from visattn.annotation.grabcut import grabcut_mask
from visattn.annotation.mask_models import masks_of_network, open_deeplab, open_onnx, open_rembg
from visattn.annotation.proposing import measure_proposals, open_proposer, propose_masks
from visattn.cli import main


def iou(found, truth):
    return (found & truth).sum() / (found | truth).sum()


def picture(root, name="train/images/buri/a_buri.jpg"):
    return np.asarray(Image.open(root / name).convert("RGB"))


def proposals(root):
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("proposals/*/*.png"))


def test_grabcut_cuts_the_disc_out(photos, disc):
    found, sure = grabcut_mask(picture(photos))
    assert sure
    assert iou(found, disc) > 0.9
    again, _ = grabcut_mask(picture(photos))
    np.testing.assert_array_equal(found, again)


def test_grabcut_keeps_to_a_box(photos, disc):
    both = picture(photos).copy()
    other = np.roll(disc, 12, axis=1) & ~disc
    both[other] = (220, 40, 40)
    box = (11 / 40, 6 / 30, 28 / 40, 23 / 30)
    found, _ = grabcut_mask(both, box=box)
    assert iou(found, disc) > 0.85
    assert not found[:, 29:].any()
    with pytest.raises(ValueError, match="shares"):
        grabcut_mask(both, box=(3, 3, 20, 20))


def test_nothing_to_find_is_said():
    found, sure = grabcut_mask(np.full((30, 40, 3), 90, dtype=np.uint8))
    assert not sure
    assert 0.2 < found.mean() < 0.6


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (700, 500)])
def test_any_size(size):
    noise = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    assert grabcut_mask(noise)[0].shape == size


def test_a_run_goes_on_and_touches_no_mask(photos, disc, monkeypatch):
    own = photos / "train/masks/ebi/a_ebi.png"
    own.parent.mkdir(parents=True)
    Image.new("L", (40, 30), 7).save(own)
    calls = []

    def broken(shown, *, box=None):
        calls.append(shown)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return grabcut_mask(shown, box=box)

    monkeypatch.setattr("visattn.annotation.proposing.grabcut_mask", broken)
    with pytest.raises(KeyboardInterrupt):
        propose_masks(photos, open_proposer(), progress=False)
    assert len(proposals(photos)) == 2
    lines = propose_masks(photos, open_proposer(), progress=False)
    assert len(calls) == 6  # of which the third is made again
    assert lines[0].startswith("3 proposals by grabcut")
    assert "1 picture with a mask already" in lines
    assert "2 pictures with a proposal from before" in lines
    assert len(proposals(photos)) == 5
    propose_masks(photos, open_proposer(), overwrite=True, progress=False)
    assert len(proposals(photos)) == 6
    assert np.unique(np.asarray(Image.open(own))).tolist() == [7]


def test_boxes_of_a_file(photos, disc, tmp_path):
    file = tmp_path / "a.xml"
    file.write_text(
        "<annotation><filename>a_buri.jpg</filename><object><name>buri</name><bndbox><xmin>12"
        "</xmin><ymin>7</ymin><xmax>28</xmax><ymax>23</ymax></bndbox></object></annotation>"
    )
    lines = propose_masks(photos, open_proposer(), boxes=file, progress=False)
    assert proposals(photos) == ["train/proposals/buri/a_buri.png"]
    assert "5 pictures without a box" in lines
    found = np.asarray(Image.open(photos / "train/proposals/buri/a_buri.png")) == 255
    assert iou(found, disc) > 0.9


def test_a_measurement_writes_nothing(photos, disc, capsys):
    for kind in ("buri", "ebi"):
        path = photos / f"test/masks/{kind}/c_{kind}.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(disc).save(path)
    table = measure_proposals(photos, open_proposer(), boxes="masks", progress=False)
    assert table.row_count == 1
    assert main(["masks", "propose", str(photos), "--measure"]) == 0
    out = capsys.readouterr().out
    assert "no box" in out
    assert "test" in out
    assert proposals(photos) == []
    assert main(["masks", "propose", str(photos), "--measure", "--split=train"]) == 1


def onnx_file(path, *, channels=1):
    """A network whose mask is red less green, of any size."""
    onnx = pytest.importorskip("onnx")
    helper, number = onnx.helper, onnx.TensorProto.FLOAT
    weight = np.zeros((channels, 3, 1, 1), dtype=np.float32)
    weight[:, 0], weight[:, 1] = 1, -1
    given = helper.make_tensor_value_info("in", number, [1, 3, 32, 32])
    gives = helper.make_tensor_value_info("out", number, [1, channels, 32, 32])
    node = helper.make_node("Conv", ["in", "w"], ["out"])
    kernel = helper.make_tensor("w", number, weight.shape, weight.ravel())
    graph = helper.make_graph([node], "g", [given], [gives], [kernel])
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), path)
    return path


def test_a_salient_object_network_as_onnx(photos, disc, tmp_path):
    salience = open_onnx(onnx_file(tmp_path / "u2.onnx"))
    mask = salience(picture(photos), None)
    assert mask.shape == (30, 40)
    assert iou(mask >= 0.5, disc) > 0.85
    with pytest.raises(ValueError, match=r"mask \(1, 1, H, W\)"):
        open_onnx(onnx_file(tmp_path / "two.onnx", channels=2))(picture(photos), None)
    with pytest.raises(FileNotFoundError, match="no ONNX file"):
        open_onnx(tmp_path / "no.onnx")
    assert main(["masks", "propose", str(photos), f"--onnx={tmp_path / 'u2.onnx'}"]) == 0
    assert len(proposals(photos)) == 6


def test_rembg_is_asked_for_its_mask(photos, disc, monkeypatch):
    asked = []

    def remove(shown, *, session, only_mask):
        asked.append((session, only_mask))
        return disc.astype(np.uint8) * 255

    stub = SimpleNamespace(new_session=lambda name: f"session {name}", remove=remove)
    monkeypatch.setitem(sys.modules, "rembg", stub)
    np.testing.assert_array_equal(open_rembg("u2netp")(picture(photos), None), disc)
    assert asked == [("session u2netp", True)]
    monkeypatch.setitem(sys.modules, "rembg", None)
    with pytest.raises(ImportError, match=r"visattn\[masks\]"):
        open_rembg("u2net")


@pytest.mark.slow
def test_deeplab_from_a_file_of_weights(photos, tmp_path):
    from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large

    torch.manual_seed(0)
    options = {"weights": None, "weights_backbone": None, "num_classes": 3}
    network = deeplabv3_mobilenet_v3_large(**options).eval()
    with torch.no_grad():  # no class but the first on what is red
        network.classifier[4].weight.zero_()
        network.classifier[4].bias.copy_(torch.tensor([1.0, 0.0, 0.0]))
    torch.save(network.state_dict(), tmp_path / "d.pth")
    mask = open_deeplab(tmp_path / "d.pth")(picture(photos), None)
    assert mask.shape == (30, 40)
    expected = 1 - torch.tensor([1.0, 0.0, 0.0]).softmax(0)[0]
    np.testing.assert_allclose(mask, expected, atol=1e-5)
    torch.save({"fc.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="DeepLabV3"):
        open_deeplab(tmp_path / "other.pth")


def test_sam_is_asked_for_the_centre_or_the_box(photos, disc, monkeypatch):
    class Stub:
        def __init__(self):
            self.asked, self.image_processor = [], self

        def from_pretrained(self, folder):
            assert folder == "sam-folder"
            return self

        def to(self, device):
            return self

        def eval(self):
            return self

        def parameters(self):
            yield torch.zeros(1)

        def __call__(self, images=None, return_tensors="", **asked):
            if images is None:
                masks = torch.from_numpy(np.stack([~disc, disc, ~disc]))[None, None]
                return SimpleNamespace(
                    pred_masks=masks, iou_scores=torch.tensor([[[0.1, 0.9, 0.2]]])
                )
            self.asked.append(asked)
            return Inputs(original_sizes=0, reshaped_input_sizes=0)

        def post_process_masks(self, masks, sizes, reshaped):
            return [masks[0]]

    class Inputs(dict):
        def to(self, device):
            return {}

    stub = Stub()
    package = SimpleNamespace(SamModel=stub, SamProcessor=stub)
    monkeypatch.setattr(mask_models, "_extra", lambda name: package)
    ask = mask_models.open_sam("sam-folder")
    np.testing.assert_array_equal(ask(picture(photos), None), disc)
    ask(picture(photos), (0.25, 0.2, 0.5, 0.8))
    assert stub.asked == [
        {"input_points": [[[20.0, 15.0]]]},
        {"input_boxes": [[[10.0, 6.0, 20.0, 24.0]]]},
    ]


def test_a_network_of_ours_sees_oblong_pictures_whole(photos):
    torch.manual_seed(0)
    network = timm.create_model("resnet10t", num_classes=2)
    visattn.wrap(network, "spatial_mask", at="image", init="paper")
    seen = []
    network.register_forward_pre_hook(lambda module, given: seen.append(tuple(given[0].shape)))
    for fit, shape in (("crop", (1, 3, 32, 64)), ("stretch", (1, 3, 32, 32))):
        masks_of = masks_of_network(network, {"size": 32, "fit": fit})
        assert masks_of(torch.rand(1, 3, 30, 60)).shape == (1, 1, 30, 60)
        assert seen[-1] == shape


def test_one_proposer_at_a_time():
    with pytest.raises(ValueError, match=r"several came: onnx, rembg"):
        open_proposer(onnx="a.onnx", rembg="u2net", sam=None)
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        open_proposer(model="no.ckpt")


def test_one_folder_of_classes_is_split_first(tmp_path, capsys):
    draw = np.random.default_rng(0)
    for name in ("bird", "dog"):
        for number in range(5):
            path = tmp_path / "own" / name / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path)
    assert main(["masks", "propose", str(tmp_path / "own")]) == 0
    said = capsys.readouterr().out
    assert "has no splits" in said
    where = tmp_path / "own" / "proposals"
    assert f"10 proposals by grabcut in {where}\n" in said
    assert len(list(where.glob("*/*.png"))) == 10
    assert (tmp_path / "own" / "splits.csv").is_file()
    assert main(["masks", "apply", str(tmp_path / "own"), "proposals"]) == 0
    said = capsys.readouterr().out
    assert "next: visattn fit" in said
    assert "--data.mask_share 1\n" in said  # the recipe's own share would leave most masks out
