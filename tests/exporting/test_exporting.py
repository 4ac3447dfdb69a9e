"""Models as files for other runtimes."""

import json

import pytest
import timm
import torch
from torch import nn

from visattn import export_model, record, unwrap, wrap
from visattn.blocks.attended import attended
from visattn.cli import main
from visattn.testing import enliven

TINY = {"layers": (1, 1, 1, 1), "channels": (8, 16, 24, 32), "stem_width": 8, "num_classes": 5}


@pytest.fixture
def model():
    """CBAM in the last stage and a mask on the image, none of it at its start."""
    plain = timm.create_model("resnet10t", **TINY)
    wrap(plain, "cbam", stages=[4], init="paper")
    return enliven(wrap(plain, "spatial_mask", at="image", init="paper", depth=1))


@pytest.fixture
def small():
    """Two convolutions with CBAM between them."""
    plain = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 5, 3, 2), nn.AdaptiveAvgPool2d(1)
    )
    plain.append(nn.Flatten())
    return enliven(wrap(plain, "cbam", at="1", init="paper"))


@pytest.mark.slow
def test_onnx_with_every_mask_and_what_is_known(model, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    path = tmp_path / "deep" / "model.onnx"
    facts = {"classes": ["buri", "maguro"], "mean": [0.5, 0.5, 0.5], "note": "plain text"}
    done = export_model(model, path, size=64, masks=True, facts=facts)
    assert model.training, "the model is left in its mode"
    assert done.checked == (3, 3, 96, 128)
    assert done.difference < 1e-4
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [(i.name, i.shape) for i in session.get_inputs()] == [
        ("images", ["batch", 3, "height", "width"])
    ]
    assert tuple(o.name for o in session.get_outputs()) == done.outputs
    known = session.get_modelmeta().custom_metadata_map
    assert json.loads(known["classes"]) == ["buri", "maguro"]
    assert known["note"] == "plain text"
    assert json.loads(known["smallest"]) == done.smallest
    images = torch.rand(1, 3, 97, 65)
    with torch.no_grad(), record(model.eval()) as maps:
        logits = model(images)
    expected = {
        "logits": logits,
        "image.spatial_logits": maps["image"].spatial_logits,
        "image.spatial": maps["image"].spatial,
        "layer4.0.channel": maps["layer4.0"].channel,
        "layer4.0.spatial": maps["layer4.0"].spatial,
    }
    assert set(done.outputs) == set(expected)
    found = session.run(None, {"images": images.numpy()})
    for name, value in zip(done.outputs, found, strict=True):
        torch.testing.assert_close(torch.from_numpy(value), expected[name], atol=1e-4, rtol=1e-3)


@pytest.mark.slow
def test_a_program_of_torch_export_with_chosen_masks(model, tmp_path):
    path = tmp_path / "model.pt2"
    done = export_model(model, path, size=(64, 48), masks=["layer4.0", "image.spatial"])
    assert done.outputs == ("logits", "layer4.0.channel", "layer4.0.spatial", "image.spatial")
    extra = {"visattn.json": ""}
    program = torch.export.load(path, extra_files=extra).module()
    assert "smallest" in json.loads(extra["visattn.json"])
    images = torch.rand(1, 3, 40, 56)
    with torch.no_grad():
        torch.testing.assert_close(program(images)[0], model.eval()(images), atol=1e-5, rtol=1e-4)


def test_what_may_differ(small, tmp_path):
    done = export_model(small, tmp_path / "a.pt2", size=64, dynamic="batch")
    assert done.checked == (3, 3, 64, 64)
    assert done.smallest == {"batch": 1}
    done = export_model(small, tmp_path / "b.pt2", size=64, dynamic="none", verify=False)
    assert done.checked is None
    assert "of this size only" in str(done)


@pytest.mark.slow
def test_several_maps_of_a_kind_have_names_of_their_own(small, tmp_path):
    model = enliven(wrap(unwrap(small), "triplet", at="1"))
    done = export_model(model, tmp_path / "a.pt2", size=64, masks=True)
    assert len(set(done.outputs)) == len(done.outputs) >= 2


@pytest.mark.slow
def test_half_precision_and_compiled_models(small, tmp_path):
    compiled = torch.compile(small, backend="eager")
    assert export_model(compiled, tmp_path / "a.pt2", size=64).outputs == ("logits",)
    assert export_model(small.bfloat16(), tmp_path / "b.pt2", size=64).difference < 1e-3


class Pair(nn.Module):
    def forward(self, x):
        return x, x


class Fixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3 * 16 * 16, 2)

    def forward(self, x):
        return self.linear(x.flatten(1))


class Wilful(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


def test_errors(model, tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.onnx or \.pt2"):
        export_model(model, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"No mask or gate at 'layr4.0'. Did you mean 'layer4.0'"):
        export_model(model, tmp_path / "a.pt2", size=64, masks=["layr4.0"])
    with pytest.raises(ValueError, match=r"at least two example images.*\(1, 3, 64, 64\)"):
        export_model(model, tmp_path / "a.pt2", images=torch.rand(1, 3, 64, 64))
    with pytest.raises(ValueError, match="dynamic must be 'all', 'batch' or 'none'"):
        export_model(model, tmp_path / "a.pt2", size=64, dynamic="size")
    with pytest.raises(ValueError, match="traced for a height of at most"):
        export_model(model, tmp_path / "a.pt2", size=16)
    with pytest.raises(ValueError, match="no attention block whose masks"):
        export_model(nn.Conv2d(3, 3, 1), tmp_path / "a.pt2", size=8, masks=True)
    with pytest.raises(TypeError, match="model that gives a tensor; Pair gave tuple"):
        export_model(Pair(), tmp_path / "a.pt2", size=8)
    with pytest.raises(ValueError, match=r"does not run on images \(3, 3, 19, 22\).*'batch'"):
        export_model(Fixed(), tmp_path / "a.pt2", size=16)
    with pytest.raises(ValueError, match=r"dynamic='all'. Try dynamic='batch' or 'none'"):
        export_model(Wilful(), tmp_path / "a.pt2", size=16)
    only_pairwise = wrap(nn.Sequential(nn.Conv2d(3, 4, 1)), "nonlocal", at="0")
    with pytest.raises(ValueError, match="weights of pairwise attention are not outputs"):
        export_model(only_pairwise, tmp_path / "a.pt2", size=64, masks=True)
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named(small, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install onnx onnxscript onnxruntime.*verify=False"):
        export_model(small, tmp_path / "a.onnx", size=64)


def test_a_file_that_gives_something_else_is_an_error(small, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "visattn.exporting.files.run_file", lambda path, x: [torch.zeros(len(x), 5)]
    )
    with pytest.raises(ValueError, match=r"output 'logits' differs from the model's by 1\.0e"):
        export_model(small, tmp_path / "a.pt2", size=64)


@pytest.mark.slow
def test_command(tmp_path, capsys):
    out = tmp_path / "a.pt2"
    words = ["export", "test_resnet", f"--out={out}", "--block=se", "--size=64"]
    assert main([*words, "--sites=[layers.0.0]"]) == 1
    assert "No mask or gate at 'layers.0.0'" in capsys.readouterr().err
    assert main([*words, "--sites=[layer4.0]"]) == 0
    text = capsys.readouterr().out
    assert str(out) in text
    assert "layer4.0.channel" in text
    assert "largest relative difference" in text
    extra = {"visattn.json": ""}
    torch.export.load(out, extra_files=extra)
    assert "mean" in json.loads(extra["visattn.json"])


@pytest.mark.slow
def test_command_with_a_checkpoint(tmp_path, capsys):
    from lightning import Trainer

    from visattn.training import ImageClassifier

    classifier = ImageClassifier("test_resnet", num_classes=3, attention={"block": "se"})
    classifier.data_facts = {"class_names": ["a", "b", "c"], "mean": [0.5, 0.5, 0.5], "size": 64}
    trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    trainer.strategy.connect(classifier)
    trainer.save_checkpoint(tmp_path / "a.ckpt", weights_only=False)
    words = ["export", str(tmp_path / "a.ckpt"), f"--out={tmp_path / 'a.pt2'}"]
    assert main(words) == 0, capsys.readouterr().err
    extra = {"visattn.json": ""}
    torch.export.load(tmp_path / "a.pt2", extra_files=extra)
    known = json.loads(extra["visattn.json"])
    assert json.loads(known["classes"]) == ["a", "b", "c"]
    assert "3 x 3 x 96 x 128" in capsys.readouterr().out
    assert main([*words, "--pretrained"]) == 1
    assert "leave pretrained out" in capsys.readouterr().err
    assert list(attended(classifier))
