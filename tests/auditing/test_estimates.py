"""An audit with masks that nobody has drawn."""

import numpy as np
import pytest
import torch
from PIL import Image

import visattn
from visattn.cli import main


@pytest.fixture
def photos(tmp_path):
    """Discs on noise, of two classes, without masks."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[0:32, 0:32]
    disc = (rows - 15.5) ** 2 + (columns - 15.5) ** 2 < 9**2
    for kind, colour in (("a", (230, 30, 30)), ("b", (30, 30, 230))):
        for name in "1234":
            path = tmp_path / "photos/test/images" / kind / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image = random.integers(90, 140, (32, 32, 3), dtype=np.uint8)
            image[disc] = colour
            Image.fromarray(image).save(path)
    return tmp_path / "photos"


def centre(images):
    return images[:, [0, 2], 16, 16]


def test_grabcut_in_the_place_of_masks_is_an_estimate(photos):
    found = visattn.audit(centre, photos, masks="grabcut", size=32, progress=False)
    assert found.estimate
    assert found.settings["masks"] == "grabcut"
    assert "AN ESTIMATE: the masks are predicted by grabcut" in found.table().title
    assert found.flip_rate.value == 0  # the disc stays, on whatever background
    corner = visattn.audit(
        lambda images: images[:, [0, 2], 2, 2], photos, masks="grabcut", size=32, progress=False
    )
    assert corner.flip_rate.value > 0.2


def test_given_masks_tell_how_good_the_estimate_is(photos):
    rows, columns = np.mgrid[0:32, 0:32]
    disc = (rows - 15.5) ** 2 + (columns - 15.5) ** 2 < 9**2
    for kind in "ab":
        path = photos / f"test/masks/{kind}/1.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(disc).save(path)
    found = visattn.audit(centre, photos, masks="grabcut", size=32, progress=False)
    assert found.mask_iou > 0.85


def test_one_source_of_masks(photos):
    with pytest.raises(ValueError, match="both predict masks"):
        visattn.audit(centre, photos, masks="grabcut", mask_model=lambda images: images)
    with pytest.raises(ValueError, match="'given' or 'grabcut'"):
        visattn.audit(centre, photos, masks="grab")


def test_the_command(photos, tmp_path, capsys):
    torch.manual_seed(0)
    words = ["--model=resnet10t", f"--data={photos}", "--flips-only", "--size=32"]
    out = f"--out={tmp_path / 'audit'}"
    assert main(["audit", *words, "--masks=grabcut", "--cases=0", out]) == 0
    assert "AN ESTIMATE" in capsys.readouterr().out
    assert main(["audit", *words, out]) == 1
    assert "--masks grabcut" in " ".join(capsys.readouterr().err.split())
