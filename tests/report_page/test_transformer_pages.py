"""Plain transformers on the page: layers, heads, places that ask, class token."""

import re
from base64 import b64decode

import numpy as np
import pytest
import timm
import torch
from recording.small_transformers import small

import visattn
from visattn.report_page import pairwise
from visattn.report_page.coding import Levels
from visattn.report_page.packing import Quantised
from visattn.report_page.pairwise import pairwise_layer


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("vit_tiny_patch16_224", {"blocks.0.attn": ["cls_token"]}),
        (
            "deit_tiny_distilled_patch16_224",
            {"blocks.1.attn": ["cls_token", "dist_token"]},
        ),
        ("swin_tiny_patch4_window7_224", {"layers.0.blocks.1.attn": []}),
        ("cait_xxs24_224", {"blocks.0.attn": [], "blocks_token_only.1.attn": ["cls_token"]}),
    ],
)
def test_transformers_show_layers_heads_places_and_tokens(name, tokens):
    model, images = small(name)
    images = images.sigmoid()
    found = visattn.report(model, images, curves=False)
    layers = {layer.name: layer for layer in found.contents.models[0].layers}
    with torch.inference_mode(), visattn.record(model) as maps:
        model(images)
    assert list(layers) == [site for site in maps if maps[site].heat_kind == "pairwise"]
    for site, expected in tokens.items():
        layer, pairwise = layers[site], maps[site].pairwise
        assert list(layer.tokens) == expected
        begin, own = len(pairwise.query_prefix), len(pairwise.key_prefix)
        numbers = [*range(len(expected)), *range(begin, pairwise.tokens)]
        rows = pairwise.rows(numbers)[1, ..., own:].double().numpy()
        kept = [part for part in (layer.token_rows[1], layer.rows[1]) if part.bytes.size]
        shown = np.concatenate([part.restored() for part in kept], 1)
        half = np.ptp(rows, -1, keepdims=True) / 510
        assert shown.shape == rows.shape
        assert (np.abs(shown - rows) <= half * 1.01 + 1e-7).all()


def test_what_pairwise_layers_keep_shrinks_with_the_page():
    model, images = small("vit_tiny_patch16_224")
    with torch.inference_mode(), visattn.record(model) as maps:
        model(images)
    whole = maps["blocks.0.attn"].pairwise
    layer = pairwise_layer("x", [whole], row_bytes=130)
    assert isinstance(layer.token_rows[0], Quantised)
    assert isinstance(layer.rows[0], Levels)
    assert layer.rows[0].bytes.shape == (3, len(layer.kept[0]) * len(layer.kept[1]), 16)
    assert layer.remark.startswith("Kept small: the nearest of ")
    assert "weights from places within 1/" in layer.remark
    least = pairwise_layer("x", [whole], row_bytes=20)
    assert [len(places) for places in least.kept] == [1, 1]
    assert least.token_rows[0].bytes.shape == (3, 1, 16)


def test_rows_beyond_a_window_cost_nearly_nothing():
    model, images = small("swin_tiny_patch4_window7_224")
    with torch.inference_mode(), visattn.record(model) as maps:
        model(images)
    windowed = maps["layers.0.blocks.0.attn"].pairwise
    layer = pairwise_layer("x", [windowed], row_bytes=6000)
    assert layer.rows[0].bytes.size > 2 * 6000
    assert len(b64decode(layer.as_json()["rows"]["streams"][0])) <= 6000


def test_a_vit_b_and_24_pictures_take_under_5_mb():
    """Queries and keys as of ViT-B/16: 12 layers, 12 heads and 14 x 14 places."""
    options = {"img_size": 56, "patch_size": 4, "embed_dim": 48, "depth": 12, "num_heads": 12}
    model = timm.create_model("vit_base_patch16_224", num_classes=9, **options).eval()
    for name, weight in model.named_parameters():
        if "qkv" in name:
            torch.nn.init.normal_(weight, std=0.5)  # far from flat, and hard to compress
    images = torch.rand(24, 3, 56, 56)
    found = visattn.report(model, images, curves=False)
    assert len(found.html) < 4_500_000  # which leaves room for photographs
    with torch.inference_mode(), visattn.record(model) as maps:
        model(images)
    for layer in found.contents.models[0].layers:
        attention = maps[layer.name].pairwise
        kept = [1 + 14 * y + x for y in layer.kept[0] for x in layer.kept[1]]
        assert len(kept) >= 9
        within = int(re.search(r"within 1/(\d+) of each row's highest", layer.remark)[1])
        token, places = (
            attention.rows([0])[..., 1:].double(),
            attention.rows(kept)[..., 1:].double(),
        )
        for number in (0, 23):  # every head: the largest error against the softmax
            of_token = layer.token_rows[number].restored() - token[number].numpy()
            assert (np.abs(of_token) <= np.ptp(token[number].numpy(), -1)[..., None] / 509).all()
            of_places = np.abs(layer.rows[number].restored() - places[number].numpy()).max(-1)
            assert (of_places <= places[number].numpy().max(-1) / within).all()


def test_class_token_and_heads_in_the_browser(open_page, tmp_path):
    model, images = small("vit_tiny_patch16_224")
    images = images.sigmoid()
    path = visattn.report(model, images, curves=False).save(tmp_path / "page.html")
    with torch.inference_mode(), visattn.record(model) as maps:
        model(images)
    site = maps["blocks.1.attn"]
    view = open_page(path)
    panel = view.locator(".panel[data-place='A']")
    panel.locator(".layer select").select_option(index=1)
    panel.locator(".values summary").click()
    for mode, head, expected in (
        ("cls_token", "mean", site.token("cls_token")),
        ("cls_token", "3", site.token("cls_token", head=2)),
        ("this place", "2", site.query(2, 1, head=1)),
    ):
        panel.locator(".mode select").select_option(label=mode)
        panel.locator(".head select").select_option(label=head)
        canvas = panel.locator(".viewer canvas")
        canvas.evaluate("canvas => canvas.scrollIntoView({ block: 'center' })")
        box = canvas.bounding_box()
        view.mouse.move(box["x"] + box["width"] * 0.375, box["y"] + box["height"] * 0.625)
        start = "cls_token looks" if mode == "cls_token" else "From row 3, column 2:"
        view.wait_for_function(
            "start => document.querySelector('.panel .readout').textContent.startsWith(start)",
            arg=start,
        )
        view.wait_for_timeout(50)
        cells = panel.locator(".table tbody td").all_inner_texts()
        expected = expected[0].flatten().double().numpy()
        half = np.ptp(expected) / 510 if head != "mean" else np.ptp(expected) / 100
        assert np.abs(np.array(cells, float) - expected).max() <= half * 1.01 + 1e-5


def test_coded_rows_of_every_head_in_the_browser(open_page, tmp_path, monkeypatch):
    monkeypatch.setattr(pairwise, "ROW_BYTES", 130)
    model, images = small("vit_tiny_patch16_224")
    images = images.sigmoid()
    page = visattn.report(model, images, curves=False)
    with torch.inference_mode(), visattn.record(model) as maps:
        model(images)
    layer = page.contents.models[0].layers[1]
    (ys, xs), attention = layer.kept, maps[layer.name].pairwise
    assert isinstance(layer.rows[0], Levels)
    assert 1 < len(ys) * len(xs) < 16
    within = layer.rows[0].within
    view = open_page(page.save(tmp_path / "page.html"))
    panel = view.locator(".panel[data-place='A']")
    panel.locator(".layer select").select_option(index=1)
    panel.locator(".mode select").select_option(label="this place")
    panel.locator(".values summary").click()
    assert f"within 1/{within} of each row's highest" in panel.locator(".remark").inner_text()
    for y in ys:
        for x in xs:
            box = panel.locator(".viewer canvas").bounding_box()
            at = box["x"] + (x + 0.5) / 4 * box["width"], box["y"] + (y + 0.5) / 4 * box["height"]
            view.mouse.click(*at)
            for head in range(3):
                panel.locator(".head select").select_option(label=str(head + 1))
                start = f"From row {y + 1}, column {x + 1}:"
                assert panel.locator(".readout").inner_text().startswith(start)
                cells = panel.locator(".table tbody td").all_inner_texts()
                shown, number = np.array(cells, float), page.contents.opening
                true = attention.query(y, x, head=head)[number].flatten().double().numpy()
                assert np.abs(shown - true).max() <= true.max() / within + 1e-5


@pytest.mark.slow
def test_class_attention_alone_in_the_browser(open_page, tmp_path):
    """CaiT's last layers, in which no place asks."""
    model, images = small("cait_xxs24_224")
    view = open_page(
        visattn.report(model, images.sigmoid(), curves=False).save(tmp_path / "p.html")
    )
    panel = view.locator(".panel[data-place='A']")
    panel.locator(".layer select").select_option(
        label=re.search(
            r"blocks_token_only\.1.*", panel.locator(".layer select").inner_text()
        ).group()
    )
    assert panel.locator(".mode select option").all_inner_texts() == ["cls_token"]
    grids = view.locator(".tile small:has-text('attention')").all_inner_texts()
    assert len(grids) > 2
    assert set(grids) == {"attention 4 × 4"}  # of the places that are asked, as none asks
    assert panel.locator(".readout").inner_text().startswith("cls_token looks most at row")
    view.locator(".panel[data-place='A'] .viewer").focus()
    view.keyboard.press("ArrowRight")
    with view.expect_download() as waiting:
        panel.locator(".numbers").click()
    assert waiting.value.suggested_filename.endswith("blocks_token_only.1.attn_cls_token.csv")


@pytest.mark.slow
def test_the_picture_comes_before_the_controls_on_a_narrow_page(open_page, tmp_path):
    model, images = small("vit_tiny_patch16_224")
    path = visattn.report(model, images.sigmoid(), curves=False).save(tmp_path / "page.html")
    for width, first in ((390, "picture"), (1400, "controls")):
        view = open_page(path, width=width)
        tops = {
            name: view.locator(place).first.bounding_box()["y"]
            for name, place in (("picture", ".viewer"), ("controls", ".controls"))
        }
        assert min(tops, key=tops.get) == first
        if width == 390:
            assert tops["picture"] < 250
            strip = view.locator("#strip").bounding_box()["y"]
            assert tops["controls"] < strip
