"""Intervals and tests where an image has several targets: images are resampled with all their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from camlucida.evaluation import Evaluation
from camlucida.evaluation.bootstrap import Bootstrap
from camlucida.evaluation.records import MetricColumn, map_index
from camlucida.evaluation.statistics import bootstrap_p, resampled_means, resamples
from camlucida.evaluation.store import TARGET_COLUMNS, Store
from camlucida.metrics import find

RNG = np.random.default_rng(0)
Values = Sequence[Sequence[float]]
"""The values of each target of each image."""


def run_of(out: Path, numbers: Mapping[str, Mapping[str, Values]], *, curve: int = 0) -> Evaluation:
    """Return a finished run with given numbers: metric -> method -> values by image and target."""
    methods = list(dict.fromkeys(m for of in numbers.values() for m in of))
    store = Store(out, TARGET_COLUMNS)
    plan = {"model": "none", "n_images": 9, "compared": [], "seed": 0, "target": "all"}
    plan["methods"] = [{"name": m, "method": m, "options": {}, "layer": None} for m in methods]
    store.begin(plan | {"metrics": {name: {} for name in numbers}})
    rows: list[dict[str, Any]] = []
    for metric, of in numbers.items():
        for method, images in of.items():
            for i, values in enumerate(images):
                for number, value in enumerate(values):
                    base = {"index": i, "image": str(i), "target_number": number, "target": f"box {number}"}
                    base |= {"label": "ab"[number % 2], "predicted": "a", "method": method, "metric": metric}
                    base |= {"curve": [value] * curve} if curve else {}
                    rows.append(base | {"preset": metric, "value": value, "valid": value == value})
    store.write(0, rows)
    return Evaluation(out)


def images_with(n: int, sizes: Sequence[int], rng: np.random.Generator = RNG) -> list[list[float]]:
    return [rng.beta(2, 3, size=sizes[i % len(sizes)]).tolist() for i in range(n)]


def test_equal_values_of_one_image_count_once(tmp_path: Path) -> None:
    """The interval is that of one value per image, and not narrower by the square root of five."""
    once = [[value] for value in RNG.beta(2, 3, size=40)]
    five = [image * 5 for image in once]
    first = run_of(tmp_path / "once", {"energy": {"a": once}}).summary("energy", "a")
    second = run_of(tmp_path / "five", {"energy": {"a": five}}).summary("energy", "a")
    assert_allclose([second.value, second.low, second.high], [first.value, first.low, first.high], rtol=1e-12)
    assert (first.n, second.n, first.n_images, second.n_images) == (40, 200, 40, 40)


def test_resamples_of_images_against_a_loop(tmp_path: Path) -> None:
    images = images_with(12, (1, 3, 5))
    result = run_of(tmp_path, {"energy": {"a": images}})
    drawn = result.bootstrap_values("energy", "a", draws=50)
    for counts, value in zip(np.concatenate(list(resamples(12, 50))), drawn, strict=True):
        resampled = [v for count, values in zip(counts, images, strict=True) for v in values * int(count)]
        assert value == pytest.approx(np.mean(resampled))
    column = result.column("energy", "a")
    assert_allclose(
        Bootstrap({("energy", "a"): column}, result.values).column_values(column, result.values["energy"], 50, 0), drawn
    )


def test_means_over_classes_and_pooled_values_against_a_loop(tmp_path: Path) -> None:
    hits = [(RNG.random(size) < 0.5).astype(float).tolist() for size in (1, 3, 5, 2) * 3]
    assert find("pointing").metric.outputs["pointing"].mean == "classes"
    drawn = run_of(tmp_path / "a", {"pointing": {"a": hits}}).bootstrap_values("pointing", "a", draws=40)
    for counts, value in zip(np.concatenate(list(resamples(12, 40))), drawn, strict=True):
        by_class: dict[str, list[float]] = {}
        for count, values in zip(counts, hits, strict=True):
            for number, hit in enumerate(values):
                by_class.setdefault("ab"[number % 2], []).extend([hit] * int(count))
        means = [np.mean(of) for of in by_class.values() if of]
        assert value == pytest.approx(np.mean(means))


def test_comparisons_do_not_take_boxes_of_one_image_for_independent(tmp_path: Path) -> None:
    """Differences that are equal within an image: the test sees eight differences, not eighty."""
    once = [[value] for value in RNG.normal(0.1, 0.12, size=8)]
    ten = [image * 10 for image in once]
    zeros = [[0.0] * 10] * 8
    result = run_of(tmp_path, {"energy": {"a": ten, "b": zeros}})
    compared = result.compare("energy", "a", "b")
    assert compared.test == "bootstrap"
    means = np.array([values[0] for values in once])
    expected = bootstrap_p(means.mean(), np.concatenate([d @ means / 8 for d in resamples(8)]))
    assert compared.p == pytest.approx(expected)
    assert compared.n == 80
    single = run_of(tmp_path / "one", {"energy": {"a": once, "b": [[0.0]] * 8}}).compare("energy", "a", "b")
    assert single.test == "Wilcoxon"
    assert_allclose(
        [compared.difference.low, compared.difference.high], [single.difference.low, single.difference.high]
    )


def test_three_images_have_no_interval_however_many_targets(tmp_path: Path) -> None:
    result = run_of(tmp_path, {"energy": {"a": images_with(3, (20,)), "b": images_with(3, (20,))}})
    assert np.isnan(result.summary("energy", "a").low)
    assert np.isnan(result.compare("energy", "a", "b").difference.low)


def test_agreement_has_a_row_per_target(tmp_path: Path) -> None:
    numbers = {metric: {m: images_with(6, (1, 4)) for m in "abc"} for metric in ("energy", "insertion")}
    agreement = run_of(tmp_path, numbers).agreement()
    first, second = (
        np.array([[v for image in numbers[metric][m] for v in image] for m in "abc"]) for metric in numbers
    )
    import scipy.stats

    taus = [scipy.stats.kendalltau(first[:, i], second[:, i]).statistic for i in range(first.shape[1])]
    assert agreement.per_image[0, 1] == pytest.approx(np.mean(taus))


def test_coverage_of_the_interval_in_a_simulation() -> None:
    """Twenty images of six boxes whose values share 80 % of their variance: the interval covers the mean, 0."""
    output = find("energy").metric.outputs["energy"]
    index = np.array([map_index(i, k) for i in range(20) for k in range(6)])
    covered, covered_by_maps = 0, 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        values = np.repeat(rng.normal(0, 0.8**0.5, 20), 6) + rng.normal(0, 0.2**0.5, 120)
        column = MetricColumn(index, values, np.ones(120, dtype=bool), np.full(120, ""), None, several=True)
        drawn = Bootstrap({("energy", "a"): column}, {"energy": output}).values("energy", "a", 400, seed)
        low, high = np.quantile(drawn, [0.025, 0.975])
        covered += low < 0 < high
        maps = np.concatenate([resampled_means(d, values[:, None])[:, 0] for d in resamples(120, 400, seed)])
        low, high = np.quantile(maps, [0.025, 0.975])
        covered_by_maps += low < 0 < high
    assert covered / 150 > 0.88, "0.95 minus what the percentile interval of 20 values lacks, and chance"
    assert covered_by_maps / 150 < 0.75, "what taking maps for independent would give"
