import gc
import shutil

import hypothesis
import pytest
import torch
from tiny_pictures import write_folder

# Quick in every run of the tests; with --hypothesis-profile=long 12,000 examples over all.
_EITHER = {
    "deadline": None,
    "suppress_health_check": [
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.function_scoped_fixture,
    ],
}
hypothesis.settings.register_profile("quick", max_examples=25, derandomize=True, **_EITHER)
hypothesis.settings.register_profile("long", max_examples=250, **_EITHER)
hypothesis.settings.load_profile("quick")


@pytest.hookimpl(trylast=True)
def pytest_collection_finish():
    """What was imported stays: garbage is not looked for in it, and elsewhere seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000)


def pytest_sessionfinish():
    gc.unfreeze()


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """A data set of 8 training and 4 images for each of the other splits."""
    splits = {"train": 4, "val": 2, "test_same": 2, "test_rand": 2}
    return write_folder(tmp_path_factory.mktemp("tiny"), splits=splits)


@pytest.fixture(autouse=True)
def _process_as_it_is(monkeypatch):
    monkeypatch.setenv("VISATTN_TUNE_PROCESS", "0")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="the browser tests need the package playwright"
    )
    found = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    chromium = next(filter(None, found), None)
    if chromium is None:
        pytest.skip("the browser tests need chromium: .ci/chromium installs it")
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def open_page(browser):
    """Opens a page; in the end nothing may have been asked for, said or shown beside it."""
    contexts, faults = [], []

    def opened(path, *, width=1400, height=1000, scheme="light", **options):
        context = browser.new_context(
            offline=True,
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            reduced_motion="reduce",
            **options,
        )
        contexts.append(context)
        view = context.new_page()
        own = path.as_uri()
        inside = ("data:", "blob:")
        view.on(
            "request", lambda r: r.url == own or r.url.startswith(inside) or faults.append(r.url)
        )
        view.on("console", lambda m: faults.append(m.text) if m.type in ("error", "warning") else 0)
        view.on("pageerror", lambda error: faults.append(str(error)))
        view.on("dialog", lambda dialog: (faults.append(dialog.message), dialog.dismiss()))
        view.on("requestfailed", lambda request: faults.append(request.url))
        view.goto(own)
        view.wait_for_selector("html[data-ready]", timeout=20_000)
        return view

    yield opened
    for context in contexts:
        context.close()
    assert faults == []
