"""Slices: the counts equal a loop, chance finds nothing, and a planted slice comes first."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import fisher_exact, hypergeom, mannwhitneyu

from camlucida.audits.findings.attributes import Attribute, attributes, by_category, by_number, by_value
from camlucida.audits.findings.slice_tests import MIN_IMAGES
from camlucida.audits.findings.slices import Slices, find_slices, slices_of
from camlucida.audits.run import audit
from camlucida.data.datasets import Item, ListDataset, ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.models.load import load


def columns(rng: np.random.Generator, n: int) -> list[Attribute]:
    labels = rng.integers(0, 6, n)
    site = np.array(list("ABC"), dtype=object)[rng.integers(0, 3, n)]
    found = [
        by_category("label", np.array([f"class {i}" for i in labels], dtype=object)),
        by_category("metadata.site", site),
        by_number("brightness", rng.random(n)),
        by_number("box_area", rng.normal(labels, 1.0)),  # depends on the class
    ]
    return [column for column in found if column is not None]


def run(rng: np.random.Generator, accuracy: NDArray[np.float64], chosen: list[Attribute]) -> Slices:
    n = len(accuracy)
    return slices_of(chosen, (rng.random(n) < accuracy).astype(float), rng.random((n, 1)), ["entropy"])


def test_chance_has_few_false_discoveries() -> None:
    n_accuracy = n_statistics = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        result = run(rng, np.full(400, 0.8), columns(rng, 400))
        n_accuracy += any(found.differs for found in result.slices)
        n_statistics += any(each.differs for found in result.slices for each in found.statistics.values())
    assert n_accuracy <= 2  # at most 5 %
    assert n_statistics <= 6  # 5 % of 40 is 2; 7 or more has probability 0.3 %


def test_a_planted_slice_is_first() -> None:
    first = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        chosen = columns(rng, 400)
        result = run(rng, np.where(chosen[1].groups == 1, 0.55, 0.9), chosen)
        first.append(result.slices[0].name == "metadata.site = B" and result.slices[0].is_worse)
    assert sum(first) >= 19


def test_a_planted_pair_is_found() -> None:
    ranks = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        chosen = columns(rng, 1200)
        planted = (chosen[0].groups == 2) & (chosen[1].groups == 1)
        result = run(rng, np.where(planted, 0.2, 0.9), chosen)
        names = [found.name for found in result.slices]
        ranks.append(names.index("label = class 2 and metadata.site = B"))
        assert result.slices[ranks[-1]].is_worse
    assert np.mean(np.array(ranks) == 0) >= 0.8
    assert max(ranks) <= 3


def test_one_bad_column_makes_no_pair() -> None:
    rng = np.random.default_rng(3)
    chosen = columns(rng, 2000)
    result = run(rng, np.where(chosen[1].groups == 1, 0.5, 0.9), chosen)
    assert [found.column for found in result.worse] == ["metadata.site"]


def test_counts_and_p_values_equal_a_loop() -> None:
    rng = np.random.default_rng(4)
    chosen = columns(rng, 300)
    correct = (rng.random(300) < 0.7).astype(float)
    correct[::10] = np.nan
    entropy = rng.random((300, 1))
    result = slices_of(chosen, correct, entropy, ["entropy"])
    site = next(found for found in result.slices if found.name == "metadata.site = A")
    known, inside = ~np.isnan(correct), chosen[1].groups == 0
    a, b = correct[known & inside], correct[known & ~inside]
    assert (site.n, site.accuracy, site.rest_accuracy) == (len(a), a.mean(), pytest.approx(b.mean()))
    hits, total = int(a.sum()), int(a.sum() + b.sum())
    tails = hypergeom(len(a) + len(b), total, len(a))
    assert site.p == pytest.approx(min(1, 2 * min(tails.cdf(hits), tails.sf(hits - 1))))
    table = [[hits, len(a) - hits], [total - hits, len(b) - total + hits]]
    assert site.p == pytest.approx(2 * min(fisher_exact(table, side).pvalue for side in ("less", "greater")))
    statistic = site.statistics["entropy"]
    assert statistic.value == pytest.approx(entropy[inside].mean())
    assert statistic.rest == pytest.approx(entropy[~inside].mean())
    assert [correct[row] for row in site.rows] == sorted(a)
    assert set(site.rows) == set(np.flatnonzero(known & inside))
    both = next(found for found in result.slices if found.column == "label and metadata.site")
    one, other = (condition["value"] for condition in both.conditions)
    label, where = chosen[0].names.index(f"label = {one}"), chosen[1].names.index(f"metadata.site = {other}")
    inside = (chosen[0].groups == label) & (chosen[1].groups == where)
    p = []
    for reference in (np.ones(300, dtype=bool), chosen[0].groups == label, chosen[1].groups == where):
        a, b = correct[known & inside], correct[known & reference & ~inside]
        tails = hypergeom(len(a) + len(b), int(a.sum() + b.sum()), len(a))
        p.append(min(1, 2 * min(tails.cdf(a.sum()), tails.sf(a.sum() - 1))))
    assert both.p == pytest.approx(max(p))


def test_a_statistic_that_differs_is_found() -> None:
    rng = np.random.default_rng(5)
    chosen = columns(rng, 400)
    values = rng.random(400) + 0.3 * (chosen[1].groups == 2)
    result = slices_of(chosen[1:2], (rng.random(400) < 0.8).astype(float), values[:, None], ["energy_in_box"])
    by_name = {found.name: found.statistics["energy_in_box"] for found in result.slices}
    assert by_name["metadata.site = C"].differs
    inside = chosen[1].groups == 2
    p = mannwhitneyu(values[inside], values[~inside], method="asymptotic").pvalue
    assert by_name["metadata.site = C"].p_corrected == pytest.approx(3 * p)  # the smallest of three


def test_small_groups_are_no_slices() -> None:
    column = by_category("metadata.site", np.array(["A"] * 200 + ["B"] * (MIN_IMAGES - 1), dtype=object))
    assert column is not None
    result = slices_of([column], np.ones(len(column.groups)), np.zeros((len(column.groups), 0)), [])
    assert result.slices == ()


def test_bins_are_quantiles_and_recorded() -> None:
    values = np.array([*np.arange(99.0), np.nan])
    column = by_number("brightness", values)
    assert column is not None
    assert column.settings["edges"] == [0, 24.5, 49, 73.5, 98]
    assert column.names[0] == "brightness in [0, 24.5]"
    assert column.names[3] == "brightness in (73.5, 98]"
    assert list(np.bincount(column.groups[:-1])) == [25, 25, 24, 25]
    assert column.groups[-1] == -1
    for value, group in zip(values[:-1], column.groups[:-1], strict=True):
        low, high = column.conditions[group]["low"], column.conditions[group]["high"]
        assert low < value <= high or (group == 0 and value == low)


def test_metadata_columns_are_numbers_or_categories() -> None:
    numbers = by_value("metadata.age", np.array([str(i) for i in range(50)], dtype=object))
    categories = by_value("metadata.site", np.array(["3", "x", None, "3"], dtype=object))
    flags = by_value("metadata.night", np.array([True, False, None], dtype=object))
    assert numbers is not None
    assert len(numbers.names) == 4
    assert categories is not None
    assert list(categories.groups) == [0, 1, -1, 0]
    assert flags is not None
    assert flags.names == ("metadata.night = False", "metadata.night = True")
    assert by_value("metadata.empty", np.array([None, None], dtype=object)) is None


def test_an_audit_has_slices_by_every_attribute(tmp_path: Path) -> None:
    """Images of site B are noise, which no network can classify."""
    scenes, rng = ToyboxDataset(Toybox(60)), np.random.default_rng(0)
    items = []
    for i in range(60):
        item, site = scenes[i], "B" if i % 2 else "A"
        image = Image.fromarray(rng.integers(0, 255, (96, 64, 3), dtype=np.uint8)) if i % 2 else item.image
        mask = None if i % 2 else item.mask
        items.append(Item(image, str(i), item.label, item.boxes, mask, metadata={"site": site, "age": i}))
    result = audit(load("toybox"), ListDataset("sites", items, scenes.classes), tmp_path)
    names = {attribute.column for attribute in attributes(result)}
    assert {"label", "box_area", "object_x", "object_y", "image_area", "aspect", "brightness"} <= names
    assert {"metadata.site", "metadata.age"} <= names
    found = find_slices(result)
    assert found.slices[0].name in {"metadata.site = B", "aspect = 0.6667", "image_area = 6144"}
    sites = next(each for each in found.slices if each.name == "metadata.site = B")
    assert sites.is_worse
    assert all(row % 2 for row in sites.rows)
    stored = json.loads(json.dumps(found.record(), allow_nan=False))
    assert Slices.from_record(stored).record() == stored


def test_clusters_are_named_by_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camlucida.audits.findings.attributes.IMAGES_PER_CLUSTER", 8)
    result = audit(load("toybox"), ToyboxDataset(Toybox(24)), tmp_path)
    (clusters,) = [attribute for attribute in attributes(result) if attribute.column == "cluster"]
    assert len(clusters.names) == 3
    for group, medoid in enumerate(clusters.settings["medoids"]):
        assert clusters.groups[medoid] == group
        assert clusters.names[group] == f"like {result.rows[medoid]['image']}"


def test_without_labels_there_is_a_sentence(tmp_path: Path) -> None:
    data = ListDataset("plain", [Item(ToyboxDataset(Toybox(3))[i].image, str(i)) for i in range(3)])
    result = find_slices(audit(load("toybox"), data, tmp_path))
    assert result.slices == ()
    assert "no accuracy is known" in result.sentences()[0]
    json.dumps(result.record(), allow_nan=False)
