"""Comparison of maps: rank correlation and disagreement."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

import camlucida as cl
from camlucida.attribution.map_comparison import disagreement, rank_correlation
from camlucida.cli import main
from camlucida.data import toybox
from camlucida.errors import MethodError

PETS = toybox.scene(4, kinds=["cat", "dog"], objects=2, size=96).picture()
DRAWN = np.random.default_rng(3)


@pytest.fixture(scope="module")
def model() -> Any:
    return cl.load("toybox")


def test_rank_correlation_is_scipys() -> None:
    plain = DRAWN.normal(size=(3, 20, 30))
    ties = DRAWN.integers(0, 4, size=(2, 20, 30)).astype(float)
    maps = [*plain, *ties, plain[0] ** 3, -plain[0]]
    result = rank_correlation(maps)
    np.testing.assert_allclose(
        result, scipy.stats.spearmanr(np.stack([m.ravel() for m in maps], 1)).statistic, atol=1e-12
    )
    np.testing.assert_allclose(np.diag(result), 1)
    np.testing.assert_allclose([result[0, 5], result[0, 6]], [1, -1])


def test_rank_correlation_ignores_nan() -> None:
    a, b = DRAWN.normal(size=(2, 20, 30))
    a[:, :10] = b[:, :10] = np.nan
    expected = scipy.stats.spearmanr(a[:, 10:].ravel(), b[:, 10:].ravel()).statistic
    np.testing.assert_allclose(rank_correlation([a, b])[0, 1], expected)


def test_rank_correlation_uses_the_common_valid_region() -> None:
    a, b, c = DRAWN.normal(size=(3, 20, 30))
    a[:, :10] = b[5:9] = np.nan
    both = ~np.isnan(a) & ~np.isnan(b)
    result = rank_correlation([a, b, c])
    for i, j, first, other in ((0, 1, a, b), (1, 2, b, c)):
        np.testing.assert_allclose(result[i, j], scipy.stats.spearmanr(first[both], other[both]).statistic)


def test_constant_map_has_nan_correlation() -> None:
    result = rank_correlation([DRAWN.normal(size=(4, 4)), np.zeros((4, 4))])
    assert np.isnan(result[0, 1])
    assert np.isnan(result[1, 1])
    assert result[0, 0] == 1


def test_disagreement_by_hand() -> None:
    a, b, c = np.abs(DRAWN.normal(size=(3, 5, 6)))
    expected = np.stack([m / m.max() for m in (a, b, c)]).std(axis=0)
    np.testing.assert_allclose(disagreement([a, 7 * b, c]), expected, atol=1e-6)
    np.testing.assert_allclose(disagreement([a, 3 * a]), 0, atol=1e-7)
    np.testing.assert_allclose(disagreement([a, np.minimum(-a, 0)]), a / a.max() / 2, atol=1e-6)


def test_disagreement_keeps_nan() -> None:
    a, b = np.abs(DRAWN.normal(size=(2, 5, 6))).astype(np.float32)
    a[0] = b[0] = np.nan
    result = disagreement([a, b])
    assert np.isnan(result[0]).all()
    assert not np.isnan(result[1:]).any()


def test_of_explanations(model: Any) -> None:
    result = cl.explain(model, PETS, target="cat", method=["grad_cam", "refine(layer_cam)", "eigen_cam"])
    assert result.labels == ["grad_cam", "refine(layer_cam)", "eigen_cam"]
    assert result.disagreement().shape == (96, 96)
    assert 0 < result.disagreement().max() <= 0.5
    table = result.rank_correlation()
    assert table.shape == (3, 3)
    np.testing.assert_allclose(table, table.T)
    panel = result.disagreement_panel(density=1.0)
    assert panel.width > 900
    assert result.figure(density=1.0).width > 500  # one row: the layers are their methods' own


def test_labels_name_varying_axes(model: Any) -> None:
    result = cl.explain(model, PETS, target=["cat", "dog"], layer="layer[34]", method=["grad_cam", "flips(grad_cam)"])
    assert result.labels[0] == "grad_cam · cat · layer3"
    assert len(set(result.labels)) == 8
    assert cl.explain(model, PETS, target="cat", layer="layer[34]").labels == ["layer3", "layer4"]


def test_comparing_one_map_raises(model: Any) -> None:
    result = cl.explain(model, PETS, target="cat", method=["grad_cam"])
    for compare in (result.disagreement, result.rank_correlation, result.disagreement_panel):
        with pytest.raises(MethodError, match="at least two maps, not 1"):
            compare()


def test_identical_maps_note(model: Any) -> None:
    result = cl.explain(model, PETS, target="cat", method=["grad_cam", "smooth(grad_cam, noise=0, n=2)"])
    assert result.disagreement().max() < 1e-6
    assert result.disagreement_panel(density=1.0).width > 900


def test_a_record_of_a_combined_method(model: Any) -> None:
    e = cl.explain(model, PETS, target="cat", method="smooth(refine(layer_cam), n=2)")
    record = e.record()
    assert record["method"] == "smooth(refine(layer_cam), n=2)"
    assert record["options"] == {"smooth.n": 2, "smooth.noise": 0.1, "smooth.seed": 0}
    assert record["layer"] == "layer1+layer2+layer3+layer4"
    assert record["grid"] == [24, 24]
    again = cl.explain(model, PETS, target="cat", method=record["method"])
    np.testing.assert_array_equal(again.heatmap, e.heatmap)


def test_a_list_of_layers_is_fused_into_one(model: Any) -> None:
    e = cl.explain(model, PETS, target="cat", method="refine(grad_cam)", layer=["layer3", "layer4"])
    assert isinstance(e, cl.Explanation)
    assert e.layer == "layer3+layer4"


# --- the command


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(["explain", *arguments, "--model", "toybox"])
    out, err = capsys.readouterr()
    return int(stopped.value.code or 0), out, err


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    PETS.save(tmp_path / "pets.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_compare(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    methods = "grad_cam, scales(grad_cam, factors=(0.5, 1)), smooth(positive(hires_cam), n=2)"
    code, out, err = command(capsys, "pets.png", "--method", methods, "--compare")
    assert (code, err) == (0, "")
    assert sorted(p.name for p in (folder / "camlucida-out").iterdir()) == ["pets-disagreement.png", "pets.png"]
    assert "→ camlucida-out/pets-disagreement.png" in out
    table = out[out.index("Rank correlation of the maps") :].splitlines()
    assert [line.split()[0] for line in table[2:5]] == ["1", "2", "3"]
    assert "2 scales(grad_cam, factors=(0.5, 1))" in table[3]
    assert table[2].split()[2] == "1.00"


def test_compare_many(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    PETS.save("more.png")
    code, out, _ = command(capsys, "pets.png", "more.png", "--method", "grad_cam,layer_cam", "--compare")
    assert code == 0
    assert "Rank correlation" not in out
    assert (folder / "camlucida-out" / "more-disagreement.png").exists()


def test_compare_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = command(capsys, "pets.png", "--compare")
    assert code == 2
    assert err.startswith("camlucida: a comparison requires at least two maps, not 1: request several methods")


def test_invalid_expression(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = command(capsys, "pets.png", "--method", "refin(grad_cam)")
    assert code == 2
    assert "no combinator or method 'refin'. Did you mean 'refine'" in err


def test_models_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["models"])
    out = capsys.readouterr().out
    assert "Combinators, applied to any method" in out
    for name in ("refine", "fuse_max", "smooth", "crops"):
        assert f"\n{name} " in out
