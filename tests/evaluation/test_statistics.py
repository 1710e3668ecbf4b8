"""Intervals, tests and agreement: against SciPy, statistics computed by hand, and runs with given numbers."""

from __future__ import annotations

import itertools
import json
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from numpy.testing import assert_allclose

from camlucida.data.datasets import ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.errors import DataError, LayerError, MethodError
from camlucida.evaluation import Evaluation, bootstrap, evaluate
from camlucida.evaluation.comparison import holm_corrected
from camlucida.evaluation.recipes import last_convolutions, recipe
from camlucida.evaluation.records import aggregate, aggregate_draws
from camlucida.evaluation.statistics import (
    MIN_INTERVAL_SIZE,
    benjamini_hochberg,
    bootstrap_p,
    holm_correction,
    kendall,
    mcnemar_p,
    paired_differences,
    percentile_interval,
    resampled_class_means,
    resampled_means,
    resamples,
    wilcoxon_p,
)
from camlucida.evaluation.store import Store
from camlucida.models.load import load

RNG = np.random.default_rng(0)


def run_of(
    out: Path, numbers: Mapping[str, Mapping[str, Sequence[float]]], classes: Sequence[str] = (), *, curve: int = 0
) -> Evaluation:
    """Return a finished run with given numbers: metric -> method -> value per image; NaN for unscorable maps.

    Each image's curve has its value at `curve` points.
    """
    store = Store(out)
    methods = list(dict.fromkeys(m for of in numbers.values() for m in of))
    store.begin(
        {
            "model": "none",
            "n_images": max(len(v) for of in numbers.values() for v in of.values()),
            "methods": [{"name": m, "method": m, "options": {}, "layer": None} for m in methods],
            "metrics": {name: {} for name in numbers},
            "compared": [],
            "seed": 0,
        }
    )
    rows: list[dict[str, Any]] = []
    for metric, of in numbers.items():
        for method, values in of.items():
            for i, value in enumerate(values):
                label = classes[i] if len(classes) else "a"
                base = {"index": i, "image": str(i), "label": label, "predicted": "a", "method": method}
                base |= {"curve": [value] * curve} if curve else {}
                rows.append(base | {"metric": metric, "preset": metric, "value": value, "valid": value == value})
    store.write(0, rows)
    return Evaluation(out)


def test_resamples_have_n_images_and_are_reproducible() -> None:
    drawn = np.concatenate(list(resamples(30, 200, seed=3)))
    assert drawn.shape == (200, 30)
    assert (drawn.sum(1) == 30).all()
    assert_allclose(drawn, np.concatenate(list(resamples(30, 200, seed=3))))
    assert abs(drawn.var(0).mean() - (1 - 1 / 30)) < 0.05, "each count is binomial with n = 30, p = 1/30"


def test_means_of_draws_against_loops() -> None:
    values = RNG.normal(size=(12, 3))
    values[[1, 5], [0, 2]] = np.nan
    drawn = next(iter(resamples(12, 40)))
    for row, means in zip(drawn, resampled_means(drawn, values), strict=True):
        resampled = np.repeat(values, row.astype(int), axis=0)
        assert_allclose(means, np.nanmean(resampled, axis=0))


def test_class_means_of_draws_against_loops() -> None:
    values, classes = RNG.normal(size=(12, 2)), np.array([0, 0, 1, 1, 1, 2, 2, 2, 2, 0, 1, 3])
    drawn = next(iter(resamples(12, 40)))
    for row, means in zip(drawn, resampled_class_means(drawn, values, classes), strict=True):
        indices = np.repeat(np.arange(12), row.astype(int))
        by_class = [values[indices[classes[indices] == c]].mean(0) for c in np.unique(classes[indices])]
        assert_allclose(means, np.mean(by_class, axis=0))


def test_the_interval_of_a_mean_against_scipy(tmp_path: Path) -> None:
    values = RNG.beta(2, 3, size=150)
    result = run_of(tmp_path, {"energy": {"a": values.tolist()}}).summary("energy", "a", draws=4000)
    theirs = scipy.stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=1).confidence_interval
    assert result.value == pytest.approx(values.mean())
    width = theirs.high - theirs.low
    assert_allclose([result.low, result.high], [theirs.low, theirs.high], atol=0.06 * width)


def test_the_interval_has_its_nominal_coverage() -> None:
    n_covered = 0
    for seed in range(300):
        values = np.random.default_rng(seed).exponential(size=60)
        drawn = resampled_means(next(iter(resamples(60, 400, seed))), values[:, None])[:, 0]
        result = percentile_interval(values.mean(), drawn, 60)
        n_covered += result.low <= 1 <= result.high
    assert 0.90 <= n_covered / 300 <= 0.97


@pytest.mark.parametrize("metric", ["energy", "max_box_acc", "pointing"])
@pytest.mark.parametrize("size", [1, 3, 4, 10])
def test_intervals_of_small_groups(metric: str, size: int, tmp_path: Path) -> None:
    """Most resamples of 200 images contain none of a small group: no warning, no NaN in the interval, none below 4."""
    values = np.linspace(0, 1, 200).round(0 if metric == "pointing" else 3)
    run = run_of(tmp_path, {metric: {"a": list(values)}}, curve=255 if metric == "max_box_acc" else 0)
    group = np.arange(0, 200, 200 // size)[:size]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        summary = run.summary(metric, "a", indices=group)
    assert np.isfinite(summary.value)
    assert summary.n == size
    if size < 4:
        assert np.isnan([summary.low, summary.high]).all()
    else:
        assert summary.low <= summary.value <= summary.high


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_the_smallest_size_with_an_interval(n: int) -> None:
    """Below 4 values, resamples of the smallest value alone make up more than the lower tail of 2.5 %."""
    alone = np.mean([len(set(drawn)) == 1 and drawn[0] == 0 for drawn in itertools.product(range(n), repeat=n)])
    assert (n >= MIN_INTERVAL_SIZE) == (alone < 0.025)


def test_mcnemar_against_the_binomial() -> None:
    assert mcnemar_p(9, 1) == pytest.approx(2 * sum(scipy.stats.binom.pmf(k, 10, 0.5) for k in (0, 1)))
    assert mcnemar_p(0, 0) == mcnemar_p(4, 4) == 1


def test_wilcoxon_against_all_signs() -> None:
    differences = np.array([0.3, -0.1, 0.7, 0.9, 1.3, -0.2, 2.1])
    ranks = scipy.stats.rankdata(np.abs(differences))
    signs = np.array(np.meshgrid(*[[0, 1]] * 7)).reshape(7, -1)
    sums, observed = ranks @ signs, ranks[differences > 0].sum()
    assert wilcoxon_p(differences) == pytest.approx(2 * (sums >= observed).mean())
    assert wilcoxon_p(np.zeros(5)) == 1


def test_rounding_makes_no_winner() -> None:
    one = RNG.uniform(size=80)
    two = one * (1 - 3e-7)
    assert wilcoxon_p(one - two) < 1e-9, "a rank test only depends on the signs"
    assert wilcoxon_p(paired_differences(one, two)) == 1


def test_holm_by_hand() -> None:
    nan = float("nan")
    assert_allclose(holm_correction([0.01, 0.04, 0.03, nan, 0.005]), [0.03, 0.06, 0.06, nan, 0.02])
    assert holm_correction([]) == []
    assert holm_correction([0.9, 0.8]) == [1, 1]


def test_benjamini_hochberg_against_scipy() -> None:
    rng = np.random.default_rng(0)
    p = np.concatenate([rng.random(30), rng.random(10) ** 6, [0.0, 1.0, 0.2, 0.2]])
    assert_allclose(benjamini_hochberg(p), scipy.stats.false_discovery_control(p))
    with_missing = np.insert(p, 3, np.nan)
    assert np.isnan(benjamini_hochberg(with_missing)[3])
    assert_allclose(np.delete(benjamini_hochberg(with_missing), 3), scipy.stats.false_discovery_control(p))
    assert len(benjamini_hochberg([])) == 0


def test_bootstrap_p_is_that_of_the_normal() -> None:
    drawn = RNG.normal(0.3, 0.1, size=5000)
    assert bootstrap_p(0.3, drawn) == pytest.approx(2 * scipy.stats.norm.sf(3), rel=0.2)
    assert bootstrap_p(0, np.zeros(9)) == 1
    assert bootstrap_p(0.2, np.full(9, 0.2)) == 0
    assert np.isnan(bootstrap_p(float("nan"), drawn))


@pytest.mark.parametrize("ties", [False, True])
def test_kendall_against_scipy(ties: bool) -> None:
    numbers = RNG.integers(0, 4, size=(6, 5, 9)).astype(float) if ties else RNG.normal(size=(6, 5, 9))
    result = kendall(numbers)
    for i, a, b in np.ndindex(6, 5, 5):
        assert result[i, a, b] == pytest.approx(scipy.stats.kendalltau(numbers[i, a], numbers[i, b]).statistic)
    assert np.isnan(kendall(np.array([[1.0, 1, 1], [1, 2, 3]]))[0, 1])


def test_two_methods_are_paired_by_image(tmp_path: Path) -> None:
    hard = RNG.uniform(size=60)
    one, two = hard + 0.02 + 0.01 * RNG.normal(size=60), hard
    result = run_of(tmp_path, {"energy": {"one": one.tolist(), "two": two.tolist()}})
    c = result.compare("energy", "one", "two")
    assert c.test == "Wilcoxon"
    assert c.p == pytest.approx(scipy.stats.wilcoxon(one, two).pvalue)
    assert c.difference.value == pytest.approx((one - two).mean())
    assert c.difference.high - c.difference.low < 0.01, "paired: the difficulty of the images cancels"
    assert c.winner == "one"
    assert c.wins == (one > two).mean()
    assert c.wins + c.losses == 1
    reverse = result.compare("energy", "two", "one")
    assert (reverse.winner, reverse.wins) == ("one", c.losses)
    assert_allclose([-reverse.difference.high, -reverse.difference.low], [c.difference.low, c.difference.high])


def test_hits_are_compared_by_mcnemar(tmp_path: Path) -> None:
    one, two = np.ones(40), np.ones(40)
    one[:3], two[2:14] = 0, 0
    result = run_of(tmp_path, {"energy": {"one": one.tolist(), "two": two.tolist()}})
    c = result.compare("energy", "one", "two")
    assert (c.test, c.p) == ("McNemar", pytest.approx(mcnemar_p(11, 2)))
    assert (c.wins, c.losses) == (11 / 40, 2 / 40)


def test_lower_is_better_for_some_metrics(tmp_path: Path) -> None:
    two = RNG.uniform(0.4, 0.9, size=50)
    result = run_of(tmp_path, {"average_drop": {"one": (two - 0.3).tolist(), "two": two.tolist()}})
    c = result.compare("average_drop", "one", "two")
    assert (c.winner, c.wins, c.losses) == ("one", 1, 0)
    assert c.difference.value == pytest.approx(-0.3)


def test_unscorable_maps_count_as_worst_in_comparisons(tmp_path: Path) -> None:
    values = RNG.uniform(0.2, 0.8, size=20)
    broken = values.copy()
    broken[:6] = np.nan
    result = run_of(tmp_path, {"energy": {"one": values.tolist(), "two": broken.tolist()}})
    c = result.compare("energy", "one", "two")
    assert (c.n, c.invalid) == (20, (0, 6))
    assert c.difference.value == pytest.approx(values[:6].sum() / 20)
    assert result.summary("energy", "two").value == pytest.approx(values[6:].sum() / 20)


def test_a_mean_over_classes_and_its_interval(tmp_path: Path) -> None:
    hits = RNG.integers(0, 2, size=50).astype(float)
    classes = ["rare" if i < 5 else "common" for i in range(50)]
    summary = run_of(tmp_path, {"pointing": {"a": hits.tolist()}}, classes).summary("pointing", "a")
    assert summary.value == pytest.approx((hits[:5].mean() + hits[5:].mean()) / 2)
    drawn = [
        np.mean(
            [
                np.repeat(hits[part], row[part].astype(int)).mean()
                for part in (slice(5), slice(5, 50))
                if row[part].any()
            ]
        )
        for row in next(iter(resamples(50)))
    ]
    assert_allclose([summary.low, summary.high], np.quantile(drawn, [0.025, 0.975]))


def test_comparisons_use_common_images(tmp_path: Path) -> None:
    one, two = RNG.uniform(size=30), RNG.uniform(size=22)
    result = run_of(tmp_path, {"energy": {"one": one.tolist(), "two": two.tolist()}})
    c = result.compare("energy", "one", "two")
    assert c.n == 22
    assert c.difference.value == pytest.approx((one[:22] - two).mean())
    assert c.difference.low < c.difference.value < c.difference.high


def test_many_comparisons_are_corrected_together(tmp_path: Path) -> None:
    numbers = {f"m{i}": RNG.uniform(size=40).tolist() for i in range(5)}
    result = run_of(tmp_path, {"energy": numbers, "relevance_rank": numbers})
    comparisons = result.comparisons()
    assert len(comparisons) == 2 * 10
    assert_allclose([c.corrected for c in comparisons], holm_correction([c.p for c in comparisons]))
    assert [c.corrected for c in holm_corrected(comparisons[:1])] == [comparisons[0].p]


def test_no_difference_is_not_significant(tmp_path: Path) -> None:
    n_winners = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        numbers = {f"m{i}": rng.uniform(size=25).tolist() for i in range(4)}
        result = run_of(tmp_path / str(seed), {"energy": numbers})
        n_winners += any(c.winner for c in result.comparisons(draws=100))
    assert n_winners <= 5


def test_metrics_that_agree_and_that_do_not(tmp_path: Path) -> None:
    level = np.linspace(0.1, 0.8, 6)[:, None] + 0.01 * RNG.normal(size=(6, 40))
    names = [f"m{i}" for i in range(6)]
    result = run_of(
        tmp_path,
        {
            "energy": dict(zip(names, level.tolist(), strict=True)),
            "average_drop": dict(zip(names, (1 - level).tolist(), strict=True)),
            "relevance_rank": dict(zip(names, (1 - level).tolist(), strict=True)),
        },
    )
    a = result.agreement()
    assert a.metrics[0] == "energy"
    at = {name: i for i, name in enumerate(a.metrics)}
    assert a.tau[0, at["average_drop"]] == 1, "lower is better: negated"
    assert a.tau[0, at["relevance_rank"]] == -1
    assert a.low[0, at["relevance_rank"]] == -1 == a.high[0, at["relevance_rank"]]
    taus = [scipy.stats.kendalltau(level[:, i], -level[:, i]).statistic for i in range(40)]
    assert a.per_image[0, at["relevance_rank"]] == pytest.approx(np.mean(taus))


def test_pooled_values_are_resampled_by_their_definition(tmp_path: Path) -> None:
    result = evaluate(
        "toybox",
        ToyboxDataset(Toybox(9, seed=5)),
        methods=["grad_cam"],
        metrics=["max_box_acc_v2", "pxap"],
        out=tmp_path,
    )
    drawn = next(iter(resamples(9, 25)))
    for metric in ("max_box_acc_v2", "pxap"):
        column, output = result.column(metric, "grad_cam"), result.values[metric]
        assert column.curves is not None
        assert output.pool is not None
        curves = torch.from_numpy(column.curves)
        expected = [output.pool(curves.repeat_interleave(torch.from_numpy(row).long(), 0)) for row in drawn]
        assert_allclose(aggregate_draws(column, output, drawn), expected, rtol=1e-9)
        assert aggregate(column, output) == pytest.approx(output.pool(curves))


def test_all_columns_share_one_matrix_product(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of columns, each with a product of its own, would take minutes."""
    calls = Counter[str]()
    for name in ("resampled_means", "aggregate_draws", "resamples"):
        plain = getattr(bootstrap, name)

        def counted(*args: Any, name: str = name, plain: Any = plain) -> Any:
            calls[name] += 1
            return plain(*args)

        monkeypatch.setattr(bootstrap, name, counted)
    names = ("energy", "relevance_rank", "box_iou", "mask_iou", "auroc", "average_precision")
    numbers = {name: {f"m{i}": RNG.uniform(size=500).tolist() for i in range(40)} for name in names}
    result = run_of(tmp_path, numbers)
    assert len([s for s in result.table() if s.n]) == 40 * len(numbers)
    n_parts = len(list(resamples(500)))
    assert calls == {"resamples": 1, "resampled_means": n_parts}


def test_a_method_at_several_layers(tmp_path: Path) -> None:
    data = ToyboxDataset(Toybox(5))
    result = evaluate(
        "toybox", data, methods=["cam", "grad_cam", "gradient"], layer=["layer3", "layer4"], out=tmp_path / "a"
    )
    assert result.methods == ("cam @ layer3", "cam @ layer4", "grad_cam @ layer3", "grad_cam @ layer4", "gradient")
    assert result.column("energy", "cam @ layer3").values.size == 0, "CAM supports the last layer only"
    assert {m for _, m, _ in result.failures} == {"cam @ layer3"}
    alone = evaluate("toybox", data, methods=["grad_cam @ layer3"], out=tmp_path / "b")
    both = [run.column("energy", "grad_cam @ layer3").values for run in (result, alone)]
    assert_allclose(*both)
    assert not np.allclose(both[0], result.column("energy", "grad_cam @ layer4").values)


def test_errors_about_layers_and_pairs() -> None:
    data = ToyboxDataset(Toybox(2))
    with pytest.raises(LayerError, match="may match several layers"):
        evaluate("toybox", data, layer="layer?")
    with pytest.raises(MethodError, match="takes no layer"):
        evaluate("toybox", data, methods=["gradient @ layer3"])
    with pytest.raises(MethodError, match="compared names 'cam', which is not among the methods"):
        evaluate("toybox", data, compared=[("cam", "grad_cam")])


def test_cam_and_grad_cam_have_equal_maps_and_no_winner(tmp_path: Path) -> None:
    study = recipe("cam-vs-gradcam", load("toybox"))
    data = ToyboxDataset(Toybox(8, seed=2))
    result = evaluate(
        "toybox", data, methods=study.methods[:3], metrics=study.metrics, compared=study.compared_pairs, out=tmp_path
    )
    (similarity,) = result.map_similarities
    assert len(similarity.differences) == 8
    assert similarity.same_map
    assert similarity.differences.max() < 1e-5
    assert similarity.correlations.min() > 0.999
    energy = result.compare("energy", "cam", "grad_cam")
    assert 0 < abs(energy.difference.value) < 1e-3, "ReLU before or after upsampling"
    assert energy.p < 0.05
    assert all(c.same_map and c.winner == "" for c in result.comparisons(methods=["cam", "grad_cam"]))
    assert result.compare("energy", "cam", study.methods[2]).same_map is False
    assert json.loads((tmp_path / "run.json").read_text())["plan"]["compared"] == [["cam", "grad_cam"]]


def test_differing_maps_are_reported(tmp_path: Path) -> None:
    result = evaluate(
        "toybox",
        ToyboxDataset(Toybox(4)),
        methods=["grad_cam", "gradient"],
        compared=[("grad_cam", "gradient")],
        out=tmp_path,
    )
    (similarity,) = result.map_similarities
    assert not similarity.same_map
    assert similarity.correlations.max() < 0.9


def test_recipes() -> None:
    model = load("toybox:vgg")
    assert last_convolutions(model, 3) == ["features.8", "features.12", "features.15"]
    assert recipe("cam-vs-gradcam", model).methods[:2] == ("cam", "grad_cam")
    with pytest.raises(DataError, match="Did you mean 'cam-vs-gradcam'"):
        recipe("cam-vs-grad", model)
