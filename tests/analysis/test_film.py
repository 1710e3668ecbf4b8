"""Maps over checkpoints: each frame against `explain`, the order of the checkpoints, excluded images."""

from __future__ import annotations

import copy
import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import camlucida as cl
from camlucida.analysis import Film, film
from camlucida.analysis.checkpoints import checkpoints
from camlucida.cli import main
from camlucida.data.datasets import Item, ListDataset, ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.errors import DataError, ModelError
from camlucida.metrics import find as find_metric
from camlucida.render.film_strip import Strip, StripFrame, draw_strips

DATA = ToyboxDataset(Toybox(4, seed=2, objects=2))


def train_checkpoints() -> dict[str, cl.Model]:
    """The last layer of the toybox network learns from nothing, for three short epochs."""
    model = cl.load("toybox")
    network = copy.deepcopy(model.network)
    head = network.get_submodule("fc")
    torch.manual_seed(0)
    torch.nn.init.normal_(head.weight, std=0.01)  # type: ignore[arg-type]
    torch.nn.init.zeros_(head.bias)  # type: ignore[arg-type]
    scenes = [Toybox(60, seed=8)[i] for i in range(60)]
    inputs = torch.stack([model.preprocessing(scene.image)[0] for scene in scenes])
    labels = torch.tensor([scene.label for scene in scenes])
    optimiser = torch.optim.SGD(head.parameters(), lr=0.3)
    kept = {"start": cl.wrap(copy.deepcopy(network), preprocess=model.preprocessing, labels=model.labels)}
    for epoch in range(1, 4):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(inputs), labels).backward()
        optimiser.step()
        kept[f"epoch {epoch}"] = cl.wrap(copy.deepcopy(network), preprocess=model.preprocessing, labels=model.labels)
    return kept


@pytest.fixture(scope="module")
def models() -> dict[str, cl.Model]:
    return train_checkpoints()


@pytest.fixture(scope="module")
def toybox_film(models: dict[str, cl.Model]) -> Film:
    return film(models, DATA)


def test_frames_match_explanations(toybox_film: Film, models: dict[str, cl.Model]) -> None:
    assert toybox_film.checkpoints == ("start", "epoch 1", "epoch 2", "epoch 3")
    assert len(toybox_film.takes) == 16
    for take in toybox_film.takes:
        i = int(take.image.removeprefix("scene "))
        item = DATA[i]
        e = cl.explain(models[take.checkpoint], item.image, target=item.label)
        inputs, _ = models[take.checkpoint].preprocessing(item.image)
        with torch.no_grad():
            probabilities = models[take.checkpoint].network(inputs[None])[0].softmax(0)
        assert take.explained == DATA.classes[item.label or 0]
        assert take.chance == pytest.approx(float(probabilities[item.label]), abs=1e-5)
        assert take.confidence == pytest.approx(float(probabilities.max()), abs=1e-5)
        assert take.correct == (int(probabilities.argmax()) in {item.label, *item.also_correct})
        assert item.mask is not None
        scores = find_metric("energy").metric(torch.from_numpy(e.landed), torch.from_numpy(item.mask()))
        assert (take.share, take.lift) == pytest.approx(
            (scores["energy"].value, scores["energy_lift"].value), nan_ok=True
        )


def test_probability_grows_over_checkpoints(toybox_film: Film) -> None:
    probabilities = [toybox_film.shares("chance")[name].value for name in toybox_film.checkpoints]
    assert probabilities[-1] > probabilities[0]
    shares = toybox_film.shares()
    by_hand = [t.share for t in toybox_film.takes if t.checkpoint == "epoch 3"]
    assert shares["epoch 3"].value == pytest.approx(np.mean(by_hand))
    assert shares["epoch 3"].low <= shares["epoch 3"].value <= shares["epoch 3"].high


def test_default_target_without_labels(models: dict[str, cl.Model]) -> None:
    images = [DATA[i].image for i in range(2)]
    result = film(list(models.values()), images)
    assert result.checkpoints == ("checkpoint 1", "checkpoint 2", "checkpoint 3", "checkpoint 4")
    for image in result.images:
        takes = [take for take in result.takes if take.image == image]
        assert {take.explained for take in takes} == {takes[-1].predicted}
        assert all(take.correct is None and np.isnan(take.share) for take in takes)
    followed = film(models, images, target="predicted")
    assert all(take.explained == take.predicted for take in followed.takes)
    assert not followed.shares()


def test_a_folder_of_checkpoints(models: dict[str, cl.Model], tmp_path: Path) -> None:
    """In the order of their numbers, and of a run's folder the epochs."""
    epochs = tmp_path / "epochs"
    epochs.mkdir()
    for name, model in zip(("000", "002", "010"), models.values(), strict=False):
        save_file(model.network.state_dict(), epochs / f"{name}.safetensors")
    assert [name for name, _ in checkpoints(tmp_path)] == ["start", "epoch 2", "epoch 10"]
    (epochs / "epoch-9.pt").touch()
    (epochs / "best.pt").touch()
    (epochs / "notes.txt").touch()
    (epochs / "epoch-10.pt").touch()
    names = [name for name, _ in checkpoints(epochs)]
    assert names == ["start", "epoch 2", "epoch 10 (3)", "best", "epoch 9", "epoch 10 (6)"]
    for file in ("epoch-9.pt", "epoch-10.pt", "best.pt"):
        (epochs / file).unlink()
    result = film(tmp_path, ListDataset("one", [DATA[0]], DATA.classes), arch="toybox")
    assert [take.checkpoint for take in result.takes] == ["start", "epoch 2", "epoch 10"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="no checkpoints"):
        checkpoints(tmp_path / "empty")
    with pytest.raises(ModelError, match="does not exist"):
        checkpoints(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="needs one or more checkpoints"):
        checkpoints([])


def test_duplicate_checkpoint_names_are_numbered() -> None:
    assert [name for name, _ in checkpoints(["toybox", "toybox"])] == ["toybox (1)", "toybox (2)"]
    assert [name for name, _ in checkpoints(["a/epoch_09.pt", "a/epoch_10.pt"])] == ["epoch 9", "epoch 10"]


def test_unreadable_image_is_skipped(models: dict[str, cl.Model], tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"no")
    data = ListDataset("two", [DATA[0], Item(tmp_path / "x.png", "bad", 0)], DATA.classes)
    result = film(models, data)
    assert result.images == [DATA[0].name]
    ((name, reason),) = result.failures
    assert name == "bad"
    assert "x.png" in reason
    with pytest.raises(DataError, match="no image could be explained"):
        film(models, [tmp_path / "x.png"])
    with pytest.raises(DataError, match="needs one or more images"):
        film(models, [])


def test_sheet_and_table(toybox_film: Film, tmp_path: Path) -> None:
    (sheet,) = toybox_film.save(tmp_path / "film.png")
    with Image.open(sheet) as image:
        assert image.width > image.height / 2
    (table,) = toybox_film.save(tmp_path / "film.csv")
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    assert [float(row["share"]) for row in rows] == [take.share for take in toybox_film.takes]


def test_strips_draw_images_and_boxes() -> None:
    red, blue = Image.new("RGB", (120, 120), "#ff0000"), Image.new("RGB", (120, 120), "#0000ff")
    rows = [
        Strip("r", "", False, [StripFrame(None, "a"), StripFrame(None, "b", image=blue)], red),
        Strip("b", "", False, [StripFrame(None, "c", boxes=np.array([[30.0, 30.0, 90.0, 90.0]]))], blue),
    ]
    page = draw_strips(rows, title="t", density=1.0)
    colours = {colour: count for count, colour in page.getcolors(1 << 20) or []}
    assert colours[255, 0, 0] == pytest.approx(112 * 112, abs=300)
    assert colours[0, 0, 255] == pytest.approx(2 * 112 * 112, abs=700)
    with pytest.raises(cl.CamlucidaError, match="has an image"):
        draw_strips([Strip("r", "", False, [StripFrame(None, "a")])], title="t")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["film", "toybox:2", "--checkpoints", "toybox:permuted,toybox", "--limit", "2", "-o", str(tmp_path)])
    assert done.value.code == 0
    assert (tmp_path / "film.png").exists()
    assert (tmp_path / "film.csv").exists()
    assert "map inside the object" in capsys.readouterr().out
