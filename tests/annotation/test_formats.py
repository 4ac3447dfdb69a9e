"""Small files of the published layouts, written here, become the masks that they mean."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from visattn.annotation.importing import import_masks
from visattn.annotation.run_lengths import bitmap_of, brush_values, coco_runs
from visattn.annotation.shapes import Shape, drawn

SIZE = {"width": 40, "height": 30}
SQUARE = np.zeros((30, 40), dtype=bool)
SQUARE[5:20, 10:30] = True
CORNERS = [(10, 5), (30, 5), (30, 20), (10, 20)]
NAME = "train/images/buri/a_buri.jpg"


def mask(root, name="a_buri", *, split="train", kind="buri"):
    path = root / split / "masks" / kind / f"{name}.png"
    return np.asarray(Image.open(path)) if path.is_file() else None


def written(tmp_path, content, name="annotations.json"):
    path = tmp_path / "given" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")
    return path


def coco(*annotations, **picture):
    return {
        "images": [{"id": 7, "file_name": "a_buri.jpg", **SIZE, **picture}],
        "categories": [{"id": 1, "name": "buri"}, {"id": 2, "name": "ebi"}],
        "annotations": [
            {"id": n, "image_id": 7, "category_id": 1, **a} for n, a in enumerate(annotations)
        ],
    }


def flat(corners):
    return [number for corner in corners for number in corner]


def columns_first(bitmap):
    values = bitmap.T.ravel().astype(int)
    ends = np.flatnonzero(np.diff(values)) + 1
    runs = np.diff(np.concatenate([[0], ends, [values.size]])).tolist()
    return runs if not values[0] else [0, *runs]


def rows_first(bitmap):
    return columns_first(bitmap.T)


def labelme(*shapes, name="a_buri.jpg"):
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": [{"group_id": None, "flags": {}, **shape} for shape in shapes],
        "imagePath": name,
        "imageData": None,
        "imageHeight": 30,
        "imageWidth": 40,
    }


def png(bitmap):
    stream = io.BytesIO()
    Image.fromarray(bitmap).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def cvat(inside, name="buri/a_buri.jpg"):
    return (
        '<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><meta/>'
        f'<image id="0" name="{name}" width="40" height="30">{inside}</image></annotations>'
    )


def studio(*results, image="/data/upload/3/1a2b3c4d-a_buri.jpg"):
    regions = [{"original_width": 40, "original_height": 30, **result} for result in results]
    return [{"id": 1, "data": {"image": image}, "annotations": [{"id": 2, "result": regions}]}]


def darwin(*annotations):
    slot = {"slot_name": "0", "type": "image", **SIZE, "source_files": [{"file_name": "x.jpg"}]}
    item = {"name": "a_buri.jpg", "path": "/buri", "slots": [slot]}
    return {"version": "2.0", "item": item, "annotations": list(annotations)}


def points(corners):
    return [{"x": x, "y": y} for x, y in corners]


def percent(corners):
    return [[100 * x / 40, 100 * y / 30] for x, y in corners]


HOLE = [(15, 10), (20, 10), (20, 15), (15, 15)]
BUSH = {"x": 25.0, "y": 50 / 3, "width": 50.0, "height": 50.0}
FORMATS = {
    "COCO polygon": coco({"segmentation": [flat(CORNERS)], "bbox": [0, 0, 1, 1], "iscrowd": 0}),
    "COCO two polygons": coco(
        {"segmentation": [flat(CORNERS[:3]), flat([CORNERS[0], *CORNERS[2:]])]}
    ),
    "COCO run lengths": coco(
        {"segmentation": {"size": [30, 40], "counts": columns_first(SQUARE)}, "iscrowd": 1}
    ),
    "COCO box": coco({"segmentation": [], "bbox": [10, 5, 20, 15]}),
    "labelme polygon": labelme({"label": "buri", "points": CORNERS, "shape_type": "polygon"}),
    "labelme rectangle": labelme(
        {"label": "Buri", "points": [[30, 20], [10, 5]], "shape_type": "rectangle"},
        name="..\\train\\images\\buri\\a_buri.jpg",
    ),
    "labelme mask": labelme(
        {
            "label": "buri",
            "points": [[10, 5], [29, 19]],
            "shape_type": "mask",
            "mask": png(SQUARE[5:20, 10:30]),
        }
    ),
    "CVAT polygon": cvat('<polygon label="buri" points="10.0,5.0;30.0,5.0;30.0,20.0;10.0,20.0"/>'),
    "CVAT box": cvat('<box label="buri" xtl="10.0" ytl="5.0" xbr="30.0" ybr="20.0" z_order="0"/>'),
    "CVAT turned box": cvat(
        '<box label="buri" xtl="12.5" ytl="2.5" xbr="27.5" ybr="22.5" rotation="90"/>'
    ),
    "CVAT mask": cvat(
        f'<mask label="buri" rle="{str(rows_first(SQUARE[3:21, 9:31]))[1:-1]}" left="9" top="3" '
        'width="22" height="18" source="manual" occluded="0" z_order="0"/>'
    ),
    "Label Studio polygon": studio(
        {
            "type": "polygonlabels",
            "value": {"points": percent(CORNERS), "closed": True, "polygonlabels": ["buri"]},
        }
    ),
    "Label Studio rectangle": studio(
        {"type": "rectanglelabels", "value": {**BUSH, "rotation": 0, "rectanglelabels": ["buri"]}},
        image="/data/local-files/?d=photos/train%20new/images/buri/a_buri.jpg",
    ),
    "Label Studio turned rectangle": studio(
        {
            "type": "rectanglelabels",
            "value": {
                "x": 75.0,
                "y": 50 / 3,
                "width": 37.5,
                "height": 200 / 3,
                "rotation": 90,
                "rectanglelabels": ["buri"],
            },
        }
    ),
    "Darwin polygon": darwin({"id": "p", "name": "buri", "polygon": {"paths": [points(CORNERS)]}}),
    "Darwin box": darwin(
        {"id": "b", "name": "buri", "bounding_box": {"x": 10, "y": 5, "w": 20, "h": 15}}
    ),
    "Darwin mask": darwin(
        {"id": "m", "name": "buri", "mask": {}},
        {"id": "other", "name": "ebi", "mask": {}},
        {"id": "t", "name": "buri", "tag": {}, "properties": [], "slot_names": ["0"]},
        {"id": "l", "name": "buri", "line": {"path": []}, "properties": [], "slot_names": ["0"]},
        {
            "id": "r",
            "name": "__raster_layer__",
            "raster_layer": {
                "dense_rle": [
                    number
                    for place, run in enumerate(rows_first(SQUARE))
                    for number in (3 * (place % 2), run)
                ],
                "mask_annotation_ids_mapping": {"m": 3, "other": 4},
                "total_pixels": 1200,
            },
        },
    ),
    "Darwin 1.0": {
        "dataset": "x",
        "image": {**SIZE, "filename": "a_buri.jpg"},
        "annotations": [{"name": "buri", "polygon": {"path": points(CORNERS)}}],
    },
    "VOC box": (
        "<annotation><folder>x</folder><filename>a_buri.jpg</filename><size><width>40</width>"
        "<height>30</height><depth>3</depth></size><object><name>buri</name><bndbox><xmin>11</xmin>"
        "<ymin>6</ymin><xmax>30</xmax><ymax>20</ymax></bndbox></object></annotation>"
    ),
    "VOC polygon": (
        "<annotation><filename>a_buri.jpg</filename><object><name>buri</name><polygon><x1>10</x1>"
        "<y1>5</y1><x2>30</x2><y2>5</y2><x3>30</x3><y3>20</y3><x4>10</x4><y4>20</y4></polygon>"
        "</object></annotation>"
    ),
}


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_each_layout_becomes_the_mask_that_it_means(name, photos, tmp_path):
    content = FORMATS[name]
    suffix = "xml" if isinstance(content, str) else "json"
    lines = import_masks(written(tmp_path, content, f"annotations.{suffix}"), photos)
    assert lines[0].startswith("1 mask written")
    np.testing.assert_array_equal(mask(photos) == 255, SQUARE)
    assert set(np.unique(mask(photos))) == {0, 255}


def test_compressed_run_lengths_are_those_of_pycocotools():
    # pycocotools.mask.encode of this bitmap, and of an ellipse with many lengths above 31
    small = np.zeros((7, 9), dtype=bool)
    small[2:6, 1:4] = True
    small[3, 5:9] = True
    runs = coco_runs("9430008MK00000M")
    np.testing.assert_array_equal(bitmap_of(runs, size=(9, 7), by_columns=True), small)
    rows, columns = np.mgrid[0:60, 0:80]
    ellipse = ((columns - 40) / 31) ** 2 + ((rows - 28) / 20) ** 2 <= 1
    text = (
        "ha01f1:I4M2N2N2N2N2N2N2O0O2O0O2O0O2O000O2O00000O2O000000000000000O20N10000000000000001N1"
        "000001N10001N101N101N101N2N2N2N2N2N2N3L7FY>"
    )
    found = bitmap_of(coco_runs(text), size=(80, 60), by_columns=True)
    np.testing.assert_array_equal(found, ellipse)
    with pytest.raises(ValueError, match="no COCO run lengths"):
        coco_runs("9430008MK0000\x7f")


def test_a_brush_is_that_of_label_studio(photos, tmp_path):
    # label_studio_brush_rle_rs.encode_rle of 7 x 9 pixels, all four channels being the mask
    packed = list(bytes.fromhex("000000fc391bfe4b00b7ff85c02dffc6017ffe300b7ff85c02dffe370000"))
    small = np.zeros((7, 9), dtype=bool)
    small[2:6, 1:4] = True
    small[3, 5:9] = True
    np.testing.assert_array_equal(brush_values(packed)[3::4].reshape(7, 9) == 255, small)
    Image.new("RGB", (9, 7)).save(photos / "train/images/buri/a_buri.jpg")
    value = {"format": "rle", "rle": packed, "brushlabels": ["buri"]}
    region = {"type": "brushlabels", "value": value, "original_width": 9, "original_height": 7}
    import_masks(written(tmp_path, studio(region)), photos)
    np.testing.assert_array_equal(mask(photos) == 255, small)
    with pytest.raises(ValueError, match="end too early"):
        brush_values(packed[:12])


def test_holes_of_darwin_stay_open(photos, tmp_path):
    ring = {"name": "buri", "polygon": {"paths": [points(CORNERS), points(HOLE)]}}
    import_masks(written(tmp_path, darwin(ring)), photos)
    expected = SQUARE.copy()
    expected[10:15, 15:20] = False
    np.testing.assert_array_equal(mask(photos) == 255, expected)


def test_a_polygon_covers_the_pixels_whose_centres_lie_inside():
    triangle = [(3.2, 1.1), (33.7, 9.4), (8.9, 27.6)]
    found = drawn([Shape("x", paths=[triangle])], size=(40, 30))
    rows, columns = np.mgrid[0:30, 0:40] + 0.5
    inside = np.ones((30, 40), dtype=bool)
    for (x1, y1), (x2, y2) in zip(triangle, triangle[1:] + triangle[:1], strict=True):
        inside &= (x2 - x1) * (rows - y1) - (y2 - y1) * (columns - x1) > 0
    assert (found != inside).sum() <= 10  # of about 90 along the edges: halves, not centres
    assert found.sum() == pytest.approx(inside.sum(), rel=0.02)


def voc_maps(tmp_path, values, *, palette=(), folder="SegmentationClass"):
    path = tmp_path / "voc" / folder / "a_buri.png"
    path.parent.mkdir(parents=True)
    picture = Image.fromarray(values.astype(np.uint8), mode="P" if palette else None)
    if palette:
        picture.putpalette(palette)
    picture.save(path)
    return tmp_path / "voc"


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated:DeprecationWarning")
def test_label_maps_of_voc(photos, tmp_path):
    values = np.where(SQUARE, 2, 0)
    values[20, 10:30] = 255
    values[0, 0] = 1
    root = voc_maps(tmp_path, values, palette=[0, 0, 0, 128, 0, 0, 0, 128, 0, *(759 * [224])])
    (root / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\nebi:128,0,0::\nburi:0,128,0::\n"
    )
    lines = import_masks(root, photos)
    np.testing.assert_array_equal(mask(photos) == 255, SQUARE)
    assert (mask(photos)[20, 10:30] == 128).all()
    assert any(line.startswith("1 shapes of another class") for line in lines)


def test_label_maps_as_colours_and_of_objects(photos, tmp_path):
    colours = np.where(SQUARE[..., None], (0, 128, 0), (0, 0, 0))
    root = voc_maps(tmp_path, colours)
    with pytest.raises(ValueError, match=r"no labelmap\.txt"):
        import_masks(root, photos)
    (root / "labelmap.txt").write_text("background:0,0,0::\nburi:0,128,0::\n")
    import_masks(root, photos)
    np.testing.assert_array_equal(mask(photos) == 255, SQUARE)
    objects = voc_maps(tmp_path / "o", np.where(SQUARE, 1, 0), folder="SegmentationObject")
    lines = import_masks(objects, photos, overwrite=True)
    assert any("without a label" in line for line in lines)


def test_twenty_classes_of_voc_by_their_numbers(photos, tmp_path):
    root = voc_maps(tmp_path, np.where(SQUARE, 8, 0))
    import_masks(root, photos, labels=["cat"])
    np.testing.assert_array_equal(mask(photos) == 255, SQUARE)
