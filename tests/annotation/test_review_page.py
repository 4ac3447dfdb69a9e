"""The page in a real browser, and the file that it saves, put into the folder."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from quick import slow_but

from visattn.annotation.proposing import open_proposer, propose_masks
from visattn.annotation.reviewing import apply_review, apply_unseen, write_review
from visattn.cli import main

SIZES = [(1280, 800), (390, 844)]


@pytest.fixture
def proposed(photos):
    propose_masks(photos, open_proposer(), progress=False)
    return photos


@pytest.fixture
def opened(proposed, open_page, tmp_path):
    """The page of the proposals, which are six."""

    def visit(**options):
        write_review(proposed, tmp_path / "review.html")
        return open_page(tmp_path / "review.html", **options)

    return visit


def saved(view, tmp_path, *, by="#save"):
    with view.expect_download() as waiting:
        view.locator(by).click()
    assert waiting.value.suggested_filename == "masks.json"
    path = tmp_path / "masks.json"
    waiting.value.save_as(path)
    return path


def at(view, number):
    view.wait_for_function(
        "n => document.querySelector('#position').textContent.startsWith(`${n} of`)", arg=number
    )


def drag(view, start, end):
    """Drag the mouse over the picture, between points in shares of it."""
    box = view.locator("#canvas").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
    view.mouse.move(*places[0])
    view.mouse.down()
    view.mouse.move(*places[1], steps=4)
    view.mouse.up()


def masks(root):
    return {path.stem: np.asarray(Image.open(path)) for path in sorted(root.rglob("masks/*/*.png"))}


@pytest.mark.parametrize(("width", "height"), slow_but(SIZES, SIZES[-1:]))
def test_all_is_accepted_with_one_click_each(width, height, opened, proposed, tmp_path):
    view = opened(width=width, height=height)
    assert view.evaluate("document.documentElement.scrollWidth") == width
    button, canvas = view.locator("#accept"), view.locator("#canvas").bounding_box()
    for number in range(1, 7):
        at(view, number)
        box = button.bounding_box()
        assert box["height"] >= 44
        assert box["y"] + box["height"] <= height  # without scrolling
        button.click()
    assert canvas["width"] > 0.6 * min(width, height)
    assert view.locator("#progress").inner_text() == "6 of 6 decided"
    assert f"visattn masks apply {proposed} masks.json" in view.locator("#command").inner_text()
    lines = apply_review(proposed, saved(view, tmp_path))
    assert lines[0].startswith("6 masks put into")
    for name, mask in masks(proposed).items():
        kept = next(proposed.rglob(f"proposals/*/{name}.png"))
        np.testing.assert_array_equal(mask, np.asarray(Image.open(kept)))


def test_by_keyboard_accepted_rejected_and_left_open(opened, proposed, tmp_path):
    view = opened()
    view.keyboard.press("Enter")
    at(view, 2)
    view.keyboard.press("n")
    at(view, 3)
    view.keyboard.press("ArrowLeft")
    at(view, 2)
    view.keyboard.press("a")  # a change of mind, and on to what is open
    at(view, 3)
    view.keyboard.press("n")
    at(view, 4)
    file = saved(view, tmp_path)
    decisions = [entry["decision"] for entry in json.loads(file.read_text())["masks"]]
    assert decisions == ["accepted", "accepted", "rejected", "open", "open", "open"]
    lines = apply_review(proposed, file)
    assert lines == [
        f"2 masks put into {proposed}",
        "1 picture rejected, without a mask",
        "3 pictures not decided on",
    ]
    assert len(masks(proposed)) == 2


def test_brush_eraser_and_undo_change_the_mask(opened, proposed, disc, tmp_path):
    view = opened()
    drag(view, (0.1, 0.1), (0.5, 0.1))
    view.keyboard.press("e")
    assert view.locator("#eraser").get_attribute("aria-pressed") == "true"
    drag(view, (0.3, 0.5), (0.7, 0.5))
    drag(view, (0.1, 0.9), (0.9, 0.1))
    view.keyboard.press("u")
    view.keyboard.press("Enter")
    at(view, 2)
    view.keyboard.press("b")
    drag(view, (0.1, 0.1), (0.5, 0.1))
    view.locator("#again").click()
    view.keyboard.press("Enter")
    at(view, 3)
    apply_review(proposed, saved(view, tmp_path))
    first, second = (masks(proposed)[name] == 255 for name in ("a_buri", "b_buri"))
    assert first[3, 6:18].all()
    assert not first[15, 14:26].any()
    assert first[10, 19]
    assert not first[27, 4]
    kept = np.asarray(Image.open(proposed / "train/proposals/buri/b_buri.png")) == 255
    np.testing.assert_array_equal(second, kept)


def test_keys_work_after_a_button_that_can_do_no_more(opened):
    view = opened()
    drag(view, (0.1, 0.1), (0.5, 0.1))
    focused = view.evaluate(
        """() => new Promise((answer) => {
          const button = document.querySelector("#again");
          new MutationObserver(() => answer(document.activeElement.id)).observe(
            button, { attributes: true, attributeFilter: ["disabled"] });
          button.focus();
          button.click();
        })"""
    )
    assert focused == ""  # a browser gives no keys to a disabled button


@pytest.mark.slow
def test_starting_over_leaves_the_next_picture_as_it_is(opened, proposed, tmp_path):
    view = opened()
    drag(view, (0.1, 0.1), (0.5, 0.1))
    view.keyboard.press("ArrowRight")
    at(view, 2)
    drag(view, (0.1, 0.1), (0.5, 0.1))
    view.keyboard.press("ArrowLeft")
    at(view, 1)
    view.evaluate(
        """async () => {
          const real = maskOf;
          let first = true;
          maskOf = async (...given) => {
            const late = first;
            first = false;
            const mask = await real(...given);
            while (late && state.row === 0) await new Promise((go) => setTimeout(go, 10));
            return mask;
          };
          document.querySelector("#again").click();
          document.querySelector("#forward").click();
        }"""
    )
    at(view, 2)
    view.wait_for_timeout(200)
    for number in (2, 1, 3, 4, 5, 6):
        view.locator("#strip button").nth(number - 1).click()
        at(view, number)
        view.keyboard.press("a")
    apply_review(proposed, saved(view, tmp_path))
    first, second = (masks(proposed)[name] == 255 for name in ("a_buri", "b_buri"))
    assert not first[3, 6:18].any()
    assert second[3, 6:18].all()


def test_the_right_button_erases_and_touch_draws(opened, proposed, tmp_path):
    view = opened(width=390, height=844, has_touch=True)
    box = view.locator("#canvas").bounding_box()
    view.touchscreen.tap(box["x"] + 0.1 * box["width"], box["y"] + 0.1 * box["height"])
    view.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    view.mouse.down(button="right")
    view.mouse.up(button="right")
    view.locator("#accept").click()
    at(view, 2)
    apply_review(proposed, saved(view, tmp_path))
    mask = masks(proposed)["a_buri"] == 255
    assert mask[3, 4]
    assert not mask[14:16, 19:21].any()


def test_a_reload_loses_nothing_and_leaving_unsaved_asks(opened, proposed, tmp_path):
    view = opened()
    drag(view, (0.1, 0.1), (0.5, 0.1))
    view.keyboard.press("Enter")
    at(view, 2)
    file = saved(view, tmp_path)  # saved, so that the browser does not ask
    before = json.loads(file.read_text())
    view.reload()
    view.wait_for_selector("html[data-ready]")
    at(view, 2)
    assert json.loads(saved(view, tmp_path).read_text()) == before
    asks = "() => !window.dispatchEvent(new Event('beforeunload', { cancelable: true }))"
    assert not view.evaluate(asks)
    view.keyboard.press("n")
    at(view, 3)
    assert view.evaluate(asks)
    saved(view, tmp_path)


@pytest.mark.slow
def test_what_is_outside_is_dark_and_the_outline_can_be_hidden(opened):
    view = opened()

    def colour(x, y):
        with Image.open(io.BytesIO(view.locator("#canvas").screenshot())) as shown:
            return shown.convert("RGB").getpixel((x * shown.width, y * shown.height))

    assert max(colour(0.05, 0.05)) < 90
    assert colour(0.5, 0.5)[0] > 180
    view.keyboard.press("h")
    view.wait_for_timeout(100)
    assert max(colour(0.05, 0.05)) > 110


def test_no_serious_fault_of_accessibility(opened):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    for scheme in ("light", "dark"):
        found = axe.Axe().run(opened(scheme=scheme)).response["violations"]
        assert [v["id"] for v in found if v["impact"] in ("serious", "critical")] == []


def test_hostile_names_stay_text(photos, open_page, tmp_path):
    root = photos.rename(tmp_path / "a&<b>'")
    source = root / "train/images/buri/a_buri.jpg"
    source.rename(source.with_name("<img src=x onerror=alert(1)>.jpg"))
    propose_masks(root, open_proposer(), progress=False)
    write_review(root, tmp_path / "review.html")
    view = open_page(tmp_path / "review.html")
    for number in range(1, 7):
        at(view, number)
        view.keyboard.press("Enter")
    file = saved(view, tmp_path)
    assert apply_review(root, file)[0].startswith("6 masks")


@pytest.mark.slow
def test_a_large_picture_keeps_its_size(photos, open_page, tmp_path):
    path = photos / "train/images/buri/a_buri.jpg"
    Image.open(path).resize((2000, 1500)).save(path)
    propose_masks(photos, open_proposer(), split="train", progress=False)
    write_review(photos, tmp_path / "review.html")
    view = open_page(tmp_path / "review.html")
    drag(view, (0.1, 0.1), (0.5, 0.1))
    view.keyboard.press("Enter")
    apply_review(photos, saved(view, tmp_path))
    mask = masks(photos)["a_buri"]
    assert mask.shape == (1500, 2000)
    assert set(np.unique(mask)) == {0, 255}
    assert mask[150, 300:900].all()


def test_masks_of_a_person_stay(proposed, tmp_path, capsys):
    assert main(["masks", "apply", str(proposed), "proposals", "--split=train"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"4 masks put into {proposed}, which nobody has looked at")
    own = proposed / "train/masks/buri/a_buri.png"
    Image.new("L", (40, 30), 255).save(own)
    apply_unseen(proposed, overwrite=True)
    assert np.asarray(Image.open(own)).min() == 255
    lines = write_review(proposed, tmp_path / "review.html")
    assert "5 proposals" in lines[0]  # unseen ones are still to be looked at


def test_another_proposal_than_the_one_accepted_is_refused(proposed, tmp_path, capsys):
    entry = {"decision": "accepted", "proposal": "0" * 64, "mask": None}
    content = {
        "format": "visattn reviewed masks 1",
        "masks": [{"picture": "train/images/buri/a_buri.jpg", **entry}],
    }
    file = tmp_path / "masks.json"
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="not the one that was accepted"):
        apply_review(proposed, file)
    content["masks"][0]["picture"] = "train/images/buri/gone.jpg"
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="which is not in"):
        apply_review(proposed, file)
    file.write_text('{"masks": []}')
    assert main(["masks", "apply", str(proposed), str(file)]) == 1
    assert "is not what the page" in " ".join(capsys.readouterr().err.split())
    assert main(["masks", "apply", str(proposed)]) == 2
    assert main(["masks", "apply", str(proposed), "no.json"]) == 1
    assert not (proposed / "train/masks").exists()


def test_without_proposals_there_is_no_page(photos, tmp_path, capsys):
    assert main(["masks", "review", str(photos), f"--out={tmp_path / 'r.html'}"]) == 1
    assert "visattn masks propose" in capsys.readouterr().err
    assert not (tmp_path / "r.html").exists()


def test_a_page_has_as_many_proposals_as_it_is_told(proposed, tmp_path):
    path = tmp_path / "review.html"
    first, rest = write_review(proposed, path, limit=4)
    assert "4 proposals" in first
    assert rest == "2 more for the next page (--limit)"
    page = path.read_text(encoding="utf-8")
    assert "train/images/ebi/b_ebi.jpg" in page  # the last of train, which comes before test
    assert "test/images" not in page
    (whole,) = write_review(proposed, path, limit=0)
    assert "6 proposals" in whole
    with pytest.raises(ValueError, match="0 for all, got -1"):
        write_review(proposed, path, limit=-1)
