"""The page in a real browser, without a network."""

import csv
import io
import re
import time
from itertools import count

import numpy as np
import pytest
import torch
from quick import slow_but

import visattn
from visattn.attention import scaled_softmax
from visattn.metrics import energy_pointing, mask_iou, resize_saliency
from visattn.recording import PairwiseMap
from visattn.report_page.contents import Answer, Contents, ModelView, Picture
from visattn.report_page.layers import QueryKeyLayer
from visattn.report_page.page import Report
from visattn.report_page.pairwise import pairwise_layer

playwright = pytest.importorskip(
    "playwright.sync_api", reason="the browser tests need the package playwright"
)
HOSTILE = "<img src=x onerror=alert(1)>.png"
NUMBER = r"-?[\d.]+(?:e[-+]\d+)?"


@pytest.fixture
def visit(open_page, tmp_path):
    """Opens a report; in the end nothing may have been asked for, said or shown beside the page."""
    numbers = count()

    def opened(report, **options):
        return open_page(report.save(tmp_path / f"report-{next(numbers)}.html"), **options)

    return opened


def choose(view, number):
    """Show a picture, with the mouse."""
    view.locator(f"#strip [data-picture='{number}']").click()
    view.wait_for_function(
        "n => document.querySelector('#position').textContent.startsWith(`${n + 1} of`)", arg=number
    )


def point(view, place, *, y, x, size, letter="A"):
    """Move the mouse onto the middle of a cell of a map."""
    canvas = view.locator(f".panel[data-place='{letter}'] .viewer canvas")
    canvas.evaluate("canvas => canvas.scrollIntoView({ block: 'center' })")
    box = canvas.bounding_box()
    at = (
        box["x"] + (x + 0.5) / size[1] * box["width"],
        box["y"] + (y + 0.5) / size[0] * box["height"],
    )
    place(*at)


def table(view, letter="A"):
    """The numbers that the page shows of a map, from its table."""
    rows = view.locator(f".panel[data-place='{letter}'] .table tbody tr")
    cells = rows.evaluate_all(
        "rows => rows.map(row => Array.from(row.querySelectorAll('td'), cell => cell.textContent))"
    )
    return np.array(cells, dtype=float)


def saved(view, letter="A"):
    """The numbers that the page saves."""
    with view.expect_download() as waiting:
        view.locator(f".panel[data-place='{letter}'] .numbers").click()
    text = waiting.value.path().read_text()
    return np.array(list(csv.reader(io.StringIO(text))), dtype=float), waiting.value


def expected_row(models, scenes, *, picture, y, x):
    with torch.inference_mode(), visattn.record(models["attending"]) as maps:
        models["attending"](scenes["images"])
    return maps["layer2.0"].query(y, x)[picture].double().numpy()


@pytest.mark.parametrize(("y", "x"), slow_but([(0, 0), (3, 9), (13, 13)], [(3, 9)]))
def test_hovering_shows_the_row_of_the_place(visit, page, models, scenes, y, x):
    view = visit(page)
    choose(view, 2)
    view.locator(".panel[data-place='A'] .values summary").click()
    before = view.locator(".panel[data-place='A'] .readout").inner_text()
    point(view, view.mouse.move, y=y, x=x, size=(14, 14))
    view.wait_for_function(
        "start => document.querySelector('.panel .readout').textContent.startsWith(start)",
        arg=f"From row {y + 1}, column {x + 1}:",
    )
    expected = expected_row(models, scenes, picture=2, y=y, x=x)
    half = np.ptp(expected) / 510
    shown = table(view)
    assert shown.shape == (14, 14)
    assert (np.abs(shown - expected) <= half * 1.001 + 5e-5 * expected).all()  # five digits
    row, column, value = re.search(
        rf"most at row (\d+), column (\d+) \(({NUMBER})\)",
        view.locator(".panel[data-place='A'] .readout").inner_text(),
    ).groups()
    assert expected[int(row) - 1, int(column) - 1] >= expected.max() - 2 * half
    assert float(value) == pytest.approx(expected.max(), rel=0.01)
    view.mouse.move(2, 2)  # away: the kept place comes back
    view.wait_for_function(
        "text => document.querySelector('.panel .readout').textContent === text", arg=before
    )


def test_a_hover_draws_only_what_is_new(visit, page):
    """Nothing inside of a cell that asks already; in another one the same elements go on."""
    view = visit(page)
    choose(view, 2)
    view.locator("#compare").uncheck()
    readout = view.locator(".panel[data-place='A'] .readout")
    point(view, view.mouse.move, y=3, x=9, size=(14, 14))
    playwright.expect(readout).to_contain_text("From row 4, column 10:")
    view.evaluate(
        """() => {
          const draw = CanvasRenderingContext2D.prototype.drawImage;
          window.drawn = 0;
          CanvasRenderingContext2D.prototype.drawImage = function (...given) {
            window.drawn++;
            return draw.apply(this, given);
          };
          window.score = document.querySelector(".panel .score");
        }"""
    )
    point(view, view.mouse.move, y=3.3, x=8.8, size=(14, 14))
    view.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    assert view.evaluate("drawn") == 0
    point(view, view.mouse.move, y=4, x=9, size=(14, 14))
    playwright.expect(readout).to_contain_text("From row 5, column 10:")
    assert view.evaluate("[drawn > 0, score.isConnected]") == [True, True]
    canvases = view.locator("canvas:visible").count()
    assert canvases == 2  # the map's and its scale's; each is handed over anew in every frame


def test_a_click_keeps_the_place_and_the_numbers_can_be_saved(visit, page, models, scenes):
    view = visit(page)
    choose(view, 4)
    point(view, view.mouse.click, y=5, x=11, size=(14, 14))
    found, file = saved(view)
    expected = expected_row(models, scenes, picture=4, y=5, x=11)
    assert np.abs(found - expected).max() <= np.ptp(expected) / 510 * 1.001
    assert file.suggested_filename == "image_5_attending_layer2.0_row6_column12.csv"
    with view.expect_download() as waiting:
        view.locator(".panel[data-place='A'] .picture").click()
    assert waiting.value.path().read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.slow
def test_arrow_keys_move_both_maps_and_say_where(visit, page):
    view = visit(page)
    choose(view, 1)
    point(view, view.mouse.click, y=4, x=4, size=(14, 14))
    view.mouse.move(2, 2)
    view.locator(".panel[data-place='A'] .viewer").focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "Shift+ArrowRight"):
        view.keyboard.press(key)
    readout = view.locator(".panel[data-place='A'] .readout")
    playwright.expect(readout).to_contain_text("From row 7, column 10:")
    playwright.expect(view.locator("#live")).to_contain_text("From row 7, column 10:")
    playwright.expect(view.locator("#live")).to_contain_text("of the map lies on the object")
    other = view.locator(".panel[data-place='B'] .readout")  # 4 x 4: the same place
    playwright.expect(other).to_contain_text("Row 2, column 3:")
    view.keyboard.press("PageDown")
    playwright.expect(view.locator("#position")).to_have_text("3 of 6")
    playwright.expect(view.locator(".panel[data-place='A'] .viewer")).to_be_focused()


def test_overlap_with_the_true_mask_is_that_of_the_metrics(visit, page, models, scenes):
    view = visit(page)
    choose(view, 3)
    view.locator(".panel[data-place='B'] .layer select").select_option(
        label=re.search(
            r"layer3\.0 · map.*", view.locator(".panel[data-place='B'] .layer select").inner_text()
        ).group()
    )
    with torch.inference_mode(), visattn.record(models["gated"]) as maps:
        models["gated"](scenes["images"])
    resized = resize_saliency(maps["layer3.0"].spatial[3:4].double(), size=(112, 112))
    native = maps["layer3.0"].spatial[3]
    scores = view.locator(".panel[data-place='B'] .score strong")
    for share in (25, 70):
        view.locator("#threshold").fill(str(share))
        threshold = float(native.min() + share / 100 * (native.max() - native.min()))
        iou = float(mask_iou(resized, scenes["masks"][3:4], threshold=threshold))
        playwright.expect(view.locator("#threshold-value")).to_have_text(f"{share} %")
        view.wait_for_timeout(100)
        assert float(scores.nth(0).inner_text()) == pytest.approx(iou, abs=0.012)
    inside = float(energy_pointing(resized, scenes["masks"][3:4]))
    assert scores.nth(1).inner_text() == f"{100 * inside:.0f} %"


@pytest.mark.slow
def test_opacity_and_theme_change_what_is_seen(visit, page):
    view = visit(page)
    canvas = view.locator(".panel[data-place='A'] .viewer canvas")
    view.locator("#outline").uncheck()
    view.locator("#region").uncheck()
    seen = set()
    for share in ("0", "50", "100"):
        view.locator("#opacity").fill(share)
        view.wait_for_timeout(60)
        seen.add(canvas.evaluate("canvas => canvas.toDataURL()"))
    assert len(seen) == 3
    grounds = set()
    for theme in ("light", "dark"):
        view.locator("#theme").select_option(value=theme)
        grounds.add(view.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(grounds) == 2


def test_a_hostile_name_is_only_a_name(visit, models, scenes):
    report = visattn.report(
        {HOSTILE: models["attending"], "</script><script>alert(2)</script>": models["gated"]},
        scenes["images"],
        masks=scenes["masks"],
        labels=scenes["labels"],
        classes=[HOSTILE, "<b>", "'\"><svg onload=alert(4)>", "{{data}}"],
        names=[HOSTILE] * 6,
        title=f"</title>{HOSTILE}",
        note="<script>alert(5)</script>",
        curves=False,
    )
    view = visit(report)
    for number in range(3):
        choose(view, number)
    assert view.locator("#picture-name").inner_text() == HOSTILE
    assert view.locator("h1").inner_text() == f"</title>{HOSTILE}"
    assert view.locator("script").count() == 2
    assert view.locator("img:not([src^='data:'])").count() == 0
    _, file = saved(view)
    assert re.fullmatch(r"[\w.-]+\.csv", file.suggested_filename)


def test_letters_without_a_font_are_romanised_and_said(visit, models, scenes):
    """Of Japanese, of which there may be a font, and of cuneiform."""
    roman = {"寿司": "U+5BFF U+53F8*", "\U00012000": "U+12000*", "Küche": "Küche"}
    classes, title = [*roman, "tamago"], "\U00012000 – x"
    view = visit(visattn.report(models, **scenes, classes=classes, curves=False, title=title))
    draw = """text => {
      const pen = document.createElement("canvas").getContext("2d");
      pen.font = "16px system-ui";
      pen.fillText(text, 2, 19);
      return pen.getImageData(0, 0, 24, 24).data.join();
    }"""
    empty = view.evaluate(draw, "\U0010fffd")
    lacking = [text for text in roman if view.evaluate(draw, text[0]) == empty]
    view.wait_for_selector("#answers tbody th")
    said = " ".join(view.locator("#answers tbody th").all_inner_texts())
    for text in roman:
        assert (roman[text] if text in lacking else text) in said
    assert "Küche" not in lacking
    shown = "U+12000 – x*" if "\U00012000" in lacking else title
    assert view.locator("#title").inner_text() == shown
    assert ("Romanised" in view.locator("#note").inner_text()) == bool(lacking)


def test_the_policy_holds(browser, page, tmp_path):
    """A script, a style, a request and a picture from elsewhere are all refused."""
    context = browser.new_context(offline=True)
    view = context.new_page()
    asked = []
    view.goto(page.save(tmp_path / "report.html").as_uri())
    view.wait_for_selector("html[data-ready]")
    view.on("request", lambda request: asked.append(request))
    refused = view.evaluate(
        """async () => {
          const refused = [];
          document.addEventListener("securitypolicyviolation", (event) =>
            refused.push(event.effectiveDirective));
          const script = document.createElement("script");
          script.textContent = "window.fooled = true";
          document.body.append(script);
          const image = document.createElement("img");
          image.src = "https://example.org/x.png";
          document.body.append(image);
          document.body.setAttribute("style", "color: red");
          await fetch("https://example.org/").catch(() => {});
          await new Promise((done) => setTimeout(done, 200));
          return [refused, window.fooled === undefined];
        }"""
    )
    context.close()
    directives, unharmed = refused
    assert unharmed
    assert [request.failure for request in asked] == ["csp"] * len(asked)
    assert {"script-src-elem", "img-src", "connect-src", "style-src-attr"} <= set(directives)


def test_queries_and_keys_become_rows_in_the_browser(visit):
    torch.manual_seed(1)
    maps = PairwiseMap(
        torch.randn(1, 2, 324, 6),
        torch.randn(1, 2, 324, 6),
        (18, 18),
        (18, 18),
        scaled_softmax(0.3),
    )
    layer = pairwise_layer("far", [maps])
    assert isinstance(layer, QueryKeyLayer)
    pixels = np.full((90, 90, 3), 128, np.uint8)
    contents = Contents(
        "Rows",
        "",
        [Picture("a.png", pixels)],
        [ModelView("m", [layer], [Answer([0], [1.0])])],
        layers=[0],
    )
    view = visit(Report(contents))
    point(view, view.mouse.click, y=10, x=3, size=(18, 18))
    found, _ = saved(view)
    expected = maps.query(10, 3)[0].double().numpy()
    assert np.abs(found - expected).max() <= np.ptp(expected) / 510
    view.locator(".panel[data-place='A'] .head select").select_option(index=2)
    found, _ = saved(view)
    expected = maps.query(10, 3, head=1)[0].double().numpy()
    assert np.abs(found - expected).max() <= np.ptp(expected) / 510
    view.locator(".panel[data-place='A'] .mode select").select_option(value="mean")
    found, _ = saved(view)
    rows = maps.function(maps.queries, maps.keys)[0, 1].double()
    assert np.abs(found.ravel() - rows.mean(0).numpy()).max() <= 1e-4


@pytest.mark.slow
def test_a_page_without_masks_labels_and_maps(visit, models, scenes):
    plain = visattn.report(models["gated"], scenes["images"][:1], curves=False)
    view = visit(plain)
    assert view.locator(".score .name").all_inner_texts() == ["Area marked"]
    none = Contents(
        "Nothing",
        "",
        plain.contents.pictures,
        [ModelView("m", [], [Answer([0], [1.0])])],
        layers=[-1],
    )
    view = visit(Report(none))
    assert view.locator(".panel .empty").first.is_visible()
    assert view.locator(".panel[data-place='A'] .answer").inner_text().startswith("m says class 0")


def test_in_a_frame_of_a_notebook(browser, page, tmp_path):
    context = browser.new_context(offline=True)
    view = context.new_page()
    path = tmp_path / "notebook.html"
    path.write_text(f"<!doctype html><title>x</title>{page._repr_html_()}", encoding="utf-8")
    view.goto(path.as_uri())
    frame = view.frame_locator("iframe")
    frame.locator("html[data-ready]").wait_for(state="attached")
    assert frame.locator("h1").inner_text() == "Where the network looks"
    origin = view.frames[1].evaluate("self.origin")
    context.close()
    assert origin == "null"


@pytest.mark.parametrize(
    ("width", "scheme"),
    slow_but([(1400, "light"), (1400, "dark"), (390, "light"), (390, "dark")], [(390, "light")]),
)
def test_no_serious_fault_in_accessibility(visit, page, width, scheme):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright",
        reason="the accessibility test needs the package axe-playwright-python",
    )
    view = visit(page, width=width, scheme=scheme)
    assert view.evaluate("document.documentElement.scrollWidth") == width
    view.locator(".panel[data-place='A'] .values summary").click()
    assert serious(axe.Axe().run(view)) == []
    view.locator("#help-open").click()
    assert serious(axe.Axe().run(view)) == []


def serious(results):
    return [
        (fault["id"], [node["target"] for node in fault["nodes"]])
        for fault in results.response["violations"]
        if fault["impact"] in ("serious", "critical")
    ]


def test_everything_can_be_reached_with_the_tab_key(visit, page):
    view = visit(page)
    reached = set()
    for _ in range(60):
        view.keyboard.press("Tab")
        reached.add(
            view.evaluate(
                "(document.activeElement.id || document.activeElement.className"
                " || document.activeElement.name || document.activeElement.parentElement.className)"
            )
        )
    assert {
        "theme",
        "help-open",
        "filter",
        "picture",
        "previous",
        "next",
        "compare",
        "opacity",
        "threshold",
        "range",
        "smooth",
        "viewer",
        "choice layer",
        "numbers",
        "tile",
    } <= reached


@pytest.mark.slow
def test_time_to_open_and_to_answer(visit, page, record_property):
    """Measured and reported, not asserted."""
    begun = time.perf_counter()
    view = visit(page)
    opening = time.perf_counter() - begun
    record_property("seconds to open", round(opening, 3))
    box = view.locator(".panel[data-place='A'] .viewer canvas").bounding_box()
    times = view.evaluate(
        """async ([left, top, width, height]) => {
          const viewer = document.querySelector(".panel .viewer");
          const times = [];
          for (let i = 1; i < 14; i++) {
            const begun = performance.now();
            viewer.dispatchEvent(new PointerEvent("pointermove", {
              clientX: left + (width * i) / 14, clientY: top + (height * i) / 14, bubbles: true }));
            await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
            times.push(performance.now() - begun);
          }
          return times;
        }""",
        [box["x"], box["y"], box["width"], box["height"]],
    )
    record_property("milliseconds to answer a hover", [round(value, 1) for value in times])
    print(f"\nopens in {opening:.2f} s, answers a hover in {np.median(times):.0f} ms")
    assert len(times) == 13


@pytest.mark.slow
def test_a_segmentation_says_what_it_was_asked_about(visit, models, scenes):
    torch.manual_seed(0)
    body = torch.nn.Conv2d(3, 8, 5, stride=4, padding=2)
    segmenter = torch.nn.Sequential(body, torch.nn.ReLU(), torch.nn.Conv2d(8, 3, 1)).eval()
    both = {"segmenter": segmenter, "gated": models["gated"]}
    found = visattn.report(both, **scenes, classes=["buri", "ebi", "ika", "tamago"], curves=False)
    asked = found.contents.models[0].asked
    view = visit(found)
    choose(view, 2)
    answer = view.locator(".panel[data-place='A'] .answer")
    answer.filter(has_text=asked[2]).wait_for()  # the panels come after the number
    assert answer.inner_text() == f"segmenter was asked about: {asked[2]}"
    assert view.locator(".panel[data-place='B'] .answer").inner_text().startswith("gated says ")
    assert view.locator("#answers").is_visible()  # those of the other
    view.locator("#compare").uncheck()
    view.locator("#answers").wait_for(state="hidden")
    names = view.locator(".tile-name").all_inner_texts()
    assert names == ["asked about", "Grad-CAM"]
