"""What a fingerprint of source code changes with, on a package made for it."""

import pytest

from visattn.basics.fingerprint import files_below, source_fingerprint

FILES = {
    "__init__.py": "",
    "run.py": "def main():\n    from shop.words import said\n    import shop.deep.inner\n",
    "words/__init__.py": "import lazy_loader\n",
    "words/__init__.pyi": "from .spoken import said as said\nfrom .written import read as read\n",
    "words/spoken.py": "from shop.words import spoken\nfrom os import path\n",
    "words/written.py": "",
    "deep/__init__.py": "",
    "deep/inner.py": "",
    "deep/other.py": "",
    "beside.py": "import shop.run\n",
}


@pytest.fixture
def package(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "shop"


def test_what_is_imported_at_any_depth_counts_and_nothing_else(package):
    found = {
        path.relative_to(package).as_posix() for path in files_below("shop.run", package=package)
    }
    named = {"__init__.py", "run.py", "words/__init__.py", "words/spoken.py"}
    assert found == named | {"deep/__init__.py", "deep/inner.py"}


def test_a_package_stands_for_all_of_its_files(package):
    found = files_below("shop.words", "shop.beside.Nothing", package=package)
    assert set(package.rglob("*.py")) - set(found) == {package / "deep/other.py"}


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".py")])
def test_a_fingerprint_changes_with_what_is_below(package, name):
    before = source_fingerprint("shop.run", package=package)
    assert source_fingerprint("shop.run", package=package) == before
    (package / name).write_text(FILES[name] + "# changed\n")
    below = package / name in files_below("shop.run", package=package)
    assert (source_fingerprint("shop.run", package=package) != before) == below
