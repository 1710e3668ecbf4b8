"""Penultimate features against the network itself, neighbours against scikit-learn, and the page."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from torch import nn

import camlucida as cl
from camlucida.analysis import Embedding, embed
from camlucida.analysis.embedding_files import StoredFeatures, read_projection
from camlucida.analysis.neighbours import nearest_neighbours, neighbour_agreement, neighbour_agrees
from camlucida.analysis.penultimate import penultimate
from camlucida.analysis.projection import project
from camlucida.cli import main
from camlucida.data.datasets import Item, ListDataset, ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.errors import DataError, MissingExtra
from camlucida.report.embedding_page import embedding_report

DATA = ToyboxDataset(Toybox(48, seed=1))


@pytest.fixture(scope="module")
def embedding(tmp_path_factory: pytest.TempPathFactory) -> Embedding:
    return embed("toybox", DATA, out=tmp_path_factory.mktemp("embedding"))


def batch(model: cl.Model, n: int = 3) -> torch.Tensor:
    return torch.stack([model.preprocessing(DATA[i].image)[0] for i in range(n)])


@pytest.mark.parametrize("name", ["toybox", "toybox:vit"])
def test_features_and_the_last_layer_give_the_scores(name: str) -> None:
    model = cl.load(name)
    inputs = batch(model)
    last = [m for m in model.network.modules() if isinstance(m, nn.Linear)][-1]
    observed = penultimate(model, inputs)
    with torch.no_grad():
        scores = model.network(inputs)
        torch.testing.assert_close(last(observed.features), scores)
    torch.testing.assert_close(observed.scores, scores)
    assert observed.feature_source.startswith("the input of")


@pytest.mark.parametrize("arch", ["resnet18", "vgg11", "vit_b_32", "densenet121"])
def test_features_of_known_networks(arch: str) -> None:
    model = cl.load(arch, pretrained=False)
    inputs = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    last = [m for m in model.network.modules() if isinstance(m, nn.Linear)][-1]
    observed = penultimate(model, inputs)
    with torch.no_grad():
        torch.testing.assert_close(last(observed.features), model.network(inputs), rtol=1e-4, atol=1e-4)


def test_penultimate_features_with_log_softmax() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.squeeze, self.fc = nn.Conv2d(3, 6, 3), nn.Linear(6, 6), nn.Linear(6, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.conv(x)
            x = x * self.squeeze(x.mean((2, 3))).sigmoid()[:, :, None, None]
            return self.fc(x.amax((2, 3)).clone()).log_softmax(1)

    network = Odd()
    inputs = batch(cl.load("toybox"))
    observed = penultimate(cl.wrap(network, size=96), inputs)
    with torch.no_grad():  # scores are what precedes the last softmax
        torch.testing.assert_close(network.fc(observed.features), observed.scores)
        torch.testing.assert_close(observed.scores.log_softmax(1), network(inputs))


def test_features_without_a_linear_layer_are_pooled() -> None:
    class Convolutional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU()), nn.Conv2d(5, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.body(x)).mean((2, 3))

    network = Convolutional()
    inputs = batch(cl.load("toybox"))
    observed = penultimate(cl.wrap(network, size=96, layer="body"), inputs)
    with torch.no_grad():
        torch.testing.assert_close(observed.features, network.body(inputs).mean((2, 3)))
    assert observed.feature_source == "body, averaged over its positions"


def test_neighbours_match_scikit_learn() -> None:
    features = np.random.default_rng(0).normal(size=(60, 9)).astype(np.float32)
    labels = np.random.default_rng(1).integers(0, 3, 60)
    actual, cosines = nearest_neighbours(features, np.arange(60), 4)
    distances, reference = NearestNeighbors(n_neighbors=5, metric="cosine").fit(features).kneighbors(features)
    np.testing.assert_array_equal(actual, reference[:, 1:])
    np.testing.assert_allclose(cosines, 1 - distances[:, 1:], atol=1e-6)
    hits = [
        KNeighborsClassifier(1, metric="cosine")
        .fit(np.delete(features, i, 0), np.delete(labels, i))
        .score(features[i : i + 1], labels[i : i + 1])
        for i in range(60)
    ]
    assert neighbour_agreement(features, labels) == pytest.approx(np.mean(hits))


def test_pca_matches_scikit_learn_and_is_seeded() -> None:
    features = np.random.default_rng(0).normal(size=(40, 12)).astype(np.float32)
    result = project(features, "pca")
    np.testing.assert_allclose(result.positions, PCA(12).fit_transform(features)[:, :2], atol=1e-4)
    assert result.explained_variance == pytest.approx(1.0)
    once, twice = project(features, seed=3), project(features, seed=3)
    np.testing.assert_array_equal(once.positions, twice.positions)
    assert "perplexity 13 " in once.description, "at most a third of the images"


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_images_use_principal_components(count: int) -> None:
    result = project(np.random.default_rng(0).normal(size=(count, 6)).astype(np.float32))
    assert result.positions.shape == (count, 2)
    assert "too few" in result.description
    assert np.isfinite(result.positions).all()
    assert not project(np.ones((count, 6), dtype=np.float32)).positions.any()


def test_invalid_arguments_raise() -> None:
    with pytest.raises(DataError, match="unknown projection"):
        project(np.ones((9, 3), dtype=np.float32), "mds")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="perplexity"):
        project(np.ones((9, 3), dtype=np.float32), perplexity=0)


def test_umap_is_an_extra() -> None:
    try:
        import umap  # noqa: F401
    except ModuleNotFoundError:
        with pytest.raises(MissingExtra, match=r"camlucida\[umap\]"):
            project(np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32), "umap")


def test_images_of_a_class_are_neighbours(embedding: Embedding) -> None:
    assert embedding.agreement > 0.9
    rows = embedding.nearest("scene 7", 5)
    assert "scene 7" not in [row["image"] for row, _ in rows]
    assert [c for _, c in rows] == sorted((c for _, c in rows), reverse=True)
    with pytest.raises(DataError, match="no image is named 'scene 99'"):
        embedding.nearest("scene 99")
    projected_positions = embedding.projection.positions
    labels = [row["label"] for row in embedding.rows]
    nearest_position, _ = nearest_neighbours(
        -np.linalg.norm(projected_positions[:, None] - projected_positions[None], axis=2), np.arange(48), 1
    )
    assert len(nearest_position) == len(labels)


def test_written_files(embedding: Embedding) -> None:
    stored = np.load(embedding.path / "embedding.npy")
    np.testing.assert_array_equal(stored, embedding.features)
    rows = parquet.read_table(embedding.path / "embedding.parquet").to_pylist()
    np.testing.assert_allclose([[row["x"], row["y"]] for row in rows], embedding.projection.positions, rtol=1e-6)
    assert [row["image"] for row in rows] == embedding.names


def test_second_run_reuses_the_features(embedding: Embedding, tmp_path: Path) -> None:
    run = shutil.copytree(embedding.path, tmp_path / "run")
    before = {file: file.stat().st_mtime_ns for file in (run / "parts").iterdir()}
    again = embed("toybox", DATA, out=run, way="pca")
    assert {file: file.stat().st_mtime_ns for file in (run / "parts").iterdir()} == before
    np.testing.assert_array_equal(again.features, embedding.features)


def test_stored_features_round_trip(embedding: Embedding) -> None:
    read = StoredFeatures.read(embedding.path)
    np.testing.assert_array_equal(read.features, embedding.features)
    assert (read.rows, read.failures) == (embedding.rows, embedding.failures)
    assert read.feature_source == embedding.feature_source
    way, projected_positions = read_projection(embedding.path, read.rows) or ("", embedding.projection)
    assert (way, projected_positions.description, projected_positions.explained_variance) == (
        "tsne",
        embedding.projection.description,
        embedding.projection.explained_variance,
    )
    np.testing.assert_allclose(projected_positions.positions, embedding.projection.positions, rtol=1e-6)
    assert read_projection(embedding.path, read.rows[1:]) is None  # the positions of other rows are not returned


def test_neighbour_agreement_by_hand() -> None:
    rng = np.random.default_rng(3)
    features, labels = rng.standard_normal((30, 5)).astype(np.float32), rng.integers(0, 3, 30)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    by_hand = [
        labels[max((j for j in range(30) if j != i), key=lambda j: unit[i] @ unit[j])] == labels[i] for i in range(30)
    ]
    assert neighbour_agrees(features, labels).tolist() == by_hand
    assert neighbour_agreement(features, labels) == np.mean(by_hand)
    assert len(neighbour_agrees(features[:1], labels[:1])) == 0


def test_only_images_with_a_classmate_are_counted() -> None:
    """Two pairs of a class, a pair of two classes, and 20 images that are the only one of their class."""
    pairs = np.repeat(np.eye(3, 40), 2, axis=0)
    features = np.vstack([pairs, np.eye(40)[20:]]).astype(np.float32)
    labels = np.array([0, 0, 1, 1, 0, 2, *range(10, 30)])
    assert neighbour_agreement(features, labels) == pytest.approx(4 / 5), "the fifth has the image of class 2 beside it"
    assert np.isnan(neighbour_agreement(features, np.arange(26)))


def test_unreadable_images_are_listed(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"no")
    data = ListDataset("two", [Item(DATA[0].image, "good"), Item(tmp_path / "x.png", "bad")])
    result = embed("toybox", data, out=tmp_path / "out")
    assert result.names == ["good"]
    assert result.failures[0][0] == "bad"
    assert np.isnan(result.agreement)
    assert embedding_report(result, tmp_path / "p.html").exists()
    with pytest.raises(DataError, match="no image of none could be read"):
        embed("toybox", ListDataset("none", [Item(tmp_path / "x.png", "bad")]), out=tmp_path / "none")


def test_the_page(embedding: Embedding, tmp_path: Path) -> None:
    embedding.rows[0]["image"] = "</script><b>"
    try:
        page = embedding_report(embedding, tmp_path / "page.html")
    finally:
        embedding.rows[0]["image"] = "scene 0"
    text = page.read_text(encoding="utf-8")
    assert page.stat().st_size < 5_000_000
    assert not re.search(r"https?://", text)
    assert text.count("</script>") == 2, "no name ends a script"
    points = re.findall(r'data-i="(\d+)" data-at="([\d.-]+),([\d.-]+)"', text)
    assert [int(i) for i, _, _ in points] == list(range(48))
    assert all(0 <= float(x) <= 900 and 0 <= float(y) <= 620 for _, x, y in points)
    (content,) = re.findall(r'id="images">(.*?)</script>', text)
    thumbnails = json.loads(content)
    assert thumbnails[0][0] == "</script><b>"
    assert [p[1] for p in thumbnails] == [row["label"] for row in embedding.rows]
    assert all(p[4] for p in thumbnails), "each has its thumbnail"
    assert text.count("<button") == 48, "reachable without a pointer"


def test_the_command(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as done:
        main(["embed", "toybox", "--limit", "20", "--near", "scene 3", "-o", str(tmp_path)])
    assert done.value.code == 0
    for name in ("embedding.npy", "embedding.parquet", "neighbours.png", "report.html"):
        assert (tmp_path / name).exists(), name
