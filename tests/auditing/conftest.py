import pytest
from coloured_squares import BACKGROUNDS, EACH, NAMES, OBJECTS, Nearest, mask, picture, write


@pytest.fixture
def reads_object():
    return Nearest(8, OBJECTS)


@pytest.fixture
def reads_background():
    return Nearest(0, BACKGROUNDS)


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """40 pictures of each of three classes, each on the background of its class."""
    root = tmp_path_factory.mktemp("toy")
    for label, name in enumerate(NAMES):
        for place in range(EACH):
            pixels = picture(OBJECTS[label], BACKGROUNDS[label])
            write(root, "test", name, f"{place:02d}", pixels, mask())
    return root


@pytest.fixture(scope="session")
def of_two_values(tmp_path_factory):
    """Three pictures of each class, with masks of 0 and 1."""
    root = tmp_path_factory.mktemp("of_two_values")
    for label, name in enumerate(NAMES):
        for place in range(3):
            pixels = picture(OBJECTS[label], BACKGROUNDS[label])
            write(root, "test", name, place, pixels, mask() // 255)
    return root
