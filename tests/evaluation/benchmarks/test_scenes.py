"""P1, P2, P5, P10, P12: rendered scenes and mosaics with known ground truth."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch
from torch.testing import assert_close

import camlucida as cl
from camlucida.data.datasets import ListDataset, ToyboxDataset
from camlucida.data.toybox import CLASSES, WATERMARK_CLASS, Toybox
from camlucida.errors import DataError
from camlucida.evaluation.benchmarks import mosaics, open_benchmark, scenes_of_size, stamped_scenes, tagged_scenes
from camlucida.evaluation.model_input import prepare_input
from camlucida.metrics import class_discrimination, part_effect

MODEL = cl.load("toybox")


def test_sizes_do_not_overlap() -> None:
    areas = {
        size: [data[i].mask().mean() for i in range(len(data))]
        for size in ("small", "medium", "large")
        for data in [scenes_of_size(size, 30)]
    }  # type: ignore[arg-type]
    means = [float(np.mean(areas[size])) for size in ("small", "medium", "large")]
    assert means[0] < means[1] < means[2]
    sizes = [
        [data.toybox.scene(i).objects[0].size for i in data.indices] for data in map(scenes_of_size, areas, [30] * 3)
    ]  # type: ignore[arg-type]
    assert max(sizes[0]) <= min(sizes[1])
    assert max(sizes[1]) <= min(sizes[2])


def test_every_image_has_a_removable_stamp() -> None:
    for dependent in (True, False):
        data = stamped_scenes(12, dependent=dependent)
        assert len(data) == 12
        for i in range(12):
            item = data[i]
            assert item.render_without is not None
            mark = item.mask()
            clean = np.asarray(item.render_without("watermark")).astype(int)
            changed = (np.asarray(item.image).astype(int) != clean).any(-1)
            assert changed[mark].mean() > 0.5
            assert not (changed & ~_wider(mark)).any()
        labels = {data[i].label for i in range(12)}
        assert labels == {CLASSES.index(WATERMARK_CLASS)} if dependent else len(labels) > 3


def _wider(mask: np.ndarray) -> np.ndarray:
    """Return the mask dilated by one pixel: a mask has the pixels that are covered at least half."""
    padded = np.pad(mask, 1)
    height, width = mask.shape
    return np.logical_or.reduce([padded[y : y + height, x : x + width] for y in range(3) for x in range(3)])


def test_only_the_clever_hans_network_uses_the_stamp() -> None:
    drops = {}
    for name in ("toybox", "toybox:cleverhans"):
        model = cl.load(name)
        data = stamped_scenes(16)
        model_inputs = [prepare_input(model, data[i], data[i].label, target="true") for i in range(16)]
        drops[name] = float(
            np.mean([float(s.part_score_drops[0]) for s in model_inputs if s.part_score_drops is not None])
        )
    assert drops["toybox:cleverhans"] > 5 * abs(drops["toybox"])


def test_the_tag_is_on_a_fifth_of_one_class_and_on_no_other() -> None:
    data = tagged_scenes(300)
    with_tag = {i for i in range(300) if "tag" in data[i].parts()}
    boats = [i for i in range(300) if data[i].label == CLASSES.index(WATERMARK_CLASS)]
    assert with_tag <= set(boats)
    assert 0.05 < len(with_tag) / len(boats) < 0.45


def test_part_score_drops_equal_rerendered_scores() -> None:
    data = ToyboxDataset(Toybox(4, seed=1))
    for i in range(4):
        model_input = prepare_input(MODEL, data[i], data[i].label, target="true")
        assert model_input.parts is not None
        assert model_input.part_score_drops is not None
        scene = data.scenes.scene(i)
        for part, effect in zip(model_input.parts, model_input.part_score_drops, strict=True):
            x, _ = MODEL.preprocessing(scene.without_part(0, part).picture())
            with torch.no_grad():
                score = MODEL.network(x[None])[0, model_input.target]
            assert_close(effect, model_input.logits[model_input.target] - score, rtol=1e-4, atol=1e-4)


def test_part_effect_is_scipys_spearman() -> None:
    generator = torch.Generator().manual_seed(0)
    display_map = torch.rand(20, 20, generator=generator)
    parts = {f"part {k}": torch.rand(20, 20, generator=generator) < 0.2 for k in range(6)}
    effects = torch.randn(6, generator=generator)
    sums = [
        sum(float(display_map[y, x]) for y in range(20) for x in range(20) if mask[y, x]) for mask in parts.values()
    ]
    expected = scipy.stats.spearmanr(sums, effects.numpy()).statistic
    assert part_effect(display_map, parts, effects)["part_effect"].value == pytest.approx(expected, abs=1e-9)
    one = dict(list(parts.items())[:1])
    assert np.isnan(part_effect(display_map, one, effects[:1])["part_effect"].value)
    assert np.isnan(part_effect(display_map * 0, parts, effects)["part_effect"].value)


def test_class_discrimination_counts_pixels_not_area() -> None:
    region, other = torch.zeros(2, 10, 10, dtype=torch.bool).unbind()
    region[:2, :2], other[5:] = True, True
    display_map = torch.zeros(10, 10)
    display_map[:2, :2], display_map[5:] = 3.0, 1.0
    scores = {name: score.value for name, score in class_discrimination(display_map, region, other).items()}
    assert scores == {"class_discrimination": 1.0, "class_share": pytest.approx(0.75)}
    constant = class_discrimination(torch.ones(10, 10), region, other)
    assert constant["class_discrimination"].value == 0.5
    assert np.isnan(class_discrimination(torch.zeros(10, 10), region, other)["class_share"].value)
    both = region | other
    assert np.isnan(class_discrimination(display_map, both, both)["class_share"].value)


@pytest.mark.parametrize("n", [2, 3])
def test_mosaics_are_images_of_different_classes(n: int) -> None:
    scenes = ToyboxDataset(Toybox(80, seed=4))
    mosaic_model, data = mosaics(MODEL, scenes, 2 * n**2, n=n)
    assert len({data.labels[i] for i in data.cells[0]}) == n**2
    for i in range(n**2):
        item = data[i]
        x, geometry = mosaic_model.preprocessing(item.image)
        assert x.shape == (3, n * 96, n * 96)
        assert geometry.scale == (1, 1)
        cell = [data.labels[j] for j in data.cells[0]].index(item.label)
        row, column = divmod(cell, n)
        cut = x[:, row * 96 : (row + 1) * 96, column * 96 : (column + 1) * 96]
        alone = MODEL.preprocessing(scenes[data.cells[0][cell]].image)[0]
        assert_close(cut, alone, rtol=0, atol=0)
        with torch.no_grad():
            assert float(MODEL.network(alone[None]).softmax(1)[0, item.label]) >= 0.99
        mask = item.mask()
        assert mask.sum() == 96 * 96
        assert mask[row * 96 + 5, column * 96 + 5]
        assert not (item.other_objects_mask() & mask).any()
        assert (item.other_objects_mask() | mask).all()


def test_focus_has_two_cells_of_the_class() -> None:
    _, data = open_benchmark("exact:focus", MODEL, count=6)
    for i in range(6):
        item = data[i]
        assert item.mask().mean() == 0.5
        assert len(item.boxes) == 2
        assert len(item.also_correct) == 2


def test_a_mosaic_needs_confident_classes() -> None:
    cats = ListDataset("cats", [ToyboxDataset(Toybox(6, kinds=["cat"]))[i] for i in range(6)], CLASSES)
    with pytest.raises(DataError, match="for 4 classes"):
        mosaics(MODEL, cats, 4)


def test_other_objects_and_parts_of_a_scene() -> None:
    data = ToyboxDataset(Toybox(5, seed=2, objects=2))
    for i in range(5):
        item = data[i]
        drawing = data.scenes[i].drawing
        assert item.other_objects_mask is not None
        assert np.array_equal(item.other_objects_mask(), drawing.masks[1])
    alone = ToyboxDataset(Toybox(1))[0]
    assert alone.other_objects_mask is None
