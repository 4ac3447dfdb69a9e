"""From a CSV file alone to means, Markdown and a plot; numbers worked out by hand."""

import math
import statistics
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from visattn.cli import main
from visattn.experiments.comparison.comparison import write_tables
from visattn.experiments.comparison.page import command_of
from visattn.experiments.comparison.records import Record, add_records, read_records
from visattn.experiments.comparison.summary import summarise_records
from visattn.metrics.statistic import Statistic

CSV = """recipe,seed,options,key,date,chance,accuracy/original,accuracy/mixed_rand,accuracy/only_bg
plain,0,,p0,2025-01-01,0.125,0.90,0.30,0.80
plain,1,,p1,2025-01-01,0.125,0.96,0.40,0.70
true_mask,0,,t0,2025-01-01,0.125,0.98,0.90,0.125
true_mask,1,,t1,2025-01-01,0.125,0.98,1.00,0.125
ours,0,,o0,2025-01-01,0.125,0.97,0.84,0.135
ours,1,,o1,2025-01-01,0.125,0.95,0.85,0.115
ours,2,,o2,2025-01-01,0.125,0.99,0.86,0.125
"""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text(CSV)
    return path


def rows_of(table, **options):
    (section,) = summarise_records(read_records(table), **options)
    return section, {row.recipe: row.measures for row in section.rows}


def test_means_and_sample_deviations(table):
    _, rows = rows_of(table)
    found = rows["ours"]["accuracy/mixed_rand"]
    assert found.mean == pytest.approx(0.85)
    assert found.sd == pytest.approx(0.01)  # sqrt((0.01^2 + 0 + 0.01^2) / 2)
    assert rows["plain"]["accuracy/original"].sd == pytest.approx(0.06 / math.sqrt(2))
    assert rows["plain"]["only_bg_minus_chance"].mean == pytest.approx(0.75 - 0.125)
    assert Statistic.of([0.5]).sd is None


def test_gap_recovery_is_taken_seed_by_seed(table):
    _, rows = rows_of(table)
    by_seed = [(0.84 - 0.30) / (0.90 - 0.30), (0.85 - 0.40) / (1.00 - 0.40)]  # 0.9, 0.75
    found = rows["ours"]["gap_recovery"]
    assert found.values == pytest.approx(by_seed)
    assert found.mean == pytest.approx(0.825)
    assert found.sd == pytest.approx(0.15 / math.sqrt(2))
    over = rows["ours"]["over_baseline"]
    assert over.values == pytest.approx([0.54, 0.45])
    for name in ("plain", "true_mask"):
        assert "gap_recovery" not in rows[name]
    assert rows["true_mask"]["over_baseline"].mean == pytest.approx(0.6)


def test_without_an_oracle_there_is_no_gap_recovery(table):
    section, rows = rows_of(table, oracle="oracle")
    assert not any("gap_recovery" in measures for measures in rows.values())
    assert any("No recipe is called oracle" in remark for remark in section.remarks)
    assert "over_baseline" in rows["ours"]
    _, rows = rows_of(table, baseline="ours", oracle="true_mask")
    assert rows["plain"]["gap_recovery"].values == pytest.approx([-0.54 / 0.06, -0.45 / 0.15])


def test_the_best_on_random_backgrounds_comes_first(table):
    section, _ = rows_of(table)
    assert [row.recipe for row in section.rows] == ["true_mask", "ours", "plain"]
    assert section.splits == ("original", "mixed_rand", "only_bg")


def test_the_page_says_it_all(table):
    page = write_tables(table)[1].read_text()
    assert "| ours | 3 | 97.0 ± 2.0 | 85.0 ± 1.0 | 12.5 ± 1.0 |" in page
    assert "| plain | 2 | 93.0 ± 4.2 | 35.0 ± 7.1 | 75.0 ± 7.1 |" in page
    assert "| ours | 0.825 ± 0.106 (n = 2) | +49.5 ± 6.4 (n = 2) | +0.0 ± 1.0 |" in page
    assert "visattn compare ours plain true_mask --seeds 3" in page
    assert "over training seeds (the number of seeds stands in each row)" in page
    assert "Chance: 12.5 %" in page
    assert "![Accuracy by recipe and variant](results.png)" in page


def test_adversarial_backgrounds_come_last_and_count_foregrounds(table):
    lines = CSV.splitlines()
    columns = "accuracy/adversarial,images/adversarial,images/original"
    rows = [f"{line},{value},24,96" for line, value in zip(lines[1:], "0012345", strict=True)]
    table.write_text("\n".join([f"{lines[0]},{columns}", *rows]))
    section, _ = rows_of(table)
    assert section.splits[-1] == "adversarial"
    page = write_tables(table)[1].read_text()
    assert "Images a split: 96.\n" in page
    assert "- adversarial: the share of 24 foregrounds that are told right on every one" in page


def test_other_options_are_a_section_of_their_own(table):
    facts = {"recipe": "ours", "seed": "0", "options": "--data.a=1 --data.b=x y", "key": "x"}
    add_records(table, [Record(facts, {"accuracy/mixed_rand": 0.5})])
    sections = summarise_records(read_records(table))
    assert sorted(section.options for section in sections) == ["", facts["options"]]
    other = next(section for section in sections if section.options)
    assert [row.measures["accuracy/mixed_rand"].mean for row in other.rows] == [0.5]
    assert command_of(other) == "visattn compare ours --seeds 1 --data.a=1 '--data.b=x y'"
    files = [path.name for path in write_tables(table)]
    assert files == ["results.csv", "results.md", "results.png", "results_2.png"]
    assert "## Options data.a=1" in (table.parent / "results.md").read_text()


def test_what_sections_share_is_not_in_their_titles(table, tmp_path):
    table = tmp_path / "two.csv"
    for place, rho in enumerate(("--data.rho=1.0 ", "")):
        facts = {"recipe": "ours", "seed": "0", "options": f"{rho}--data.z=1", "key": f"{place}"}
        add_records(table, [Record(facts, {"accuracy/mixed_rand": 0.5})])
    page = write_tables(table)[1].read_text()
    assert "## No further option\n" in page
    assert "## Options data.rho=1.0\n" in page
    assert page.index("No further option") < page.index("Options data.rho")


def test_minutes_are_a_median(table):
    for seed, minutes in enumerate((2.0, 12.0, 2.5)):
        facts = {"recipe": "late", "seed": f"{seed}", "options": "", "key": f"l{seed}"}
        add_records(table, [Record(facts, {"minutes": minutes, "accuracy/mixed_rand": 0.5})])
    page = write_tables(table)[1].read_text()
    row = next(line for line in page.split("gap recovery")[1].splitlines() if "| late |" in line)
    assert row.endswith(" | 2.5 |")


def test_unequal_epochs_are_told(table):
    said = "different numbers of epochs"
    for seed in (0, 1):
        facts = {"recipe": "long", "seed": f"{seed}", "options": "", "key": f"e{seed}"}
        add_records(table, [Record(facts, {"epochs": 9})])
    assert said not in write_tables(table)[1].read_text()
    facts = {"recipe": "short", "seed": "0", "options": "", "key": "s"}
    add_records(table, [Record(facts, {"epochs": 6})])
    assert said in write_tables(table)[1].read_text()


def test_tables_in_a_readme(table, capsys):
    readme = table.parent / "README.md"
    readme.write_text("# Mine\n\n<!-- table -->\n<!-- end -->\n\nmore\n")
    (table.parent / "ours.yaml").touch()
    words = ["--tables-only", f"--results={table}", f"--readme={readme}"]
    assert main(["compare", *words]) == 0
    text = readme.read_text()
    assert "| [ours](ours.yaml) | 3 | 97.0 ± 2.0 | 85.0 ± 1.0 | 12.5 ± 1.0 |" in text
    assert "| plain | 2 |" in text
    assert text.startswith("# Mine\n\n<!-- table -->\nAccuracies in %")
    assert text.endswith("\n<!-- end -->\n\nmore\n")
    assert main(["compare", *words]) == 0
    assert readme.read_text() == text
    readme.write_text("# Mine\n")
    assert main(["compare", *words]) == 1
    assert "must have one line <!-- table -->" in " ".join(capsys.readouterr().err.split())


def test_an_earlier_content_of_a_recipe_is_left_out(table):
    facts = {"recipe": "ours", "options": "", "recipe_hash": "new", "date": "2025-02-01"}
    new = [
        Record({**facts, "seed": f"{s}", "key": f"n{s}"}, {"accuracy/mixed_rand": 0.7})
        for s in (0, 1)
    ]
    add_records(table, new)
    section, rows = rows_of(table)
    assert rows["ours"]["accuracy/mixed_rand"].values == (0.7, 0.7)
    assert any("ours was changed between runs: 3" in remark for remark in section.remarks)


def test_rows_are_added_and_replaced(table):
    before = read_records(table)
    facts = {"recipe": "mask", "seed": "0", "options": "", "key": "m0", "processor": "a, b"}
    add_records(table, [Record(facts, {"parameters": 1265090, "mask_iou/mixed_rand": 0.9})])
    add_records(table, [Record(facts, {"parameters": 1265091, "minutes": math.nan})])
    after = read_records(table)
    assert len(after) == len(before) + 1
    kept = {record.key: record for record in after}
    for record in before:
        assert kept[record.key].numbers == record.numbers
    assert kept["m0"].numbers == {"parameters": 1265091.0}
    assert kept["m0"].fact("processor") == "a, b"
    assert [path.name for path in table.parent.iterdir()] == ["results.csv"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recipe,seed\nplain,0\n", "no column options, key"),
        ("recipe,seed,options,key,minutes\nplain,0,,a,long\n", "line 2: minutes must be a number"),
        ("recipe,seed,options,key\nplain,x,,a\n", "line 2: seed must be a whole number"),
        ("recipe,seed,options,key\nplain,1,,a,b\n", "line 2: more values than columns"),
    ],
)
def test_a_file_that_is_none(tmp_path, text, message):
    path = tmp_path / "results.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_records(path)


def test_the_command_makes_tables_alone(table, tmp_path, capsys):
    assert main(["compare", "--tables-only", f"--results={table}", "--oracle", "true_mask"]) == 0
    assert "results.md" in capsys.readouterr().out
    pixels = np.asarray(Image.open(table.with_suffix(".png")).convert("RGB"))
    assert pixels.std() > 10
    assert main(["compare", "plain", "ours", "--tables-only", f"--results={table}"]) == 0
    page = table.with_suffix(".md").read_text()
    assert "| ours |" in page
    assert "| true_mask |" not in page
    glob = str(tmp_path / "*.yaml")
    for name in ("plain", "ours", "untrained"):
        (tmp_path / f"{name}.yaml").write_text(f"name: {name}\n")
    assert main(["compare", glob, "--tables-only", f"--results={table}"]) == 0
    assert main(["compare", "palin", "--tables-only", f"--results={table}"]) == 1
    assert "did you mean plain" in capsys.readouterr().err
    assert main(["compare", "--tables-only", "--results=nothing.csv"]) == 1


def test_the_dots_stand_at_the_means(table, monkeypatch):
    from visattn.experiments.comparison import figure

    drawn = {}
    monkeypatch.setattr(figure, "save", lambda picture, path: drawn.update(picture=picture) or path)
    section, rows = rows_of(table)
    figure.draw_section(section, table.with_suffix(".png"))
    panel = drawn["picture"].axes[section.splits.index("mixed_rand")]
    means = [100 * rows[row.recipe]["accuracy/mixed_rand"].mean for row in section.rows]
    shown = [bar.lines[0].get_xydata()[0] for bar in panel.containers]
    np.testing.assert_allclose([x for x, _ in shown], means)
    assert [y for _, y in shown] == [0, 1, 2]
    (segment,) = panel.containers[1].lines[2][0].get_segments()
    sd = 100 * statistics.stdev([0.84, 0.85, 0.86])
    np.testing.assert_allclose(segment[:, 0], [85 - sd, 85 + sd])


def test_the_caption_of_a_narrow_figure_has_lines(table, monkeypatch):
    from visattn.experiments.comparison import figure

    drawn = {}
    monkeypatch.setattr(figure, "save", lambda picture, path: drawn.update(picture=picture) or path)
    section, _ = rows_of(table)
    figure.draw_section(replace(section, splits=section.splits[:1]), table.with_suffix(".png"))
    picture = drawn["picture"]
    picture.canvas.draw()
    box = picture._supxlabel.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= picture.bbox.width
    assert picture._supxlabel.get_text().endswith("chance")
