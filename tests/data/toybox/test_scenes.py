"""Are the scenes what they say: repeatable, exact in their masks, and the same but for what was left out?"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from camlucida.data import toybox
from camlucida.errors import DataError

SEEDS = range(12)


@lru_cache(maxsize=64)
def drawn(scene: toybox.Scene) -> toybox.Drawing:
    """Each scene once: a test looks at the same one several times, and that drawing repeats is a test of its own."""
    return scene.draw()


def pixels(scene: toybox.Scene) -> np.ndarray:
    return np.asarray(drawn(scene).image)


def dilated(mask: np.ndarray) -> np.ndarray:
    """The mask and its neighbours: a pixel of which an object covers a quarter is tinted, but not its own."""
    padded = np.pad(mask, 1)
    h, w = mask.shape
    return np.any([padded[i : i + h, j : j + w] for i in range(3) for j in range(3)], axis=0)


def changed(one: toybox.Scene, other: toybox.Scene) -> np.ndarray:
    return (pixels(one) != pixels(other)).any(axis=2)


@pytest.mark.parametrize("variant", ["clean", "watermark", "watermark_control", "tag", "empty"])
def test_same_seed_gives_same_bytes_and_another_seed_another_image(variant: toybox.Variant) -> None:
    def image(seed: int) -> bytes:
        return toybox.scene(seed, objects=2, variant=variant).draw().image.tobytes()

    assert image(3) == image(3)
    assert len({image(seed) for seed in SEEDS}) == len(SEEDS)


def test_seeds_of_several_numbers_are_all_different() -> None:
    seeds: list[tuple[int, ...]] = [(0,), (0, 0), (1,), (1, 0), (0, 1), (1, 1)]
    assert len({toybox.scene(seed) for seed in seeds}) == len(seeds)
    assert toybox.scene(1) == toybox.scene((1,))


def test_the_global_generator_is_neither_read_nor_moved() -> None:
    np.random.seed(0)  # noqa: NPY002 (the global one is what this is about)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = toybox.scene(5).draw().image.tobytes()
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    assert toybox.scene(5).draw().image.tobytes() == first


def test_image_is_the_same_as_drawing() -> None:
    scene = toybox.scene(8, objects=2, variant="watermark_control")
    assert scene.picture().tobytes() == scene.draw().image.tobytes()


@pytest.mark.parametrize("kind", toybox.CLASSES)
def test_each_kind_has_a_mask_a_tight_box_and_visible_parts(kind: str) -> None:
    for seed in SEEDS:
        scene = toybox.scene(seed, [kind])
        drawing = drawn(scene)
        assert drawing.masks.shape == (1, 96, 96)
        assert drawing.masks.dtype == np.bool_
        assert scene.labels == (toybox.CLASSES.index(kind),)
        rows, columns = np.nonzero(drawing.masks[0])
        assert drawing.boxes == ((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1),)
        parts = drawing.parts[0]
        assert tuple(parts) == toybox.KINDS[kind].part_names
        for name, part in parts.items():
            assert not (part & ~drawing.masks[0]).any(), name
        union = np.any(list(parts.values()), axis=0)
        assert union.sum() > 0.9 * drawing.masks[0].sum()


@pytest.mark.parametrize("kind", toybox.CLASSES)
def test_mask_covers_pixels_with_at_least_half_of_the_object(kind: str) -> None:
    scene = toybox.scene(5, [kind])
    mask = drawn(scene).masks[0]
    other = replace(scene, background=scene.background + 1)
    bare = pixels(scene.without(0)).astype(float) - pixels(other.without(0))
    shown = pixels(scene).astype(float) - pixels(other)
    channel = np.abs(bare).argmax(axis=2)[:, :, None]
    bare, shown = (np.take_along_axis(x, channel, axis=2)[:, :, 0] for x in (bare, shown))
    clear = np.abs(bare) > 20  # where the two backgrounds differ, what is left of their difference shows through
    through = shown[clear] / bare[clear]
    np.testing.assert_array_equal(through < 0.6, mask[clear])  # 0, a quarter, half, ... shines through
    assert clear.mean() > 0.3


@pytest.mark.parametrize("kind", toybox.CLASSES)
def test_every_part_of_every_kind_can_be_seen(kind: str) -> None:
    parts = toybox.scene(1, [kind], size=192).draw().parts[0]
    assert all(part.any() for part in parts.values())


@pytest.mark.parametrize("objects", [1, 2, 3])
def test_leaving_an_object_out_changes_its_pixels_and_no_other(objects: int) -> None:
    for seed in SEEDS:
        scene = toybox.scene(seed, objects=objects)
        drawing = drawn(scene)
        for index in range(objects):
            difference = changed(scene, scene.without(index))
            mask = drawing.masks[index]
            assert not (difference & ~dilated(mask)).any()
            assert difference[mask].mean() > 0.97  # a pixel of the object may match the background by chance
            assert scene.without(index).objects == scene.objects[:index] + scene.objects[index + 1 :]


@pytest.mark.parametrize("kind", toybox.CLASSES)
def test_leaving_a_part_out_changes_its_pixels_and_no_other(kind: str) -> None:
    for seed in SEEDS:
        scene = toybox.scene(seed, [kind], size=192)
        drawing = drawn(scene)
        for name, part in drawing.parts[0].items():
            without = scene.without_part(0, name)
            difference = changed(scene, without)
            # a pixel that is not the part's has at most one of its four samples in it: a quarter of the range
            change = np.abs(pixels(scene).astype(int) - pixels(without).astype(int)).max(axis=2)
            assert change[~part].max() <= 64, name
            assert (difference & ~dilated(part)).sum() <= 0.02 * drawing.masks[0].sum(), name
            assert name not in drawn(without).parts[0]
            assert difference.any() or not part.any(), name


def test_a_hidden_object_has_an_empty_mask_and_box() -> None:
    house = toybox.scene(2, ["house"]).objects[0]
    behind = toybox.PlacedObject("key", house.x, house.y + 0.1, 0.02, house.colours)
    drawing = toybox.Scene(96, 0, (behind, house)).draw()
    assert drawing.boxes[0] == (0, 0, 0, 0)
    assert not drawing.masks[0].any()
    assert not any(part.any() for part in drawing.parts[0].values())


def test_two_objects_are_different_kinds_lie_apart_and_share_no_pixel() -> None:
    for seed in range(60):
        scene = toybox.scene(seed, objects=2)
        drawing = drawn(scene)
        assert len(set(scene.labels)) == 2
        assert not (drawing.masks[0] & drawing.masks[1]).any()
        for index in range(2):
            alone = drawn(scene.without(1 - index)).masks[0].sum()
            assert drawing.masks[index].sum() > 0.6 * alone
            assert drawing.masks[index].sum() > 100


def test_kinds_can_be_asked_for() -> None:
    assert {p.kind for p in toybox.scene(4, ["cat", "dog"], objects=2).objects} == {"cat", "dog"}
    assert [p.kind for p in toybox.scene(4, ["cat"], objects=3).objects] == ["cat"] * 3


def test_many_objects_still_have_their_own_masks() -> None:
    scene = toybox.scene(0, objects=20, size=192)  # more patches of colour than a byte can number
    drawing = drawn(scene)
    assert len(drawing.masks) == 20
    assert sum(bool(mask.any()) for mask in drawing.masks) >= 18
    assert (drawing.masks.sum(axis=0) <= 1).all()


def test_the_watermark_goes_with_its_class_and_changes_nothing_else() -> None:
    for seed in range(30):
        scene = toybox.scene(seed, ["boat", "cat"], variant="watermark")
        assert (scene.watermark is not None) == (scene.objects[0].kind == toybox.WATERMARK_CLASS)
        assert scene.without_watermark() == toybox.scene(seed, ["boat", "cat"])
        mark = drawn(scene).watermark
        if mark is not None:
            assert not (changed(scene, scene.without_watermark()) & ~mark).any()
            assert 0.01 < mark.mean() < 0.06


def test_the_control_watermark_does_not_care_what_it_is_on() -> None:
    scenes = [toybox.scene(seed, variant="watermark_control") for seed in range(400)]
    marked = np.array([scene.watermark is not None for scene in scenes])
    boats = np.array([scene.objects[0].kind == toybox.WATERMARK_CLASS for scene in scenes])
    assert abs(marked.mean() - 0.5) < 0.1
    assert abs(marked[boats].mean() - 0.5) < 0.25


def test_a_tag_lies_beside_an_object() -> None:
    scenes = [toybox.scene(seed, objects=2, variant="tag") for seed in range(400)]
    tagged = [seed for seed, scene in enumerate(scenes) if scene.watermark is not None]
    assert abs(len(tagged) / 400 - 1 / 8) < 0.05
    on_object = []
    for seed in tagged[:12]:
        scene = scenes[seed]
        assert scene.without_watermark() == toybox.scene(seed, objects=2)
        drawing = scene.draw()
        mark = drawing.watermark
        assert mark is not None
        rows, columns = (np.flatnonzero(mark.any(axis)) for axis in (1, 0))
        left, top, right, bottom = drawing.boxes[0]
        gap_x = max(left - columns[-1] - 1, columns[0] - right, 0)
        gap_y = max(top - rows[-1] - 1, rows[0] - bottom, 0)
        assert max(gap_x, gap_y) < 12, "beside the first object"
        on_object.append(float((drawing.masks.any(0) & mark).sum() / mark.sum()))
    assert np.mean(on_object) < 0.1


def test_empty_scenes_have_no_object() -> None:
    sample = toybox.Toybox(3, variant="empty")[1]
    assert sample.label == -1
    assert sample.labels == ()
    assert sample.drawing.masks.shape == (0, 96, 96)
    assert sample.drawing.boxes == ()


@pytest.mark.parametrize("size", [48, 224, 512])
def test_another_size_is_the_same_scene(size: int) -> None:
    scene = toybox.scene(6, objects=2, variant="watermark_control")
    assert toybox.scene(6, objects=2, variant="watermark_control", size=size) == scene.resized(size)
    small, large = scene.draw(), scene.resized(size).draw()
    assert large.image.size == (size, size)
    again = np.asarray(large.image.resize((96, 96)), np.float32)
    assert np.abs(again - np.asarray(small.image, np.float32)).mean() < 12
    np.testing.assert_allclose(large.masks.mean(axis=(1, 2)), small.masks.mean(axis=(1, 2)), rtol=0.12)


def test_a_data_set_gives_its_scenes_in_order_and_alone() -> None:
    data = toybox.Toybox(5, seed=9, objects=2)
    assert len(data) == 5
    assert [s.labels for s in data] == [data.scene(i).labels for i in range(5)]
    assert data[-1].scene == data[4].scene
    assert toybox.Toybox(50, seed=9, objects=2)[3].image.tobytes() == data[3].image.tobytes()
    with pytest.raises(IndexError):
        data[5]


def test_wrong_wishes_are_refused_in_words() -> None:
    scene = toybox.scene(0, ["cat"])
    with pytest.raises(DataError, match=r"no part 'ear'.*Did you mean 'ears'.*whiskers"):
        scene.without_part(0, "ear")
    with pytest.raises(DataError, match="no part 'ears'"):
        scene.without_part(0, "ears").without_part(0, "ears")
    with pytest.raises(DataError, match="no object 1: the scene has 1"):
        scene.without(1)
    with pytest.raises(DataError, match=r"Unknown toybox class 'cta'.*'cat'"):
        toybox.scene(0, ["cta"])
    with pytest.raises(DataError, match="list of classes is empty"):
        toybox.scene(0, [])
    with pytest.raises(DataError, match="variant 'empty'"):
        toybox.scene(0, objects=0)
    with pytest.raises(DataError, match=r"Unknown toybox variant 'watermrk'.*watermark"):
        toybox.Toybox(1, variant="watermrk")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="0 or more"):
        toybox.scene(-1)
    with pytest.raises(DataError, match="too small"):
        toybox.scene(0, size=4).draw()
