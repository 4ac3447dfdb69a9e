import pytest

from matrix import results
from matrix.results import TRIED, fingerprint, kept
from visattn.basics.fingerprint import files_below

CALLS = []


def double(number):
    CALLS.append(number)
    if number < 0:
        raise ValueError("negative")
    return 2 * number


@pytest.fixture(autouse=True)
def fresh():
    CALLS.clear()


def test_what_was_found_is_not_sought_again(tmp_path):
    assert [kept(double, number, folder=tmp_path) for number in (3, 4, 3)] == [6, 8, 6]
    assert CALLS == [3, 4]


def test_without_a_folder_nothing_is_kept(tmp_path):
    assert [kept(double, 3, folder=None) for _ in range(2)] == [6, 6]
    assert CALLS == [3, 3]
    assert not list(tmp_path.iterdir())


def test_an_error_is_raised_and_not_kept(tmp_path):
    for _ in range(2):
        with pytest.raises(ValueError, match="negative"):
            kept(double, -1, folder=tmp_path)
    assert CALLS == [-1, -1]
    assert not list(tmp_path.iterdir())


def test_other_code_counts_for_nothing(tmp_path, monkeypatch):
    kept(double, 3, folder=tmp_path)
    monkeypatch.setattr(results, "fingerprint", lambda module: "other")
    kept(double, 3, folder=tmp_path)
    assert CALLS == [3, 3]


@pytest.mark.parametrize("module", TRIED)
def test_the_fingerprint_is_of_the_code_that_is_tried(module, monkeypatch):
    below = []

    def noted(*names, package=None):
        below.extend(files_below(*names, **({"package": package} if package else {})))
        return "x"

    monkeypatch.setattr(results, "source_fingerprint", noted)
    fingerprint.cache_clear()
    assert fingerprint(module or "matrix.survey").endswith(" x x")
    fingerprint.cache_clear()
    files = {"/".join(path.parts[-2:]) for path in below}
    assert {"visattn/__init__.py", "matrix/architectures.py", "wrapping/tracing.py"} <= files
    assert not {"data/folders.py", "training/classifier.py", "matrix/page.py"} & files
    if module:
        assert "activation/layers.py" in files
        assert "joint/cbam.py" not in files
    else:
        assert {"wrapping/insertion.py", "joint/cbam.py"} <= files
