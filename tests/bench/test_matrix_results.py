import pytest

from visattn.bench.matrix import results
from visattn.bench.matrix.results import fingerprint, kept

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
    monkeypatch.setattr(results, "fingerprint", lambda: "other")
    kept(double, 3, folder=tmp_path)
    assert CALLS == [3, 3]


def test_the_fingerprint_is_of_the_code_that_is_tried(tmp_path, monkeypatch):
    for name in ("insertion.py", "data/folders.py", "__init__.py"):
        path = tmp_path / "package" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("one")
    monkeypatch.setattr("visattn.__file__", str(tmp_path / "package" / "__init__.py"))
    found = []
    for name in ("__init__.py", "data/folders.py", "insertion.py"):
        fingerprint.cache_clear()
        found.append(fingerprint())
        (tmp_path / "package" / name).write_text("two")
    fingerprint.cache_clear()
    found.append(fingerprint())
    monkeypatch.undo()
    fingerprint.cache_clear()
    assert found[0] != found[1] == found[2] != found[3]
