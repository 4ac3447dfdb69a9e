import numpy as np
import pytest
import torch
from PIL import Image

from visattn.cli import main
from visattn.training import report_on


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes of 40 x 30 pictures in two splits, masks in one of them."""
    root = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("a", "b"):
            for number in range(3):
                mask = np.zeros((30, 40), np.uint8)
                mask[8:20, 10:30] = 255
                files = {"images": random.integers(0, 255, (30, 40, 3), dtype=np.uint8)}
                if split == "test" and number < 2:
                    files["masks"] = mask
                for kind, pixels in files.items():
                    path = root / split / kind / name / f"{name}{number}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(pixels).save(path)
    return root


def test_pictures_masks_and_classes_of_a_folder(folder):
    found = report_on(["resnet10t"], data=folder, count=10, size=32, curves=False).contents
    assert found.note == "all 6 pictures of test"
    assert [picture.name for picture in found.pictures] == [
        "a0.png",
        "a1.png",
        "a2.png",
        "b0.png",
        "b1.png",
        "b2.png",
    ]
    assert {picture.label for picture in found.pictures} == {None}  # those of a timm model
    assert [picture.mask is None for picture in found.pictures] == [False, False, True] * 2
    assert found.pictures[0].pixels.shape == (32, 32, 3)
    assert found.models[0].answers[2].background is None


def test_the_draw_follows_the_seed(folder):
    def names(seed):
        found = report_on(["resnet10t"], data=folder, count=3, seed=seed, size=32, curves=False)
        assert found.contents.note == f"3 of 6 pictures of test, drawn at random (seed {seed})"
        return [picture.name for picture in found.contents.pictures]

    assert names(0) == names(0)
    assert len({tuple(names(seed)) for seed in range(4)}) > 1


def test_a_folder_of_pictures_has_no_classes(folder):
    pictures = folder / "train" / "images" / "a"
    found = report_on(["resnet10t"], data=pictures, size=32, curves=False).contents
    assert [picture.label for picture in found.pictures] == [None] * 3
    expected = Image.open(pictures / "a1.png").resize((32, 32), 2, box=(5, 0, 35, 30))
    np.testing.assert_allclose(found.pictures[1].pixels, np.asarray(expected), atol=2)


def test_random_weights_are_said_and_own_ones_are_loaded(folder, tmp_path):
    import timm

    torch.manual_seed(1)
    own = timm.create_model("resnet10t", num_classes=3)
    torch.save(own.state_dict(), tmp_path / "own.pth")
    options = {"data": folder, "count": 2, "size": 32, "curves": False}
    (random,) = report_on(["resnet10t"], **options).contents.models
    assert random.name == "resnet10t (untrained weights)"
    weights = tmp_path / "own.pth"
    first, second = report_on(["resnet10t", "resnet18"], weights=weights, **options).contents.models
    assert (first.name, second.name) == ("resnet10t", "resnet18 (untrained weights)")
    assert len(first.answers[0].whole) == 3


def test_labels_that_hold_each_by_itself(folder, tmp_path):
    import timm

    torch.manual_seed(1)
    torch.save(timm.create_model("resnet10t", num_classes=3).state_dict(), tmp_path / "own.pth")
    options = {"data": folder, "count": 2, "size": 32, "curves": False}
    options["weights"] = tmp_path / "own.pth"
    shares = [
        np.array(
            [
                answer.whole
                for answer in report_on(["resnet10t"], **options, multilabel=labels)
                .contents.models[0]
                .answers
            ]
        )
        for labels in (False, True)
    ]
    np.testing.assert_allclose(shares[0].sum(1), 1, rtol=1e-5)
    odds = shares[1] / (1 - shares[1])  # e to the logits, from their sigmoids
    np.testing.assert_allclose(odds / odds.sum(1, keepdims=True), shares[0], rtol=1e-4)
    assert np.abs(shares[1].sum(1) - 1).min() > 0.01


def test_two_checkpoints_stand_side_by_side(folder, tmp_path, capsys):
    import lightning as L

    from visattn.training import ImageClassifier

    paths = []
    for name, attention in (("plain", None), ("mask", {"block": "spatial_mask", "at": "image"})):
        model = ImageClassifier("resnet10t", num_classes=2, attention=attention)
        model.data_facts = {
            "class_names": ["a", "b"],
            "size": 32,
            "fit": "crop",
            "mean": [0.5, 0.5, 0.5],
            "std": [0.25, 0.25, 0.25],
        }
        trainer = L.Trainer(
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.strategy.connect(model)
        path = tmp_path / "runs" / name / "version_0" / "checkpoints" / "last.ckpt"
        trainer.save_checkpoint(path)
        paths.append(str(path))
    out = tmp_path / "page.html"
    words = ["report", paths[0], f"--compare=[{paths[1]}]", f"--data={folder}", f"--out={out}"]
    assert main([*words, "--limit=2"]) == 0
    assert capsys.readouterr().out.startswith(f"{out}: 2 pictures, 0.")
    found = report_on(paths, data=folder, count=2, curves=False).contents
    assert [model.name for model in found.models] == ["plain", "mask"]
    assert list(found.classes) == ["a", "b"]
    assert [picture.label for picture in found.pictures] == [
        "ab".index(picture.name[0]) for picture in found.pictures
    ]
    assert found.pictures[0].pixels.shape == (32, 32, 3)
    network = ImageClassifier.load_from_checkpoint(paths[0], map_location="cpu").model.eval()
    pixels = torch.from_numpy(found.pictures[0].pixels).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        shares = network((pixels - 0.5) / 0.25).softmax(1)[0]
    answer = found.models[0].answers[0]
    assert list(answer.whole) == pytest.approx(shares[list(answer.classes)].tolist(), abs=1e-4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no.ckpt"], "no checkpoint at no.ckpt"),
        (["resnet10t", "--data=nowhere"], "expected pictures at nowhere"),
        (["resnet10t", "--data=FOLDER", "--split=tset"], "did you mean test"),
        (["resnet10t", "--data=FOLDER/train/images/a", "--split=test"], "has no splits"),
        (["resnet10t", "--data=FOLDER", "--limit=0"], "at least 1 picture"),
        (["resnet10t", "--data=FOLDER", "--images", "0"], "at least 1 picture"),  # its first name
    ],
)
def test_mistakes(words, message, folder, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [word.replace("FOLDER", str(folder)) for word in words]
    assert main(["report", *words]) == 1
    assert message in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())


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
"""


def test_segmentations_and_detectors_say_what_was_asked_about(folder, tmp_path):
    (tmp_path / "nets.py").write_text(NETS)
    words = [f"{tmp_path / 'nets.py'}:{name}" for name in ("segmenter", "detector")]
    found = report_on([*words, "resnet10t"], data=folder, count=3, size=64).contents
    segmenter, detector, classifier = found.models
    assert [model.name for model in found.models[:2]] == ["segmenter", "detector"]
    for model, begin in ((segmenter, "class "), (detector, "box of class ")):
        assert not model.answers
        assert len(model.asked) == 3
        assert all(words.startswith(begin) for words in model.asked)
        assert [layer.name for layer in model.layers] == ["asked about", "Grad-CAM"]
        assert [layer.kind for layer in model.layers] == ["asked", "cam"]
        assert model.layers[0].maps.any((1, 2)).all()
    assert (len(classifier.answers), list(classifier.asked)) == (3, [])
    assert found.layers[0] == 1  # not the region
    asked = report_on([words[0]], data=folder, count=2, size=64, target="3:0,0,32,32").contents
    assert asked.models[0].asked == ["class 3 in the outlined rectangle"] * 2
    assert asked.models[0].layers[0].maps.sum((1, 2)).tolist() == [32 * 32] * 2
