"""The data set on disk: layout, bias, seeds, workers, interruption, mistakes."""

import csv
import json
import math
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2")

import cv2

import visattn
from visattn.data.generated.sushi import (
    HELD_OUT_STYLES,
    KINDS,
    STYLES,
    TEST_VARIANTS,
    SushiParameters,
    own_style,
    render_sushi,
    rendering as rendering_module,
    sushi_cache,
)
from visattn.data.generated.sushi.plan import Shot, plan_shots

SMALL = {"size": 32, "train": 16, "val": 8, "test": 8, "progress": False}


def shots_of(parameters: SushiParameters) -> list[Shot]:
    return [shot for group in plan_shots(parameters) for shot in group]


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sushi") / "data"
    return render_sushi(root, **SMALL, train_random=True, workers=1)


def test_layout_and_metadata(rendered: Path) -> None:
    with (rendered / "metadata.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    named = {(row["split"], row["class"], row["id"]) for row in rows}
    found = {(p.parts[-4], p.parts[-2], p.stem) for p in rendered.glob("*/images/*/*.png")}
    assert (
        named
        == found
        == {(p.parts[-4], p.parts[-2], p.stem) for p in rendered.glob("*/masks/*/*.png")}
    )
    assert len(rows) == len(named)
    sizes = Counter(row["split"] for row in rows)
    assert sizes == {
        "train": 16,
        "train_random": 16,
        "val": 8,
        **{f"test_{variant}": 8 for variant in TEST_VARIANTS},
    }
    assert not list(rendered.rglob("*.part"))
    assert not rendered.with_name("data.partial").exists()
    for row in rows:
        shows_plate = not row["variant"].startswith("only_fg")
        assert (row["style"] != "") == (row["background_seed"] != "") == shows_plate
    image = cv2.imread(str(rendered / "train" / "images" / "buri" / "00000.png"))
    mask = cv2.imread(
        str(rendered / "train" / "masks" / "buri" / "00000.png"), cv2.IMREAD_UNCHANGED
    )
    assert image.shape == (32, 32, 3)
    assert mask.shape == (32, 32)
    assert mask.max() == 255


def test_colours_are_written_in_the_usual_order(rendered: Path) -> None:
    """Tamago alone on black is yellow: more red than blue."""
    from PIL import Image

    path = rendered / "test_only_fg" / "images" / "tamago" / "00003.png"
    with Image.open(path) as picture:
        pixels = np.asarray(picture).reshape(-1, 3)
    red, _, blue = pixels[pixels.max(1) > 60].mean(0)
    assert red > blue + 15


def test_one_id_is_one_foreground_in_all_variants(rendered: Path) -> None:
    for kind in KINDS:
        name = f"{KINDS.index(kind):05d}.png"
        masks = {
            variant: cv2.imread(str(rendered / f"test_{variant}" / "masks" / kind / name), 0)
            for variant in TEST_VARIANTS
        }
        images = {
            variant: cv2.imread(str(rendered / f"test_{variant}" / "images" / kind / name))
            for variant in TEST_VARIANTS
        }
        assert not masks.pop("only_bg").any()
        original = masks["original"]
        assert original.max() == 255
        for variant, mask in masks.items():
            assert np.array_equal(mask, original), variant
            if variant != "no_fg":
                inside = mask == 255
                assert np.array_equal(images[variant][inside], images["original"][inside]), variant


@pytest.mark.parametrize("rho", [0.0, 0.8, 0.95, 1.0])
def test_rho_is_honoured(rho: float) -> None:
    count = 600
    shots = shots_of(
        SushiParameters(rho=rho, train=count, val=count, test=count, variants=("original",))
    )
    for split in ("train", "val", "test_original"):
        chosen = [shot.scene for shot in shots if shot.split == split]
        own = sum(scene.style == own_style(scene.kind) for scene in chosen)
        # Five standard deviations of a binomial.
        assert abs(own - rho * count) <= 5 * math.sqrt(count * rho * (1 - rho))
        others = Counter(s.style for s in chosen if s.style != own_style(s.kind))
        if rho == 0.0:
            assert set(others) == set(STYLES)
            assert min(others.values()) > 0.6 * count / len(STYLES)


def test_styles_of_the_variants() -> None:
    shots = shots_of(SushiParameters(train=64, val=64, test=240, train_random=True, adversarial=2))
    by_split: dict[str, list[Shot]] = {}
    for shot in shots:
        by_split.setdefault(shot.split, []).append(shot)
    for split, members in by_split.items():
        styles = {shot.scene.style for shot in members}
        if split == "test_mixed_new":
            assert styles == set(HELD_OUT_STYLES)
        else:
            assert not styles & set(HELD_OUT_STYLES), split
    for shot in by_split["test_mixed_same"]:
        assert shot.scene.style == own_style(shot.scene.kind)
    for shot in by_split["test_mixed_next"]:
        following = KINDS[(KINDS.index(shot.scene.kind) + 1) % len(KINDS)]
        assert shot.scene.style == own_style(following)
    for split in ("test_mixed_rand", "train_random"):
        own = np.mean([s.scene.style == own_style(s.scene.kind) for s in by_split[split]])
        assert own < 0.35
        assert {s.scene.style for s in by_split[split]} == set(STYLES)
    adversarial = Counter(
        (shot.scene.foreground_seed, shot.scene.style) for shot in by_split["test_adversarial"]
    )
    assert len(adversarial) == 2 * len(STYLES)
    assert set(adversarial.values()) == {64 // len(STYLES)}
    assert len({shot.id for shot in by_split["test_adversarial"]}) == 128
    same_scene = ("test_original", "test_only_bg", "test_no_fg")
    for trio in zip(*(by_split[split] for split in same_scene), strict=True):
        assert len({(s.scene.style, s.scene.background_seed) for s in trio}) == 1


def test_classes_are_balanced() -> None:
    shots = shots_of(SushiParameters(train=80, val=0, test=0))
    assert set(Counter(shot.scene.kind for shot in shots).values()) == {10}


def test_seeds_of_the_splits_are_disjoint() -> None:
    shots = shots_of(SushiParameters(train=200, val=200, test=200, train_random=True))
    foregrounds: dict[str, set[int]] = {}
    backgrounds: dict[str, set[int]] = {}
    for shot in shots:
        family = "test" if shot.split.startswith("test") else shot.split.split("_")[0]
        foregrounds.setdefault(family, set()).add(shot.scene.foreground_seed)
        # Parts of the original scene share its background by design.
        scene = "test_original" if shot.variant in ("only_bg", "no_fg", "only_fg") else shot.split
        scene = "test_original" if shot.variant == "only_fg_grey" else scene
        backgrounds.setdefault(scene, set()).add(shot.scene.background_seed)
    for sets in (foregrounds, backgrounds):
        assert sum(len(s) for s in sets.values()) == len(set.union(*sets.values()))
        assert all(len(s) == 200 for s in sets.values())
    other = shots_of(SushiParameters(train=200, val=0, test=0, seed=1))
    assert not {s.scene.foreground_seed for s in other} & foregrounds["train"]
    # They fit into a signed 64-bit column.
    assert max(max(s) for s in backgrounds.values()) < 2**63


def test_pixels_do_not_depend_on_the_number_of_workers(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering_module, "_FEW", 0)
    monkeypatch.setattr(rendering_module, "_BATCH", 3)
    again = render_sushi(tmp_path / "again", **SMALL, train_random=True, workers=2)
    assert contents(again) == contents(rendered)


def test_another_seed_gives_other_pictures(tmp_path: Path) -> None:
    few = {**SMALL, "train": 2, "val": 0, "test": 0}
    one, two = (render_sushi(tmp_path / str(s), **few, seed=s) for s in (0, 1))
    for name, data in contents(one).items():
        if name.endswith(".png"):
            assert data != contents(two)[name]


def test_a_complete_data_set_is_not_rendered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {**SMALL, "train": 2, "val": 0, "test": 0}
    root = render_sushi(tmp_path / "data", **few)
    monkeypatch.setattr(rendering_module, "render_all", lambda *_, **__: pytest.fail("rendered"))
    assert render_sushi(root, **few) == root


def test_an_interrupted_render_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = render_sushi(tmp_path / "whole", **SMALL)
    root, written = tmp_path / "data", 0
    write = rendering_module.write_png

    def failing(path: Path, picture: np.ndarray) -> None:
        nonlocal written
        written += 1
        if written == 21:  # after an image, before its mask
            raise KeyboardInterrupt
        write(path, picture)

    with monkeypatch.context() as patch:
        patch.setattr(rendering_module, "write_png", failing)
        with pytest.raises(KeyboardInterrupt):
            render_sushi(root, **SMALL)
    assert not root.exists()
    assert (tmp_path / "data.partial").is_dir()

    left = 0

    def counting(path: Path, picture: np.ndarray) -> None:
        nonlocal left
        left += 1
        write(path, picture)

    monkeypatch.setattr(rendering_module, "write_png", counting)
    render_sushi(root, **SMALL)
    assert contents(root) == contents(whole)
    pictures = 16 + 8 + 8 * len(TEST_VARIANTS)
    assert left == 2 * (pictures - 10)
    assert not (tmp_path / "data.partial").exists()


def test_a_partial_folder_of_other_parameters_is_begun_anew(tmp_path: Path) -> None:
    few = {**SMALL, "train": 2, "val": 0, "test": 0}
    stale = tmp_path / "data.partial"
    (stale / "train" / "masks" / "buri").mkdir(parents=True)
    (stale / "train" / "masks" / "buri" / "00000.png").write_bytes(b"stale")
    (stale / "sushi.json").write_text(json.dumps({"seed": 99}))
    root = render_sushi(tmp_path / "data", **few)
    assert (root / "train" / "masks" / "buri" / "00000.png").read_bytes() != b"stale"


def test_a_partial_folder_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / "data.partial"
    theirs.mkdir()
    (theirs / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"data\.partial"):
        render_sushi(tmp_path / "data", **{**SMALL, "train": 2, "val": 0, "test": 0})
    assert (theirs / "thesis.txt").exists()


def test_folders_that_hold_something_else_are_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(FileExistsError, match=r"no sushi\.json"):
        render_sushi(tmp_path, **SMALL)
    few = {**SMALL, "train": 2, "val": 0, "test": 0}
    root = render_sushi(tmp_path / "data", **few)
    with pytest.raises(FileExistsError, match=r"rho is 0\.95, wanted 0\.5"):
        render_sushi(root, **few, rho=0.5)


def test_the_cache_is_named_by_the_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISATTN_CACHE", str(tmp_path))
    few = {**SMALL, "train": 2, "val": 0, "test": 0}
    root = render_sushi(**few)
    assert root == sushi_cache(SushiParameters(size=32, train=2, val=0, test=0))
    assert root.is_relative_to(tmp_path)
    assert (root / "metadata.csv").exists()
    keys = {
        SushiParameters(**change).key
        for change in ({}, {"rho": 0.8}, {"seed": 1}, {"size": 64}, {"variants": ("original",)})
    }
    assert len(keys) == 5
    monkeypatch.delenv("VISATTN_CACHE")
    assert sushi_cache(SushiParameters()).is_relative_to(Path.home() / ".cache" / "visattn")


@pytest.mark.slow
def test_an_unguarded_script_is_told_so_and_does_not_hang(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from visattn.data.generated.sushi import render_sushi\n"
        f"render_sushi({str(tmp_path / 'data')!r}, size=32, train=100, val=0, test=0, workers=2)\n"
    )
    search = os.pathsep.join([str(Path(visattn.__file__).parents[1]), *sys.path])
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": search},
        check=False,
    )
    assert done.returncode != 0
    assert 'below `if __name__ == "__main__":`' in done.stderr.splitlines()[-1]
    assert not (tmp_path / "data").exists()


def test_without_opencv_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match=r"visattn\[train\]"):
        render_sushi(tmp_path / "data", **SMALL)
    assert not list(tmp_path.iterdir())


def test_fewer_kinds_use_their_own_styles() -> None:
    kinds = ("salmon", "ika")
    shots = shots_of(SushiParameters(kinds=kinds, rho=0.0, train=40, val=0, test=0))
    assert {shot.scene.kind for shot in shots} == set(kinds)
    assert {shot.scene.style for shot in shots} == {own_style(kind) for kind in kinds}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"rho": 1.2}, ValueError, r"rho must lie in \[0, 1\].*got 1\.2"),
        ({"rho": -0.1}, ValueError, "rho must lie"),
        ({"rho": float("nan")}, ValueError, "rho must lie"),
        ({"size": 8}, ValueError, "at least 32 pixels, got 8"),
        ({"size": 64.0}, TypeError, "size must be a whole number"),
        ({"train": -1}, ValueError, "train must not be negative"),
        ({"test": 1.5}, TypeError, "test must be a whole number"),
        ({"variants": ("mixed_random",)}, ValueError, "Did you mean 'mixed_rand'"),
        ({"variants": "original"}, TypeError, "sequence of names"),
        ({"variants": ("original", "original")}, ValueError, "twice"),
        ({"kinds": ("buri", "tamgo")}, ValueError, "Did you mean 'tamago'"),
        ({"kinds": ("buri",)}, ValueError, "at least 2"),
        ({"adversarial": 9}, ValueError, "adversarial must be at most test"),
        ({"workers": 0}, ValueError, "workers must be at least 1"),
    ],
)
def test_mistakes_are_named(
    tmp_path: Path, change: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        render_sushi(tmp_path / "data", **{**SMALL, **change})
    assert not list(tmp_path.iterdir())
