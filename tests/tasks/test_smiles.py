"""The far-away smile: scenes in memory, the local network, the maps, training and its results."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from visattn import record, wrap
from visattn.cli import main
from visattn.data.generated.tasty import tasty_scenes
from visattn.data.generated.tasty.arrays import cached_arrays, joined, render_arrays
from visattn.data.generated.tasty.parameters import SceneSet
from visattn.tasks.smiles.data import MEAN, STD, SmileData
from visattn.tasks.smiles.local_cnn import LocalCNN, receptive_field
from visattn.tasks.smiles.maps import diner_cells, diner_shares, disc_cells, plate_rows
from visattn.tasks.smiles.module import SmileModule, wake
from visattn.tasks.smiles.results import accuracy_by_distance, examine_run, gap, load_runs
from visattn.training.command_line.command import TaskCLI
from visattn.training.command_line.quiet import quiet_lightning
from visattn.training.command_line.recipes import find_recipe, recipe_names

FEW = {"train": 8, "val": 4, "test": 8, "batch_size": 4}
RECIPES = [name for name in recipe_names() if name.startswith("longrange/")]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("scenes")


def test_arrays_are_the_scenes(root):
    asked = SceneSet(8, seed=3, sushi=2, distance=10)
    arrays = cached_arrays(asked, root=root, progress=False)
    scenes = list(tasty_scenes(8, seed=3, sushi=2, distance=10))
    for row, scene in enumerate(scenes):
        assert np.array_equal(arrays.images[row], scene.image)
        assert arrays.answers[row].tolist() == list(scene.answers)
        assert arrays.owners[row].tolist() == list(scene.plan.owners)
        np.testing.assert_allclose(arrays.plates[row], scene.places)
        for ring, middle in zip(scene.rings, arrays.rings[row], strict=True):
            assert ring[round(middle[0]), round(middle[1])] > 127
    before = sorted((path.name, path.stat().st_mtime_ns) for path in root.iterdir())
    again = cached_arrays(asked, root=root)
    assert all(np.array_equal(getattr(again, n), value) for n, value in vars(arrays).items())
    assert sorted((path.name, path.stat().st_mtime_ns) for path in root.iterdir()) == before
    assert len(joined([arrays, again])) == 16
    with pytest.raises(ValueError, match="multiple of 4"):
        render_arrays(SceneSet(6, seed=0))


def test_batches_hold_whole_groups_turned_together(root):
    data = SmileData(**FEW, root=root)
    scenes = data.scenes("train")
    groups = {}
    for _ in range(12):
        for batch in data.train_dataloader():
            (first, *rest) = batch["index"].tolist()
            assert first % 4 == 0
            assert rest == [first + 1, first + 2, first + 3]
            plain = scenes[batch["index"].tolist()]
            turned = not torch.equal(batch["image"], plain["image"])
            groups.setdefault(first, set()).add(turned)
            image = plain["image"].flip(3) if turned else plain["image"]
            assert torch.equal(batch["image"], image)
            columns = plain["plates"][..., 1]
            columns = 63 - columns if turned else columns
            torch.testing.assert_close(batch["plates"][..., 1], columns)
            assert torch.equal(batch["plates"][..., 0], plain["plates"][..., 0])
    assert groups == {0: {True, False}, 4: {True, False}}
    pixels = scenes.arrays.images[0].transpose(2, 0, 1) / 255
    np.testing.assert_allclose(plain["image"].numpy().std(), pixels.std() / STD, rtol=0.3)
    again = scenes[[0]]["image"][0].numpy() * STD + MEAN
    np.testing.assert_allclose(again, pixels, atol=1e-6)


def test_splits(root):
    data = SmileData(
        **FEW, root=root, train_distances=[4, 20], test_distances=[6], train_without_faces=4
    )
    assert data.test_names == ("test", "test_without_faces", "test_distance_6")
    train = data.scenes("train")
    assert len(train) == 12
    rows = train.arrays.plates[:, 0, 0] - train.arrays.rings[:, 0, 0]
    assert rows.tolist() == pytest.approx([4 + 16] * 4 + [20 + 16] * 4 + [4 + 16] * 4, abs=0.6)
    near, far = data.scenes("test_distance_6").arrays, data.scenes("test").arrays
    assert np.array_equal(near.answers, far.answers)
    assert not np.array_equal(near.images, far.images)
    empty = data.scenes("test_without_faces").arrays
    assert np.array_equal(empty.answers, far.answers)
    assert np.array_equal(empty.images[0], empty.images[2])  # only the expressions differ
    assert (data.plate, data.ring) == (17, 15)
    with pytest.raises(KeyError, match="no split 'tset'"):
        data.scenes("tset")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": 6}, "train must be a multiple of 4, a group; got 6"),
        ({"batch_size": 2}, "batch_size must be at least 4"),
        ({"colours": 7}, "colours must be 6 or 24"),
        ({"sushi": 5}, "sushi must be 1 to 4"),
        ({"test_distances": [60]}, "distance must lie in 0 to 30"),
    ],
)
def test_options_of_the_data_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        SmileData(**options)


def arithmetic(layers):
    """The receptive field of convolutions one after the other: 1 + sum of (k - 1) strides."""
    field, jump = 1, 1
    for kernel, stride in layers:
        field += (kernel - 1) * jump
        jump *= stride
    return field


@pytest.mark.parametrize(
    "layers", [[(4, 2), (4, 2)], [(4, 2), (4, 1), (6, 2), (6, 1), (6, 2)], [(3, 1)] * 4], ids=str
)
def test_the_receptive_field_is_that_of_arithmetic(layers):
    model = LocalCNN(1, layers=layers)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, std=3.0)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    expected = arithmetic([(3, stride) for _, stride in layers])
    assert receptive_field(model.local, size=64) == (expected, expected)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_the_receptive_field_of_other_things():
    assert receptive_field(nn.Conv2d(3, 2, (3, 7), padding=(1, 3)), size=20) == (3, 7)
    dilated = nn.Sequential(nn.Conv2d(3, 2, 3, padding=2, dilation=2), nn.ReLU())
    assert receptive_field(dilated, size=20) == (3 + 2, 3 + 2)
    for block in ("se", "nonlocal"):
        everywhere = wrap(LocalCNN(1), block, at="local", init="paper")
        wake(everywhere)
        assert receptive_field(everywhere.local, size=48) == (48, 48)
    with pytest.raises(ValueError, match="must give a map"):
        receptive_field(LocalCNN(1), size=32)


def test_the_network_answers_at_every_place_and_in_the_mean():
    model = LocalCNN(3, layers=[(8, 2), (8, 2)], hidden=5).eval()
    x = torch.randn(2, 3, 32, 24)
    places = model.places(x)
    assert places.shape == (2, 3, 8, 6)
    torch.testing.assert_close(model(x), places.mean((2, 3)))
    with pytest.raises(ValueError, match="pairs of channels and stride"):
        LocalCNN(1, layers=[(8,)])


def test_cells_of_discs():
    cells = disc_cells(torch.tensor([[[10.0, 20.0]]]), diameter=9, size=32, grid=(32, 32))
    y, x = np.mgrid[:32, :32]
    expected = (y - 10) ** 2 + (x - 20) ** 2 <= 4.5**2
    assert np.array_equal(cells[0, 0].numpy() > 0, expected)
    coarse = disc_cells(torch.tensor([[[10.0, 20.0]]]), diameter=9, size=32, grid=(4, 4))
    assert coarse.sum() * 64 == pytest.approx(expected.sum())


def test_every_cell_is_one_diners_at_most_and_shares_add_up():
    rings = torch.tensor([[[8.0, 8.0], [8.0, 23.0], [8.0, 40.0], [8.0, 56.0]]])
    cells = diner_cells(rings, diameter=15, size=64, grid=(8, 8))
    assert int(cells.sum(1).max()) == 1
    assert cells[0].flatten(1).any(1).all()
    row = torch.zeros(1, 1, 1, 8, 8)
    row[..., 1, 1], row[..., 1, 3], row[..., 7, 7] = 0.5, 0.2, 0.3
    shares = diner_shares(row, cells)
    torch.testing.assert_close(shares[0, 0, 0], torch.tensor([0.5, 0.2, 0.0, 0.0]))


def test_plate_rows_are_those_of_the_place_under_the_plate():
    model = wrap(LocalCNN(1), "nonlocal", at="local").eval()
    x = torch.randn(3, 3, 64, 64)
    middles = torch.tensor([[[50.0, 10.0], [50.0, 60.0]], [[50.0, 10.0], [41.0, 30.0]]] * 2)[:3]
    with torch.no_grad(), record(model) as maps:
        model(x)
    (site,) = maps.values()
    rows = plate_rows(site, middles, size=64)
    assert rows.shape == (3, 2, 1, 8, 8)
    for image, sushi in itertools.product(range(3), range(2)):
        y, column = (int(place) // 8 for place in middles[image, sushi])
        torch.testing.assert_close(rows[image, sushi, 0], site.query(y, column)[image])
    contexts = wrap(LocalCNN(1), "gc", at="local").eval()
    with torch.no_grad(), record(contexts) as maps:
        contexts(x)
    rows = plate_rows(next(iter(maps.values())), middles, size=64)
    torch.testing.assert_close(rows.sum((3, 4)), torch.ones(3, 2, 1))
    gated = wrap(LocalCNN(1), "se", at="local").eval()
    with torch.no_grad(), record(gated) as maps:
        gated(x)
    assert plate_rows(next(iter(maps.values())), middles, size=64) is None


def test_answers_are_means_over_the_plates():
    module = SmileModule().eval()
    image = torch.randn(2, 3, 64, 64)
    plates = torch.tensor([[[51.0, 20.0], [40.0, 9.0]], [[51.0, 44.0], [30.0, 30.0]]])
    logits = module.model.places(image)
    cells = disc_cells(plates, diameter=17, size=64, grid=(8, 8))
    expected = torch.einsum("nyx,nkyx->nk", logits[:, 0], cells) / cells.sum((2, 3))
    torch.testing.assert_close(module.answers({"image": image, "plates": plates}), expected)


def test_what_is_examined(root):
    module = SmileModule({"block": "nonlocal", "at": "local"}).eval()
    batch = SmileData(**FEW, root=root).scenes("test")[list(range(8))]
    with torch.no_grad():
        found = module.examine(batch)
        logits = module.answers(batch)
    torch.testing.assert_close(found.probability, logits.sigmoid())
    assert torch.equal(found.correct, (logits > 0).long() == batch["answer"])
    cells = diner_cells(batch["rings"], diameter=15, size=64, grid=(8, 8))
    for n in range(8):
        own = cells[n, batch["owners"][n, 0]]
        torch.testing.assert_close(found.shares[n, 0, 0], found.rows[n, 0, 0][own].sum())
        torch.testing.assert_close(found.chance[n, 0], own.float().mean())
    assert module.examine(batch).rows is not None
    plain = SmileModule().eval()
    assert plain.examine(batch).rows is None


def test_blocks_are_awake_unless_told_otherwise():
    for awake in (True, False):
        module = SmileModule({"block": "nonlocal", "at": "local"}, awake=awake)
        gain = next(p for name, p in module.named_parameters() if name.endswith("bn.weight"))
        assert gain.eq(float(awake)).all()
        module = SmileModule({"block": "mhsa", "at": "relate.0"}, awake=awake)
        assert module.model.relate[0].attention.strength.item() == float(awake)


def test_gaps():
    plates = torch.tensor([[[50.0, 10.0], [50.0, 50.0]]])
    rings = torch.tensor([[[10.0, 60.0], [10.0, 50.0]]])
    found = gap(plates, rings, torch.tensor([[0, 1]]), plate=16, ring=14)
    assert found.tolist() == [[50 - 15, 40 - 15]]
    near = gap(plates, plates[:, :1], torch.tensor([[0, 0]]), plate=16, ring=14)
    assert near[0, 0] == 0


def test_a_network_that_relates_learns_a_few_groups(root):
    """The whole chain can learn: two groups by heart, where a sum of places can't."""
    torch.manual_seed(0)
    layers = [(12, 2), (12, 2), (12, 2)]
    data = SmileData(**FEW, train_balanced=True, root=root)
    batch = data.scenes("train")[list(range(4))]
    correct = {}
    for name, attention in {
        "plain": None,
        "nonlocal": {"block": "nonlocal", "at": "local"},
    }.items():
        module = SmileModule(attention, layers=layers, hidden=16)
        optimiser = torch.optim.Adam(module.parameters(), lr=0.01)
        for _ in range(80):
            loss = nn.functional.binary_cross_entropy_with_logits(
                module.answers(batch), batch["answer"].float()
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        correct[name] = float(loss.detach())
    assert correct["nonlocal"] < 0.1
    assert correct["plain"] > 0.5


def test_fit_test_and_the_command(root, tmp_path, capsys):
    words = ["--task=smiles", f"--runs={tmp_path}", f"--data.root={root}", "--name=far"]
    words += [f"--data.{name}={value}" for name, value in FEW.items()]
    words += ["--model.attention.block=nonlocal", "--model.attention.at=local"]
    words += ["--data.test_distances=[6]", "--trainer.max_epochs=1", "--trainer.accelerator=cpu"]
    assert main(["fit", *words]) == 0
    assert main(["test", *words]) == 0
    out = capsys.readouterr().out
    for word in ("correct", "sure", "mass", "chance", "test_distance_6", "test_without_faces"):
        assert word in out
    ((module, data),) = load_runs(tmp_path, name="far")
    tested = examine_run(module, data, name="far")
    assert tested.field == 17
    assert len(tested.gaps) == len(tested.correct) == 16
    assert tested.parameters == sum(p.numel() for p in module.parameters())
    assert set(tested.means) == set(data.test_names)
    assert accuracy_by_distance(tested) == []  # too few answers for any bin
    assert main(["smiles", "[far]", f"--runs={tmp_path}", f"--out={tmp_path / 'drawn'}"]) == 0
    assert "receptive field before the attention: 17 x 17 pixels" in capsys.readouterr().out
    for name in ("distances", "queries"):
        assert (tmp_path / "drawn" / f"{name}.png").stat().st_size > 4000
    with pytest.raises(FileNotFoundError, match="did you mean far"):
        load_runs(tmp_path, name="fra")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_begins_with_command_time_and_result(name):
    lines = find_recipe(name).read_text().splitlines()
    comment = "\n".join(itertools.takewhile(lambda line: line.startswith("#"), lines))
    for word in (f"visattn fit  -c recipes/{name}.yaml", "two cores", "To expect"):
        assert word in comment


@pytest.mark.slow
def test_recipes_are_compared_at_equal_parameters_on_the_same_data():
    for prefix in ("", "dense_"):
        counts, data, local = {}, [], []
        for kind in ("plain", "se", "gc", "nonlocal", "mhsa", "axial"):
            with quiet_lightning():
                words = [f"--config={find_recipe(f'longrange/{prefix}{kind}')}"]
                cli = TaskCLI(words, run=False, logs=False)
            counts[kind] = sum(p.numel() for p in cli.model.parameters())
            data.append(cli.config["data"].as_dict())
            local.append(cli.model.hparams["layers"])
        assert max(counts.values()) <= 1.05 * min(counts.values()), counts
        assert all(each == data[0] for each in data)
        assert all(each == local[0] for each in local)
        field, _ = receptive_field(LocalCNN(1, layers=local[0]).local, size=128)
        layout = SmileData(**{**data[0], "root": None})._set(4, 0, data[0]["distance"]).layout
        assert field < layout.rows_between + 2
