"""What does not fit is counted and told, and nothing is guessed."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.annotation.test_formats import (
    CORNERS,
    FORMATS,
    SQUARE,
    coco,
    cvat,
    flat,
    labelme,
    mask,
    studio,
    written,
)
from visattn.annotation.importing import import_masks
from visattn.cli import main

SEGMENT = {"segmentation": [flat(CORNERS)]}


def told(lines, *words):
    return any(all(word in line for word in words) for line in lines)


def test_all_that_does_not_fit_is_told(photos, tmp_path):
    content = coco(SEGMENT, {**SEGMENT, "category_id": 2}, {"segmentation": [], "bbox": []})
    content["categories"].append({"id": 3, "name": "leaf"})
    content["annotations"].append({**SEGMENT, "id": 9, "image_id": 7, "category_id": 3})
    content["images"] += [
        {"id": 8, "file_name": "gone.jpg", "width": 9, "height": 9},
        {"id": 9, "file_name": "b_buri.jpg", "width": 30, "height": 40},
        {"id": 10, "file_name": "a_ebi.jpg", "width": 40, "height": 30},
    ]
    content["annotations"].append({**SEGMENT, "id": 10, "image_id": 9, "category_id": 1})
    lines = import_masks(written(tmp_path, content), photos)
    assert lines[0].startswith("1 mask written")
    assert told(lines, "1 pictures named that are not in the folder", "gone.jpg")
    assert told(lines, "1 picture of another size", "30 x 40 in the file", "40 x 30", "b_buri.jpg")
    assert told(lines, "1 pictures without a shape that counts", "a_ebi.jpg")
    assert told(lines, "1 shapes of another class", "ebi 1")
    assert told(lines, "1 shapes with labels that do not count", "leaf 1")
    assert told(lines, "1 shapes without an area")
    assert mask(photos, "b_buri") is None
    assert mask(photos, "a_ebi", kind="ebi") is None


def test_masks_that_are_there_stay_unless_told(photos, tmp_path):
    file = written(tmp_path, coco(SEGMENT))
    place = photos / "train/masks/buri/a_buri.bmp"
    place.parent.mkdir(parents=True)
    Image.new("L", (40, 30)).save(place)
    lines = import_masks(file, photos)
    assert told(lines, "1 picture with a mask already")
    assert place.is_file()
    import_masks(file, photos, overwrite=True)
    assert not place.exists()
    np.testing.assert_array_equal(mask(photos) == 255, SQUARE)


def test_labels_that_are_no_class_are_asked_for(photos, tmp_path):
    file = written(tmp_path, labelme({"label": "sushi", "points": CORNERS}))
    with pytest.raises(ValueError, match=r"--labels which mean the object: sushi 1"):
        import_masks(file, photos)
    for labels in (["sushi"], ["*"]):
        import_masks(file, photos, labels=labels, overwrite=True)
        np.testing.assert_array_equal(mask(photos) == 255, SQUARE)


def test_a_name_that_fits_two_pictures_is_taken_for_none(photos, tmp_path):
    for split in ("train", "test"):
        Image.new("RGB", (40, 30)).save(photos / split / "images/buri/same.jpg")
    content = coco(SEGMENT)
    content["images"].append({"id": 8, "file_name": "same.jpg", "width": 40, "height": 30})
    content["annotations"].append({**SEGMENT, "id": 8, "image_id": 8, "category_id": 1})
    assert told(import_masks(written(tmp_path, content), photos), "fit several", "same.jpg")
    content["images"][1]["file_name"] = "test/images/buri/same.jpg"
    import_masks(written(tmp_path, content), photos)
    assert mask(photos, "same", split="test") is not None
    assert mask(photos, "same") is None


def test_a_folder_of_files_beside_the_pictures(photos):
    for name in ("a_buri", "b_buri"):
        shape = {"label": "buri", "points": CORNERS, "shape_type": "polygon"}
        file = photos / "train/images/buri" / f"{name}.json"
        file.write_text(json.dumps(labelme(shape, name=f"{name}.jpg")))
    (photos / "classes.json").write_text('["buri", "ebi"]')
    lines = import_masks(photos, photos)
    assert lines[0].startswith("2 masks written")
    assert told(lines, "1 files that are no annotations", "classes.json")


@pytest.mark.parametrize(("turned", "expected"), [("upright", "seen"), ("stored", "turned")])
def test_a_picture_that_the_camera_turned(turned, expected, photos, tmp_path):
    path = photos / "train/images/buri/a_buri.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise: stored 40 x 30, seen 30 x 40
    Image.new("RGB", (40, 30)).save(path, exif=exif)
    file = written(tmp_path, coco(SEGMENT))
    with_other = coco(SEGMENT, **{"width": 30, "height": 40})
    assert told(import_masks(file, photos), "1 picture that the camera's orientation", "--turned")
    assert mask(photos) is None
    import_masks(file, photos, turned=turned)
    found = mask(photos) == 255
    assert found.shape == (40, 30)
    if expected == "turned":
        np.testing.assert_array_equal(found, np.rot90(SQUARE, -1))
    else:
        import_masks(written(tmp_path, with_other), photos, overwrite=True)
        np.testing.assert_array_equal(found, mask(photos) == 255)


def test_a_mask_over_the_edge_is_cut_off(photos, tmp_path):
    runs = '<mask label="buri" rle="0, 400" left="30" top="20" width="20" height="20"/>'
    import_masks(written(tmp_path, cvat(runs), "a.xml"), photos)
    assert mask(photos)[20:, 30:].min() == 255
    assert (mask(photos) == 255).sum() == 100
    outside = '<box label="buri" xtl="50" ytl="40" xbr="60" ybr="50"/>'
    lines = import_masks(written(tmp_path, cvat(outside), "a.xml"), photos, overwrite=True)
    assert told(lines, "1 picture whose shapes lie outside")


def test_boxes_alone_are_told_and_may_be_left_out(photos, tmp_path):
    file = written(tmp_path, FORMATS["VOC box"], "a.xml")
    assert told(import_masks(file, photos), "1 of them from boxes alone", "propose")
    with pytest.raises(ValueError, match="no shape marks an object"):
        import_masks(file, photos, boxes=False)


def test_cancelled_annotations_and_predictions_count_for_nothing(photos, tmp_path):
    task = FORMATS["Label Studio polygon"][0]
    cancelled = [{**task["annotations"][0], "was_cancelled": True}]
    content = [{**task, "annotations": cancelled, "predictions": task["annotations"]}]
    with pytest.raises(ValueError, match="no shape marks an object"):
        import_masks(written(tmp_path, content), photos)


@pytest.mark.parametrize("kind", ["text for numbers", "one flat polygon", "as in an address"])
def test_coco_as_other_tools_write_it(kind, photos, tmp_path):
    content, name = coco(SEGMENT), "a_buri"
    if kind == "text for numbers":
        content["annotations"][0] |= {"image_id": "7", "category_id": "1"}
    elif kind == "one flat polygon":
        content["annotations"][0]["segmentation"] = flat(CORNERS)
    else:
        name = "04- 6 (2) käse"
        path = photos / "train/images/buri/a_buri.jpg"
        path.rename(path.with_name(f"{name}.jpg"))
        content["images"][0]["file_name"] = "04-%206%20(2)%20ka%CC%88se.JPG"  # and accents apart
    import_masks(written(tmp_path, content), photos)
    np.testing.assert_array_equal(mask(photos, name) == 255, SQUARE)


def test_regions_of_label_studio_without_a_size_or_pixels_are_told(photos, tmp_path):
    good = FORMATS["Label Studio polygon"][0]["annotations"][0]["result"][0]
    bare = {key: value for key, value in good.items() if not key.startswith("original")}
    empty = {"type": "brushlabels", "value": {"format": "rle", "rle": [], "brushlabels": ["buri"]}}
    choice = {"type": "choices", "value": {"choices": ["yes"]}}
    content = studio(empty, good, choice)
    content[0]["annotations"][0]["result"].append(bare)
    lines = import_masks(written(tmp_path, content), photos)
    assert told(lines, "2 shapes without an area", "empty brush 1", "without original_width 1")
    np.testing.assert_array_equal(mask(photos) == 255, SQUARE)


def test_files_of_sessions_whose_pictures_are_called_the_same(photos):
    for split in ("train", "test"):
        source = photos / "train/images/buri/a_buri.jpg"
        (photos / split / "images/buri/frame_0.jpg").write_bytes(source.read_bytes())
        box = '<box label="buri" xtl="10" ytl="5" xbr="30" ybr="20"/>'
        file = photos / split / "images/buri/annotations.xml"
        file.write_text(cvat(box, name="frame_0.jpg"))
    assert import_masks(photos, photos)[0].startswith("2 masks")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", {"hello": 1}, "none of the formats"),
        ("a.json", "{", "cannot read"),
        ("a.xml", "<annotations><track/></annotations>", "CVAT for video"),
        (
            "a.json",
            {"images": [{}], "annotations": []},
            "not as COCO is published: 'id' is missing",
        ),
        ("a.json", coco({"segmentation": {"size": [2, 2], "counts": [9]}}), "do not fit"),
        (
            "a.json",
            studio({"type": "brushlabels", "value": {"format": "rle", "rle": [1]}}),
            "early",
        ),
        ("a.zip", "PK", "unpack it"),
        ("a.json", coco(SEGMENT, file_name="gone.jpg"), "none of the 1 pictures"),
    ],
)
def test_bad_files_are_one_message(name, content, message, photos, tmp_path, capsys):
    file = written(tmp_path, content, name)
    assert main(["masks", "import", str(file), str(photos)]) == 1
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (photos / "train/masks").exists()


def test_the_command(photos, tmp_path, capsys):
    file = written(tmp_path, labelme({"label": "fish", "points": CORNERS}))
    assert main(["masks", "import", str(file), str(photos), "--labels=fish,sushi"]) == 0
    out = capsys.readouterr().out
    assert "1 mask written" in out
    assert "next: visattn" in out
    assert main(["masks", "import", "no.json", str(photos)]) == 1
    assert "expected annotations at no.json" in capsys.readouterr().err
