"""Scenes of far-away smiles."""

import itertools

import numpy as np
import pytest

from visattn.data.generated.sheet import PAPER
from visattn.data.generated.tasty import (
    COLOURS,
    Layout,
    draw_group,
    draw_independent,
    tasty_scenes,
    tasty_sheet,
)
from visattn.data.generated.tasty.__main__ import main
from visattn.data.generated.tasty.palette import NAMES, RGB, draw_colours


def scenes(count=4, **options):
    return list(tasty_scenes(count, **{"settings": 3, "seed": 1, **options}))


def groups(count, **options):
    rng = np.random.default_rng(5)
    return [draw_group(rng, **{"diners": 4, "sushi": 1, **options}) for _ in range(count)]


def boxes(mattes):
    """Top, bottom, left and right of each matte, the last two beyond it."""
    found = []
    for matte in mattes:
        rows, columns = (np.flatnonzero(matte.any(axis)) for axis in (1, 0))
        found.append((rows[0], rows[-1] + 1, columns[0], columns[-1] + 1))
    return np.array(found)


def chroma(rgb):
    """Colour without brightness."""
    rgb = np.asarray(rgb, float)
    return rgb - rgb.mean(-1, keepdims=True)


@pytest.mark.parametrize(("diners", "sushi"), [(2, 1), (4, 1), (4, 3), (6, 2), (6, 6)])
def test_half_of_the_diners_smile_and_colours_differ(diners, sushi):
    for plan in itertools.chain(*groups(20, diners=diners, sushi=sushi)):
        assert sum(plan.smiles) == diners // 2
        assert len(set(plan.colours)) == len(plan.smiles) == diners
        assert len(set(plan.owners)) == len(plan.answers) == sushi
        assert plan.answers == tuple(int(plan.smiles[owner]) for owner in plan.owners)
        assert abs(sum(plan.answers) - sushi / 2) <= 0.5


def test_every_scene_has_a_twin_of_the_other_answer():
    """The faces alone and the plates alone occur as often with either answer."""
    for group in groups(50):
        for part in (lambda p: (p.smiles, p.colours), lambda p: [p.colours[o] for o in p.owners]):
            for first, second in itertools.combinations(group, 2):
                if part(first) == part(second):
                    assert {first.answers, second.answers} == {(0,), (1,)}
            assert sorted(sum(part(a) == part(b) for b in group) for a in group) == [2, 2, 2, 2]


def test_no_sum_of_what_plate_and_faces_say_separately_tells_the_answer():
    """Least squares on every colour, place and expression at once finds nothing."""
    plans = list(itertools.chain(*groups(150)))
    told, answers = [], []
    for plan in plans:
        plate, smiling = np.zeros(6), np.zeros((6, 2))
        plate[plan.colours[plan.owners[0]]] = 1
        for colour, smiles in zip(plan.colours, plan.smiles, strict=True):
            smiling[colour, int(smiles)] = 1
        told.append([1, *plate, *smiling.ravel(), *plan.smiles, *plan.colours])
        answers.append(plan.answers[0])
    centred = np.array(answers) - 0.5
    weights, *_ = np.linalg.lstsq(np.array(told, float), centred, rcond=None)
    assert np.abs(np.array(told) @ weights).max() < 1e-9
    # Related, they tell it: the smile of the diner with the plate's colour.
    related = [row[1:7] @ row[7:19].reshape(6, 2)[:, 1] for row in np.array(told, float)]
    assert np.array_equal(related, answers)


def test_a_linear_read_of_the_pixels_tells_nothing():
    pictures = scenes(40)
    pixels = np.array([scene.image.mean((0, 1)) for scene in pictures])
    coarse = np.array([s.image.reshape(8, 8, 8, 8, 3).mean((1, 3)).ravel() for s in pictures])
    answers = np.array([scene.answers[0] for scene in pictures]) - 0.5
    for statistics in (pixels, coarse):
        centred = statistics - statistics.mean(0)
        # Rounding to bytes and clipping are all that is left of the correlation.
        assert np.abs(centred.T @ answers).max() / len(answers) < 0.15
        assert centred.std(0).max() > 5


def test_owners_are_of_every_place_and_colour_alike():
    plans = list(itertools.chain(*groups(600)))
    for value in (lambda p: p.owners[0], lambda p: p.colours[p.owners[0]]):
        values = np.array([value(plan) for plan in plans])
        counts = np.bincount(values)
        expected = len(plans) / len(counts)
        assert np.abs(counts - expected).max() < 5 * np.sqrt(2 * expected)


def test_scenes_follow_the_seed():
    first, again, other = scenes(8), scenes(8), scenes(8, seed=2)
    for one, two in zip(first, again, strict=True):
        assert np.array_equal(one.image, two.image)
        assert one.plan == two.plan
    assert not np.array_equal(first[0].image, other[0].image)
    assert np.array_equal(scenes(4, settings=1)[0].image, scenes(8, settings=1)[0].image)


@pytest.mark.parametrize(
    ("size", "diners", "sushi", "distance"),
    [(64, 4, 1, None), (64, 4, 1, 0), (64, 4, 1, 13), (48, 4, 1, 9), (96, 6, 3, 30)],
)
def test_the_distance_is_as_asked(size, diners, sushi, distance):
    options = {"size": size, "diners": diners, "sushi": sushi, "distance": distance}
    layout = Layout(**options)
    expected = layout.farthest - 2 if distance is None else distance
    for scene in scenes(8, **options):
        (below,) = set(boxes(scene.plates)[:, 0])
        (above,) = set(boxes(scene.rings)[:, 1])
        assert below - above == expected == layout.rows_between
        assert (boxes(scene.faces)[:, 1] <= above).all()
        buri, plates = boxes(scene.buri), boxes(scene.plates)
        assert (buri[:, ::2] > plates[:, ::2]).all()
        assert (buri[:, 1::2] < plates[:, 1::2]).all()


def test_rows_between_rings_and_plates_are_bare():
    """Nothing there differs between a scene and its twins, but the plates' shadow: no colour."""
    for first, second in ((0, 1), (0, 2)):
        group = scenes(4, distance=20)
        top = boxes(group[0].plates)[0, 0]
        bare = slice(top - 20, top)
        assert np.array_equal(group[first].image[bare], group[second].image[bare])
        assert not np.array_equal(group[first].image, group[second].image)


def test_distances_of_one_seed_show_the_same_people_and_plates():
    near, far = scenes(distance=3), scenes(distance=25)
    for one, two in zip(near, far, strict=True):
        assert one.plan == two.plan
        assert one.plates.sum() == two.plates.sum()
        assert np.array_equal(boxes(one.plates)[:, 2], boxes(two.plates)[:, 2])
        assert np.array_equal(boxes(one.faces)[:, 2], boxes(two.faces)[:, 2])


@pytest.mark.parametrize("colours", [6, 24])
@pytest.mark.parametrize("balanced", [True, False])
def test_the_plate_has_the_colour_of_its_owners_ring(balanced, colours):
    for scene in scenes(16, size=96, sushi=3, balanced=balanced, colours=colours):
        sides = [
            scene.image[(top + bottom) // 2 - 1 : (top + bottom) // 2 + 2, left + 1].mean(0)
            for top, bottom, left, _ in boxes(scene.rings)
        ]
        seen = chroma(sides)
        for plate, buri, owner in zip(scene.plates, scene.buri, scene.plan.owners, strict=True):
            colour = chroma(np.median(scene.image[(plate == 255) & (buri == 0)], axis=0))
            away = np.linalg.norm(seen - colour, axis=1)
            assert away.argmin() == owner
            if colours == 6:
                named = np.linalg.norm(chroma(list(COLOURS.values())) * 255 - colour, axis=1)
                assert named.argmin() == scene.plan.colours[owner]


def test_colours_of_the_circle_are_no_neighbours():
    rng = np.random.default_rng(0)
    drawn = np.array([draw_colours(rng, count=4, colours=24) for _ in range(400)]) - 6
    assert set(drawn.flatten()) == set(range(24))
    for first, second in itertools.combinations(drawn.T, 2):
        steps = (first - second) % 24
        assert np.minimum(steps, 24 - steps).min() == 3
    assert len(set(RGB)) == len(NAMES) == 30


def test_owner_faces_are_the_heads_of_the_owners():
    for scene in scenes(8, sushi=2):
        assert scene.owner_faces.shape == (2, 64, 64)
        for face, owner in zip(scene.owner_faces, scene.plan.owners, strict=True):
            assert np.array_equal(face, scene.faces[owner])
        assert (boxes(scene.faces)[1:, 2] >= boxes(scene.faces)[:-1, 3]).all()
        assert (scene.faces > 127).sum((1, 2)).min() > 40


def test_expressions_are_drawn():
    """Twins that differ in expressions alone differ inside every head, and nowhere else."""
    first, _, turned, _ = scenes()
    changed = np.abs(first.image.astype(int) - turned.image).max(-1)
    for face in first.faces:
        assert changed[face > 127].max() > 60
    assert changed[first.faces.max(0) == 0].max() == 0


def test_without_faces_there_is_none_and_no_answer_in_the_picture():
    shown, empty = scenes(8), scenes(8, without_faces=True)
    for one, two in zip(shown, empty, strict=True):
        assert one.plan == two.plan
        assert not two.faces.any()
        outside = one.faces.max(0) == 0
        assert (one.image != two.image)[~outside].any()
        assert np.array_equal(one.plates, two.plates)
    for start in (0, 4):
        assert np.array_equal(empty[start].image, empty[start + 2].image)
        assert empty[start].answers != empty[start + 2].answers


def test_the_grid_has_an_answer_for_each_sushi():
    for scene in scenes(8, size=64, sushi=3):
        grid = scene.answer_grid(4)
        assert grid.shape == (16, 16)
        for (row, column), answer in zip(scene.places, scene.answers, strict=True):
            assert grid[int(row) // 4, int(column) // 4] == answer
        assert set(np.unique(grid)) <= {-1, *scene.answers}
        assert (grid[:8] == -1).all()
        cells = grid.repeat(4, 0).repeat(4, 1) >= 0
        plates = scene.plates.max(0) > 0
        assert (cells & plates).sum() / cells.sum() > 0.7
    with pytest.raises(ValueError, match="stride must divide the side of 64 pixels, got 5"):
        scene.answer_grid(5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"diners": 3}, "diners must be even, from 2 to 6"),
        ({"diners": 8}, "from 2 to 6"),
        ({"sushi": 5}, "sushi must be 1 to 4"),
        ({"size": 40}, "size must be at least 48 pixels for 4 diners and 1 sushi"),
        ({"size": 64, "diners": 6}, "size must be at least 72"),
        ({"distance": 31}, "distance must lie in 0 to 30"),
        ({"distance": -1}, "distance must lie in 0 to 30"),
        ({"count": 6}, "count must be a multiple of 4"),
        ({"count": 0}, "count must be a multiple of 4"),
        ({"settings": 0}, "settings must be at least 1, got 0"),
        ({"seed": -1}, "seed must not be negative"),
        ({"colours": 12}, "colours must be 6 or 24, got 12"),
    ],
)
def test_what_cannot_be_drawn_is_refused_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        tasty_scenes(**{"count": 4, **options})


def test_the_smallest_size_named_is_one_that_works():
    assert Layout(72, 6).ring >= 11
    assert Layout(48, 4).ring >= 11


def test_the_sheet_is_filled():
    sheet = tasty_sheet(size=72)
    assert sheet.dtype == np.uint8
    assert (sheet != PAPER).mean() > 0.6


def test_the_sheet_comes_from_the_command_line(tmp_path, capsys):
    main(["--contact-sheet", str(tmp_path / "sheet.png"), "--size", "72"])
    assert "460 x 282 pixels" in capsys.readouterr().out
    assert (tmp_path / "sheet.png").stat().st_size > 20_000
    with pytest.raises(SystemExit):
        main(["--contact-sheet", str(tmp_path / "small.png"), "--size", "30"])
    assert "size must be at least" in capsys.readouterr().err


def test_independent_smiles_are_even_and_their_number_says_something():
    rng = np.random.default_rng(3)
    plans = [p for _ in range(500) for p in draw_independent(rng, diners=4, sushi=2)]
    counts = np.array([sum(plan.smiles) for plan in plans])
    answers = np.array([plan.answers for plan in plans])
    assert set(counts) == {0, 1, 2, 3, 4}
    assert abs(answers.mean() - 0.5) < 0.03
    for count in range(5):
        assert abs(answers[counts == count].mean() - count / 4) < 0.05
    for plan in plans:
        assert len(set(plan.colours)) == 4
        assert len(set(plan.owners)) == 2
        assert plan.answers == tuple(int(plan.smiles[owner]) for owner in plan.owners)


@pytest.mark.parametrize(
    ("diners", "sushi", "alike"), [(4, 1, 4), (4, 2, 2), (4, 3, 1), (4, 4, 1), (2, 1, 2), (6, 1, 4)]
)
def test_independent_scenes_ask_everyone_in_turn(diners, sushi, alike):
    rng = np.random.default_rng(1)
    groups = [draw_independent(rng, diners=diners, sushi=sushi) for _ in range(20)]
    for plans in groups:
        assert len(plans) == 4
        for first in range(0, 4, alike):
            same = plans[first : first + alike]
            assert len({(plan.smiles, plan.colours) for plan in same}) == 1
            asked = [owner for plan in same for owner in plan.owners]
            assert len(set(asked)) == len(asked) == alike * sushi
    if alike < 4:
        assert any(plans[0].smiles != plans[alike].smiles for plans in groups)


def test_scenes_that_are_not_balanced_are_of_independent_plans():
    counts = {sum(scene.plan.smiles) for scene in scenes(16, balanced=False)}
    assert len(counts) > 1
    assert {sum(scene.plan.smiles) for scene in scenes(16)} == {2}
