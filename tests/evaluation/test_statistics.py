"""Intervals, tests and agreement: against SciPy, statistics worked out by hand, and runs made of known numbers."""

from __future__ import annotations

import json
import time
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
from camlucida.evaluation import Evaluation, evaluate
from camlucida.evaluation.comparison import holm_corrected
from camlucida.evaluation.recipes import last_convolutions, recipe
from camlucida.evaluation.records import aggregate, aggregate_draws
from camlucida.evaluation.statistics import (
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


def made(out: Path, numbers: Mapping[str, Mapping[str, Sequence[float]]], classes: Sequence[str] = ()) -> Evaluation:
    """A finished run with these numbers: metric -> method -> value a picture; NaN is what could not be judged."""
    store = Store(out)
    methods = list(dict.fromkeys(m for of in numbers.values() for m in of))
    store.begin(
        {
            "model": "none",
            "pictures": max(len(v) for of in numbers.values() for v in of.values()),
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
                base = {"index": i, "picture": str(i), "label": label, "predicted": "a", "method": method}
                rows.append(base | {"metric": metric, "preset": metric, "value": value, "valid": value == value})
    store.write(0, rows)
    return Evaluation(out)


def test_resamples_have_n_images_and_are_reproducible() -> None:
    drawn = np.concatenate(list(resamples(30, 200, seed=3)))
    assert drawn.shape == (200, 30)
    assert (drawn.sum(1) == 30).all()
    assert_allclose(drawn, np.concatenate(list(resamples(30, 200, seed=3))))
    assert abs(drawn.var(0).mean() - (1 - 1 / 30)) < 0.05, "each is drawn as a binomial of 30 and 1/30"


def test_means_of_draws_against_loops() -> None:
    values = RNG.normal(size=(12, 3))
    values[[1, 5], [0, 2]] = np.nan
    drawn = next(iter(resamples(12, 40)))
    for row, means in zip(drawn, resampled_means(drawn, values), strict=True):
        again = np.repeat(values, row.astype(int), axis=0)
        assert_allclose(means, np.nanmean(again, axis=0))


def test_class_means_of_draws_against_loops() -> None:
    values, classes = RNG.normal(size=(12, 2)), np.array([0, 0, 1, 1, 1, 2, 2, 2, 2, 0, 1, 3])
    drawn = next(iter(resamples(12, 40)))
    for row, means in zip(drawn, resampled_class_means(drawn, values, classes), strict=True):
        which = np.repeat(np.arange(12), row.astype(int))
        by_class = [values[which[classes[which] == c]].mean(0) for c in np.unique(classes[which])]
        assert_allclose(means, np.mean(by_class, axis=0))


def test_the_interval_of_a_mean_against_scipy(tmp_path: Path) -> None:
    values = RNG.beta(2, 3, size=150)
    found = made(tmp_path, {"energy": {"a": values.tolist()}}).summary("energy", "a", draws=4000)
    theirs = scipy.stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=1).confidence_interval
    assert found.value == pytest.approx(values.mean())
    width = theirs.high - theirs.low
    assert_allclose([found.low, found.high], [theirs.low, theirs.high], atol=0.06 * width)


def test_the_interval_has_its_nominal_coverage() -> None:
    held = 0
    for seed in range(300):
        values = np.random.default_rng(seed).exponential(size=60)
        drawn = resampled_means(next(iter(resamples(60, 400, seed))), values[:, None])[:, 0]
        found = percentile_interval(values.mean(), drawn)
        held += found.low <= 1 <= found.high
    assert 0.90 <= held / 300 <= 0.97


def test_mcnemar_against_the_binomial() -> None:
    assert mcnemar_p(9, 1) == pytest.approx(2 * sum(scipy.stats.binom.pmf(k, 10, 0.5) for k in (0, 1)))
    assert mcnemar_p(0, 0) == mcnemar_p(4, 4) == 1


def test_wilcoxon_against_all_signs() -> None:
    differences = np.array([0.3, -0.1, 0.7, 0.9, 1.3, -0.2, 2.1])
    ranks = scipy.stats.rankdata(np.abs(differences))
    signs = np.array(np.meshgrid(*[[0, 1]] * 7)).reshape(7, -1)
    sums, ours = ranks @ signs, ranks[differences > 0].sum()
    assert wilcoxon_p(differences) == pytest.approx(2 * (sums >= ours).mean())
    assert wilcoxon_p(np.zeros(5)) == 1


def test_rounding_makes_no_winner() -> None:
    one = RNG.uniform(size=80)
    two = one * (1 - 3e-7)
    assert wilcoxon_p(one - two) < 1e-9, "a test by ranks sees nothing but the signs"
    assert wilcoxon_p(paired_differences(one, two)) == 1


def test_holm_by_hand() -> None:
    nan = float("nan")
    assert_allclose(holm_correction([0.01, 0.04, 0.03, nan, 0.005]), [0.03, 0.06, 0.06, nan, 0.02])
    assert holm_correction([]) == []
    assert holm_correction([0.9, 0.8]) == [1, 1]


def test_a_p_value_by_spread_is_that_of_the_normal() -> None:
    drawn = RNG.normal(0.3, 0.1, size=5000)
    assert bootstrap_p(0.3, drawn) == pytest.approx(2 * scipy.stats.norm.sf(3), rel=0.2)
    assert bootstrap_p(0, np.zeros(9)) == 1
    assert bootstrap_p(0.2, np.full(9, 0.2)) == 0
    assert np.isnan(bootstrap_p(float("nan"), drawn))


@pytest.mark.parametrize("ties", [False, True])
def test_kendall_against_scipy(ties: bool) -> None:
    numbers = RNG.integers(0, 4, size=(6, 5, 9)).astype(float) if ties else RNG.normal(size=(6, 5, 9))
    found = kendall(numbers)
    for i, a, b in np.ndindex(6, 5, 5):
        assert found[i, a, b] == pytest.approx(scipy.stats.kendalltau(numbers[i, a], numbers[i, b]).statistic)
    assert np.isnan(kendall(np.array([[1.0, 1, 1], [1, 2, 3]]))[0, 1])


def test_two_methods_are_paired_by_image(tmp_path: Path) -> None:
    hard = RNG.uniform(size=60)
    one, two = hard + 0.02 + 0.01 * RNG.normal(size=60), hard
    found = made(tmp_path, {"energy": {"one": one.tolist(), "two": two.tolist()}})
    c = found.compare("energy", "one", "two")
    assert c.test == "Wilcoxon"
    assert c.p == pytest.approx(scipy.stats.wilcoxon(one, two).pvalue)
    assert c.difference.value == pytest.approx((one - two).mean())
    assert c.difference.high - c.difference.low < 0.01, "paired: what makes pictures hard is not in it"
    assert c.winner == "one"
    assert c.wins == (one > two).mean()
    assert c.wins + c.losses == 1
    back = found.compare("energy", "two", "one")
    assert (back.winner, back.wins) == ("one", c.losses)
    assert_allclose([-back.difference.high, -back.difference.low], [c.difference.low, c.difference.high])


def test_hits_are_compared_by_mcnemar(tmp_path: Path) -> None:
    one, two = np.ones(40), np.ones(40)
    one[:3], two[2:14] = 0, 0
    found = made(tmp_path, {"energy": {"one": one.tolist(), "two": two.tolist()}})
    c = found.compare("energy", "one", "two")
    assert (c.test, c.p) == ("McNemar", pytest.approx(mcnemar_p(11, 2)))
    assert (c.wins, c.losses) == (11 / 40, 2 / 40)


def test_less_is_better_where_the_metric_says_so(tmp_path: Path) -> None:
    two = RNG.uniform(0.4, 0.9, size=50)
    found = made(tmp_path, {"average_drop": {"one": (two - 0.3).tolist(), "two": two.tolist()}})
    c = found.compare("average_drop", "one", "two")
    assert (c.winner, c.wins, c.losses) == ("one", 1, 0)
    assert c.difference.value == pytest.approx(-0.3)


def test_what_cannot_be_judged_is_worst_for_both_and_counted(tmp_path: Path) -> None:
    values = RNG.uniform(0.2, 0.8, size=20)
    broken = values.copy()
    broken[:6] = np.nan
    found = made(tmp_path, {"energy": {"one": values.tolist(), "two": broken.tolist()}})
    c = found.compare("energy", "one", "two")
    assert (c.n, c.invalid) == (20, (0, 6))
    assert c.difference.value == pytest.approx(values[:6].sum() / 20)
    assert found.summary("energy", "two").value == pytest.approx(values[6:].sum() / 20)


def test_a_mean_over_classes_and_its_interval(tmp_path: Path) -> None:
    hits = RNG.integers(0, 2, size=50).astype(float)
    classes = ["rare" if i < 5 else "common" for i in range(50)]
    summary = made(tmp_path, {"pointing": {"a": hits.tolist()}}, classes).summary("pointing", "a")
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


def test_only_images_that_both_have(tmp_path: Path) -> None:
    one, two = RNG.uniform(size=30), RNG.uniform(size=22)
    found = made(tmp_path, {"energy": {"one": one.tolist(), "two": two.tolist()}})
    c = found.compare("energy", "one", "two")
    assert c.n == 22
    assert c.difference.value == pytest.approx((one[:22] - two).mean())
    assert c.difference.low < c.difference.value < c.difference.high


def test_many_comparisons_are_corrected_together(tmp_path: Path) -> None:
    numbers = {f"m{i}": RNG.uniform(size=40).tolist() for i in range(5)}
    found = made(tmp_path, {"energy": numbers, "relevance_rank": numbers})
    every = found.comparisons()
    assert len(every) == 2 * 10
    assert_allclose([c.corrected for c in every], holm_correction([c.p for c in every]))
    assert [c.corrected for c in holm_corrected(every[:1])] == [every[0].p]


def test_no_difference_is_not_significant(tmp_path: Path) -> None:
    won = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        numbers = {f"m{i}": rng.uniform(size=25).tolist() for i in range(4)}
        found = made(tmp_path / str(seed), {"energy": numbers})
        won += any(c.winner for c in found.comparisons(draws=100))
    assert won <= 5


def test_metrics_that_agree_and_that_do_not(tmp_path: Path) -> None:
    level = np.linspace(0.1, 0.8, 6)[:, None] + 0.01 * RNG.normal(size=(6, 40))
    names = [f"m{i}" for i in range(6)]
    found = made(
        tmp_path,
        {
            "energy": dict(zip(names, level.tolist(), strict=True)),
            "average_drop": dict(zip(names, (1 - level).tolist(), strict=True)),
            "relevance_rank": dict(zip(names, (1 - level).tolist(), strict=True)),
        },
    )
    a = found.agreement()
    assert a.metrics[0] == "energy"
    at = {name: i for i, name in enumerate(a.metrics)}
    assert a.tau[0, at["average_drop"]] == 1, "less is better: turned round"
    assert a.tau[0, at["relevance_rank"]] == -1
    assert a.low[0, at["relevance_rank"]] == -1 == a.high[0, at["relevance_rank"]]
    each = [scipy.stats.kendalltau(level[:, i], -level[:, i]).statistic for i in range(40)]
    assert a.per_image[0, at["relevance_rank"]] == pytest.approx(np.mean(each))


def test_pooled_numbers_are_drawn_again_as_they_are_defined(tmp_path: Path) -> None:
    found = evaluate(
        "toybox",
        ToyboxDataset(Toybox(9, seed=5)),
        methods=["grad_cam"],
        metrics=["max_box_acc_v2", "pxap"],
        out=tmp_path,
    )
    drawn = next(iter(resamples(9, 25)))
    for metric in ("max_box_acc_v2", "pxap"):
        cells, meaning = found.column(metric, "grad_cam"), found.values[metric]
        assert cells.curves is not None
        assert meaning.pool is not None
        curves = torch.from_numpy(cells.curves)
        slow = [meaning.pool(curves.repeat_interleave(torch.from_numpy(row).long(), 0)) for row in drawn]
        assert_allclose(aggregate_draws(cells, meaning, drawn), slow, rtol=1e-9)
        assert aggregate(cells, meaning) == pytest.approx(meaning.pool(curves))


def test_hundreds_of_cells_in_seconds(tmp_path: Path) -> None:
    names = ("energy", "relevance_rank", "box_iou", "mask_iou", "auroc", "average_precision")
    numbers = {name: {f"m{i}": RNG.uniform(size=500).tolist() for i in range(40)} for name in names}
    found = made(tmp_path, numbers)
    begun = time.perf_counter()
    assert len([s for s in found.table() if s.n]) == 40 * len(numbers)
    assert time.perf_counter() - begun < 10


def test_a_method_at_several_layers(tmp_path: Path) -> None:
    data = ToyboxDataset(Toybox(5))
    found = evaluate(
        "toybox", data, methods=["cam", "grad_cam", "gradient"], layer=["layer3", "layer4"], out=tmp_path / "a"
    )
    assert found.methods == ("cam @ layer3", "cam @ layer4", "grad_cam @ layer3", "grad_cam @ layer4", "gradient")
    assert found.column("energy", "cam @ layer3").values.size == 0, "CAM has the last layer only"
    assert {m for _, m, _ in found.failures} == {"cam @ layer3"}
    alone = evaluate("toybox", data, methods=["grad_cam @ layer3"], out=tmp_path / "b")
    both = [run.column("energy", "grad_cam @ layer3").values for run in (found, alone)]
    assert_allclose(*both)
    assert not np.allclose(both[0], found.column("energy", "grad_cam @ layer4").values)


def test_errors_about_layers_and_pairs() -> None:
    data = ToyboxDataset(Toybox(2))
    with pytest.raises(LayerError, match="may be several layers"):
        evaluate("toybox", data, layer="layer?")
    with pytest.raises(MethodError, match="takes no layer"):
        evaluate("toybox", data, methods=["gradient @ layer3"])
    with pytest.raises(MethodError, match="'cam' is to be compared, but not among the methods"):
        evaluate("toybox", data, compared=[("cam", "grad_cam")])


def test_cam_and_grad_cam_are_one_map_and_no_one_wins(tmp_path: Path) -> None:
    study = recipe("cam-vs-gradcam", load("toybox"))
    data = ToyboxDataset(Toybox(8, seed=2))
    found = evaluate(
        "toybox", data, methods=study.methods[:3], metrics=study.metrics, compared=study.compared_pairs, out=tmp_path
    )
    (alike,) = found.map_similarities
    assert len(alike.differences) == 8
    assert alike.same_map
    assert alike.differences.max() < 1e-5
    assert alike.correlations.min() > 0.999
    energy = found.compare("energy", "cam", "grad_cam")
    assert 0 < abs(energy.difference.value) < 1e-3, "ReLU before or after the map is enlarged"
    assert energy.p < 0.05
    assert all(c.same_map and c.winner == "" for c in found.comparisons(methods=["cam", "grad_cam"]))
    assert found.compare("energy", "cam", study.methods[2]).same_map is False
    assert json.loads((tmp_path / "run.json").read_text())["plan"]["compared"] == [["cam", "grad_cam"]]


def test_differing_maps_are_reported(tmp_path: Path) -> None:
    found = evaluate(
        "toybox",
        ToyboxDataset(Toybox(4)),
        methods=["grad_cam", "gradient"],
        compared=[("grad_cam", "gradient")],
        out=tmp_path,
    )
    (alike,) = found.map_similarities
    assert not alike.same_map
    assert alike.correlations.max() < 0.9


def test_recipes() -> None:
    model = load("toybox:vgg")
    assert last_convolutions(model, 3) == ["features.8", "features.12", "features.15"]
    assert recipe("cam-vs-gradcam", model).methods[:2] == ("cam", "grad_cam")
    with pytest.raises(DataError, match="Did you mean 'cam-vs-gradcam'"):
        recipe("cam-vs-grad", model)
