"""Single scenes: names, seeds, mattes, what each variant shows."""

import numpy as np
import pytest

pytest.importorskip("cv2")

from visattn.data.generated.sushi import (
    HELD_OUT_STYLES,
    KINDS,
    STYLES,
    Scene,
    SushiParameters,
    background,
    compose,
    contact_sheet,
    foreground,
    own_style,
    render_scene,
    sample_light,
    save_contact_sheet,
)
from visattn.data.generated.sushi.__main__ import main
from visattn.data.generated.sushi.food import pieces as pieces_module
from visattn.data.generated.sushi.table.styles import ALL_STYLES

SIZE = 64


def test_there_are_eight_kinds_each_with_a_style_and_three_styles_more() -> None:
    assert len(KINDS) == len(STYLES) == 8
    assert len(HELD_OUT_STYLES) >= 3
    assert not set(STYLES) & set(HELD_OUT_STYLES)
    assert set(ALL_STYLES) == {*STYLES, *HELD_OUT_STYLES}
    assert len({own_style(kind) for kind in KINDS}) == 8


@pytest.mark.parametrize("kind", KINDS)
def test_alpha_is_what_compositing_shows(kind: str) -> None:
    rgb, alpha = foreground(kind, 11, size=SIZE)
    on_black, matte = compose(rgb, alpha, np.zeros_like(rgb))
    on_white, _ = compose(rgb, alpha, np.ones_like(rgb))
    recovered = 1 - (on_white.astype(np.float64) - on_black) / 255
    # Two rounded pictures: one grey level of error.
    assert np.abs(recovered - alpha[..., None]).max() <= 1.01 / 255
    assert np.abs(matte / 255 - alpha).max() <= 0.51 / 255


@pytest.mark.parametrize("kind", KINDS)
def test_the_sushi_is_a_small_part_whole_and_antialiased(kind: str) -> None:
    areas, soft = [], []
    for seed in range(12):
        _, alpha = foreground(kind, seed, size=SIZE)
        areas.append(alpha.mean())
        soft.append(((alpha > 0.02) & (alpha < 0.98)).mean())
    assert 0.05 <= min(areas) <= max(areas) <= 0.15
    assert 0.06 <= np.mean(areas) <= 0.14
    assert min(soft) > 0.005


@pytest.mark.parametrize("kind", KINDS)
def test_the_canvas_cuts_no_piece_off(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    windows: list[tuple[int, int, int, int]] = []
    find = pieces_module._window

    def recording(*arguments: object) -> tuple[int, int, int, int]:
        windows.append(find(*arguments))
        return windows[-1]

    monkeypatch.setattr(pieces_module, "_window", recording)
    for seed in range(20):
        _, alpha = foreground(kind, seed, size=40)
        left, right, top, bottom = windows[-1]
        window = alpha[top:bottom, left:right]
        assert np.count_nonzero(window) == np.count_nonzero(alpha)
        for edge in (window[0], window[-1], window[:, 0], window[:, -1]):
            assert not edge.any(), seed


def test_a_seed_gives_the_same_piece_and_another_seed_another() -> None:
    one, again, other = (foreground("salmon", seed, size=SIZE)[0] for seed in (5, 5, 6))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    one, again, other = (background("celadon", seed, size=SIZE) for seed in (5, 5, 6))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_a_seed_gives_the_same_scene_at_every_size() -> None:
    scene = Scene("maguro", "blue_glaze", 3, 4)
    large, small = (render_scene(scene, size=size) for size in (192, 64))
    for a, b in zip(large, small, strict=True):
        shrunk = a.reshape(64, 3, 64, 3, -1).mean((1, 3)).reshape(b.shape)
        assert np.abs(shrunk - b).mean() < 9
        assert np.corrcoef(shrunk.ravel(), b.ravel())[0, 1] > 0.95


@pytest.mark.parametrize(
    ("kind", "style", "mean", "matte_mean"),
    [
        ("buri", "geta_board", [147.4, 148.5, 142.7], 20.1),
        ("maguro", "leaf", [131.6, 130.7, 89.2], 24.1),
        ("salmon", "white_porcelain", [144.4, 146.2, 158.3], 24.8),
        ("tamago", "stone_slab", [130.1, 127.0, 123.1], 29.6),
        ("ebi", "octagon", [147.0, 123.3, 136.6], 26.4),
        ("ika", "celadon", [195.0, 207.1, 170.5], 18.9),
        ("ikura", "kintsugi", [150.9, 146.6, 140.9], 20.0),
        ("kappa_maki", "blue_glaze", [151.3, 160.8, 177.9], 22.1),
    ],
)
def test_scenes_are_what_they_were(
    kind: str, style: str, mean: list[float], matte_mean: float
) -> None:
    """If you mean to change how scenes look, raise renderer_version and write down new values."""
    assert SushiParameters.renderer_version == 2
    seed = KINDS.index(kind)
    picture, matte = render_scene(Scene(kind, style, seed, seed), size=64, noise=False)
    assert picture.reshape(-1, 3).mean(0) == pytest.approx(mean, abs=0.6)
    assert matte.mean() == pytest.approx(matte_mean, abs=0.3)


def test_light_changes_the_piece_and_not_its_matte() -> None:
    rgb, alpha = foreground("ebi", 2, size=SIZE, light=sample_light(1))
    other_rgb, other_alpha = foreground("ebi", 2, size=SIZE, light=sample_light(9))
    assert np.array_equal(alpha, other_alpha)
    assert np.abs(rgb - other_rgb).max() > 0.02


def test_the_same_piece_stands_on_any_background() -> None:
    first, matte = render_scene(Scene("buri", "black_lacquer", 8, 1), size=SIZE)
    second, other_matte = render_scene(Scene("buri", "celadon", 8, 2), size=SIZE)
    assert np.array_equal(matte, other_matte)
    inside = matte == 255
    assert inside.sum() > 50
    assert np.array_equal(first[inside], second[inside])
    assert np.abs(first[matte == 0].astype(int) - second[matte == 0]).mean() > 5


def test_only_bg_has_neither_sushi_nor_its_shadow() -> None:
    whole, matte = render_scene(Scene("ika", "red_lacquer", 8, 1), size=SIZE)
    empty, no_matte = render_scene(Scene("ika", "red_lacquer", 8, 1, "only_bg"), size=SIZE)
    other, _ = render_scene(Scene("ikura", "red_lacquer", 8, 1, "only_bg"), size=SIZE)
    assert not no_matte.any()
    assert np.array_equal(empty, other)  # nothing of the kind is in it
    darker = whole[matte == 0].astype(int) - empty[matte == 0]
    assert darker.min() < -25  # the shadow, which is no part of the matte ...
    assert darker.max() <= 0  # ... and nothing but shadow


def test_only_fg_is_the_sushi_on_one_tone() -> None:
    whole, matte = render_scene(Scene("tamago", "leaf", 8, 1), size=SIZE)
    for shows, tone in (("only_fg", 0), ("only_fg_grey", 128)):
        alone, same = render_scene(Scene("tamago", "leaf", 8, 1, shows), size=SIZE)
        assert np.array_equal(matte, same)
        assert np.array_equal(alone[matte == 255], whole[matte == 255])
        assert abs(float(alone[matte == 0].mean()) - tone) < 4


def test_no_fg_has_a_black_hole_in_the_whole_scene() -> None:
    whole, matte = render_scene(Scene("tamago", "leaf", 8, 1), size=SIZE)
    holed, same = render_scene(Scene("tamago", "leaf", 8, 1, "no_fg"), size=SIZE)
    assert np.array_equal(matte, same)
    assert not holed[matte == 255].any()
    assert np.array_equal(holed[matte == 0], whole[matte == 0])


@pytest.mark.parametrize("style", STYLES + HELD_OUT_STYLES)
def test_styles_differ_from_one_another(style: str) -> None:
    """The nearest mean colour layout belongs to the same style in most backgrounds."""
    light = sample_light(0)

    def layout(name: str, seed: int) -> np.ndarray:
        picture = background(name, seed, size=48, light=light)
        middle = picture[14:34, 14:34].mean((0, 1))
        corners = np.concatenate([picture[:4], picture[-4:]]).mean((0, 1))
        return np.concatenate([middle, corners])

    known = {name: layout(name, 1) for name in STYLES + HELD_OUT_STYLES}
    hits = 0
    for seed in range(2, 7):
        seen = layout(style, seed)
        hits += min(known, key=lambda name: float(np.abs(known[name] - seen).sum())) == style
    assert hits >= 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Scene("salmn", "celadon", 1, 2), "Did you mean 'salmon'"),
        (lambda: Scene("buri", "celedon", 1, 2), "Did you mean 'celadon'"),
        (lambda: Scene("buri", "celadon", 1, 2, "only_fgg"), "Did you mean 'only_fg'"),
        (lambda: foreground("burri", 1), "Unknown kind of sushi 'burri'. Did you mean 'buri'"),
        (lambda: background("marble", 1), "Unknown style 'marble'"),
        (lambda: foreground("buri", 1, size=16), "at least 32 pixels, got 16"),
        (lambda: contact_sheet(rows=0), "rows must lie in 1 to 9, got 0"),
    ],
)
def test_mistakes_are_named(call: object, message: str) -> None:
    assert callable(call)
    with pytest.raises(ValueError, match=message):
        call()


def test_a_size_that_is_no_whole_number_is_refused() -> None:
    with pytest.raises(TypeError, match="whole number"):
        foreground("buri", 1, size=64.5)  # type: ignore[arg-type]


def test_contact_sheet_command(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "docs" / "sheet.png"
    main(["--contact-sheet", str(target), "--size", "32", "--rows", "2"])
    from PIL import Image

    with Image.open(target) as picture:
        assert picture.size == (8 * 36 + 4, 4 + 2 * (32 + 4) + 18 + 36 + 18)
        assert np.asarray(picture.convert("RGB")).std() > 20
    assert str(target) in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--contact-sheet", str(target), "--size", "8"])
    assert "at least 32" in capsys.readouterr().err


def test_saved_sheet_keeps_colours(tmp_path) -> None:
    sheet = contact_sheet(size=32, rows=1, variants=False)
    save_contact_sheet(tmp_path / "sheet.png", sheet)
    from PIL import Image

    with Image.open(tmp_path / "sheet.png") as picture:
        saved = np.asarray(picture.convert("RGB")).astype(int)
    assert np.abs(saved - sheet).max() <= 4
