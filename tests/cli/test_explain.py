"""The result of `explain`: its fields, files, targets and errors."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.testing import assert_close

import camlucida as cl
from camlucida.data import toybox
from camlucida.errors import ImageError, LayerError, MethodError, ModelError, TargetError

PETS = toybox.scene(4, kinds=["cat", "dog"], objects=2, size=150).picture()


@cache
def model(name: str = "toybox") -> cl.Model:
    return cl.load(name)


# --- one explanation


def test_explanation_fields() -> None:
    e = cl.explain(model(), PETS, target="dog", layer="layer3", method="grad_cam")
    assert (e.target, e.index, e.score_kind) == ("dog", toybox.CLASSES.index("dog"), "logit")
    assert (e.method, e.layer, e.model, e.source) == ("grad_cam", "layer3", "toybox", "Image")
    assert "Selvaraju" in e.paper
    assert e.relu
    assert e.raw.shape == (12, 12)
    assert e.grid_label == "12 × 12"
    assert e.options == {}
    assert e.image.size == PETS.size
    assert {"camlucida", "torch", "torchvision", "pillow", "numpy"} <= set(e.versions)
    assert e.weights_hash == model().weights_hash
    with torch.no_grad():
        logits = model().network(model().preprocessing(PETS)[0][None])[0]
    assert e.score == pytest.approx(float(logits[e.index]), abs=1e-4)
    best = logits.argsort(descending=True)[:5].tolist()
    assert [p.index for p in e.predictions] == best
    assert [p.probability for p in e.predictions] == pytest.approx(logits.softmax(0)[best].tolist(), abs=1e-5)
    assert [p.logit for p in e.predictions] == pytest.approx(logits[best].tolist(), abs=1e-4)
    assert [p.name for p in e.predictions] == [toybox.CLASSES[i] for i in best]


def test_map_is_unscaled_and_heatmap_is_for_display() -> None:
    e = cl.explain(model(), PETS, target="cat")
    assert bool((e.raw < 0).any())
    assert_close(e.map, e.raw.relu(), rtol=0, atol=0)
    assert e.heatmap.shape == e.landed.shape == (150, 150)
    assert e.heatmap.dtype == np.float32
    assert e.heatmap.max() == pytest.approx(1)
    assert e.heatmap.min() >= 0
    assert e.peak == pytest.approx(float(e.landed.max()))
    np.testing.assert_allclose(e.landed / e.peak, e.heatmap, atol=1e-6)
    assert_close(e.map[None], cl.attribute(model(), model().preprocessing(PETS)[0][None], target=0))


@pytest.mark.parametrize("size", [(300, 150), (150, 300)])
def test_heatmap_is_nan_outside_the_crop(size: tuple[int, int]) -> None:
    e = cl.explain(model(), PETS.resize(size))
    assert e.heatmap.shape == size[::-1]
    unseen = np.isnan(e.heatmap)
    wide = size[0] > size[1]
    across = unseen.any(0) if wide else unseen.any(1)
    assert across[:75].all()
    assert not across[75:225].any()
    assert across[225:].all()
    assert np.nanmax(e.heatmap) == pytest.approx(1)
    beside = np.asarray(e.overlay())[unseen]  # grey or faded, but not heat
    assert beside.std(axis=1).mean() < np.asarray(e.overlay())[~unseen].std(axis=1).mean() + 30


@pytest.mark.parametrize("size", [(1, 1), (3, 1), (5, 7), (17, 400), (400, 17), (1, 900), (96, 96), (640, 480)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_images_of_any_shape(size: tuple[int, int], mode: str) -> None:
    e = cl.explain(model(), PETS.resize(size).convert(mode))
    assert e.heatmap.shape == size[::-1]
    assert np.nan_to_num(e.heatmap, nan=0.5).min() >= 0
    assert np.isfinite(e.peak)
    assert e.overlay().size == size
    assert e.overlay().mode == "RGB"


def test_extreme_aspect_ratio_is_refused() -> None:
    with pytest.raises(ImageError, match=r"2 × 60000 is too elongated.*Crop it"):
        cl.explain(model(), Image.new("RGB", (2, 60_000)))


@pytest.mark.parametrize("kind", ["path", "str", "bytes", "file", "image", "array"])
def test_image_source_types(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "pets.png"
    PETS.save(path)
    inputs: Any = {
        "path": path, "str": str(path), "bytes": path.read_bytes(), "file": io.BytesIO(path.read_bytes()),
        "image": PETS, "array": np.asarray(PETS),
    }[kind]  # fmt: skip
    e = cl.explain(model(), inputs)
    np.testing.assert_array_equal(e.heatmap, cl.explain(model(), PETS).heatmap)
    assert e.source == ("pets.png" if kind in ("path", "str") else type(inputs).__name__)


def test_model_spec_and_bare_network() -> None:
    assert_close(cl.explain("toybox", PETS).raw, cl.explain(model(), PETS).raw, rtol=0, atol=0)
    bare = cl.explain(model().network, PETS)
    assert bare.model == "ToyResNet"
    assert bare.target.startswith("class ")


def test_explain_is_deterministic() -> None:
    first, other = (cl.explain(model(), PETS, method="layer_cam", layer="layer2") for _ in range(2))
    assert_close(first.raw, other.raw, rtol=0, atol=0)
    assert first.record() == other.record()
    assert first._repr_png_() == other._repr_png_()


# --- saving


def test_save_image(tmp_path: Path) -> None:
    e = cl.explain(model(), PETS)
    for suffix in (".png", ".jpg", ".webp", ".tif"):
        (written,) = e.save(tmp_path / "new" / "folder" / f"panel{suffix}")
        with Image.open(written) as image:
            assert image.size == e.panel().size
    with Image.open(tmp_path / "new" / "folder" / "panel.png") as image:
        assert image.tobytes() == e.panel().tobytes()
    with Image.open(io.BytesIO(e._repr_png_())) as image:
        assert image.tobytes() == e.panel().tobytes()


def test_save_npz(tmp_path: Path) -> None:
    e = cl.explain(model(), PETS.resize((300, 150)), target="cat rather than dog", method="ablation_cam")
    maps, record = e.save(tmp_path / "cat.npz")
    with np.load(maps) as stored:
        np.testing.assert_array_equal(stored["raw"], e.raw.numpy())
        np.testing.assert_array_equal(stored["map"], e.map.numpy())
        np.testing.assert_allclose(stored["heatmap"], e.heatmap, atol=1e-3)
    assert record == tmp_path / "cat.json"
    text = json.loads(record.read_text(encoding="utf-8"))
    assert text == json.loads(json.dumps(e.record()))
    assert text["target"] == "cat rather than dog"
    assert text["class"] is None
    assert text["options"] == {"infill": 0.0}
    assert text["method"] == "ablation_cam"
    assert text["grid"] == [12, 12]
    assert text["weights"] == model().weights_hash
    assert text["geometry"]["original"] == [300, 150]
    assert text["geometry"]["input"] == [96, 96]
    assert text["predictions"][0]["name"] == e.predictions[0].name
    assert text["versions"]["torch"] == e.versions["torch"]


def test_unknown_format_raises_before_rendering(tmp_path: Path) -> None:
    e, several = cl.explain(model(), PETS), cl.explain(model(), PETS, target=["cat", "dog"])
    for first in (e, several):
        with pytest.raises(ImageError, match=r"cannot save an image as .map.txt.: use .* .svg or .html, or .npz"):
            first.save(tmp_path / "no" / "map.txt")
        assert not (tmp_path / "no").exists()
        (tmp_path / "file").write_text("")
        for name in ("map.png", "map.npz"):
            with pytest.raises(ImageError, match=r"cannot write .*file/.*map"):
                first.save(tmp_path / "file" / name)


# --- targets


def test_contrast_and_negative_targets() -> None:
    """At the last layer the score is linear in the activations, so the equalities are exact."""
    cat, dog, rather, against = cl.explain(model(), PETS, target=["cat", "dog", "cat rather than dog", "not cat"])
    assert_close(rather.raw, cat.raw - dog.raw, rtol=1e-4, atol=1e-6)
    assert_close(against.raw, -cat.raw)
    assert rather.score == pytest.approx(cat.score - dog.score, abs=1e-4)
    assert against.score == pytest.approx(-cat.score)
    assert (rather.index, against.index) == (None, None)
    assert (rather.target, against.target) == ("cat rather than dog", "against cat")
    assert rather.score_kind == "score"


def test_score_kinds_and_callable_target() -> None:
    cat = cl.explain(model(), PETS, target="cat", score="probability")
    assert cat.score == pytest.approx(next(p.probability for p in cat.predictions if p.name == "cat"), abs=1e-5)
    assert cat.score_label.startswith("probability ")
    log = cl.explain(model(), PETS, target="cat", score="log_probability")
    assert np.exp(log.score) == pytest.approx(cat.score, rel=1e-4)

    def both(output: Tensor) -> Tensor:
        return output[:, 0] + output[:, 1]

    own = cl.explain(model(), PETS, target=both)
    assert (own.target, own.index) == ("both", None)


# --- errors


@pytest.mark.parametrize(
    ("how", "kind", "sentence"),
    [
        ({"target": "catt"}, TargetError, "no class 'catt' in this model. Did you mean 'cat'"),
        ({"target": 99}, TargetError, "needs at least 100 outputs; the model returns 10"),
        ({"target": []}, TargetError, "the list of targets is empty"),
        ({"target": 2.5}, TargetError, "not 2.5"),
        ({"layer": "layer5"}, LayerError, "no layer 'layer5' in ToyResNet. Did you mean 'layer4'"),
        ({"layer": []}, LayerError, "the list of layers is empty"),
        ({"method": "gradcamm"}, MethodError, "no method 'gradcamm'. Did you mean 'grad_cam'"),
        ({"method": []}, MethodError, "the list of methods is empty"),
        ({"score": "logits"}, TargetError, "no score 'logits'. Did you mean 'logit'"),
        ({"infill": 1}, MethodError, "grad_cam has no option 'infill'"),
        ({"fil": 1, "method": ["grad_cam", "ablation_cam"]}, MethodError, "has an option 'fil'"),
        ({"infill": "a", "method": "ablation_cam"}, MethodError, "infill is a number .* not 'a'"),
    ],
)
def test_errors_name_the_image_and_the_model(
    how: dict[str, Any], kind: type[Exception], sentence: str, tmp_path: Path
) -> None:
    PETS.save(tmp_path / "pets.png")
    with pytest.raises(kind, match=f"{sentence}.*\\(toybox, pets.png\\)") as caught:
        cl.explain(model(), tmp_path / "pets.png", **how)
    assert "\n" not in str(caught.value)


def test_option_is_passed_to_methods_that_accept_it() -> None:
    grad, ablation = cl.explain(model(), PETS, method=["grad_cam", "ablation_cam"], infill=0.5)
    assert grad.options == {}
    assert ablation.options == {"infill": 0.5}


@pytest.mark.parametrize("thing", [None, 3, object()])
def test_invalid_image_raises(thing: Any) -> None:
    with pytest.raises(ImageError, match=rf"a {type(thing).__name__} is not an image: pass a path"):
        cl.explain(model(), thing)


@pytest.mark.parametrize(
    ("thing", "sentence"),
    [
        (torch.zeros(8, 8), r"8×8 is not one image: pass \(channels, height, width\)"),
        (torch.zeros(8, 9, 3), r"has 8 channels.* for 3\. Its channels seem to come last: tensor.permute\(2, 0, 1\)"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), r"of torch.uint8 is no network input: pass floats"),
    ],
)
def test_tensors_that_are_no_network_input_are_refused(thing: Tensor, sentence: str) -> None:
    with pytest.raises(ImageError, match=sentence):
        cl.explain(model(), thing)


@pytest.mark.parametrize("thing", [None, 3, {}])
def test_invalid_model_raises(thing: Any) -> None:
    with pytest.raises(ModelError, match=r"a model must be a torch.nn.Module, a wrapped one or a name, not"):
        cl.explain(thing, PETS)


def test_internal_errors_are_not_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr("camlucida.attribution.build_explanations.top_predictions", fails)
    with pytest.raises(RuntimeError, match=r"^ours$"):
        cl.explain(model(), PETS)


# --- many images


def test_explain_each_continues_after_an_unreadable_image(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("one.png", "two.png", "three.png", "four.png")]
    for path in paths:
        PETS.save(path)
    paths[1].write_bytes(paths[0].read_bytes()[:600])
    paths[2].unlink()
    results_ = list(cl.explain_each(model(), paths, target="cat"))
    assert [source for source, _ in results_] == paths
    assert [type(result) for _, result in results_] == [cl.Explanation, ImageError, ImageError, cl.Explanation]
    assert "two.png" in str(results_[1][1])
    assert "three.png" in str(results_[2][1])
    assert_close(results_[0][1].raw, results_[3][1].raw, rtol=0, atol=0)  # type: ignore[union-attr]


def test_explain_each_is_lazy() -> None:
    consumed = []

    def images() -> Iterator[Image.Image]:
        for number in range(1000):
            consumed.append(number)
            yield PETS

    item = cl.explain_each(model(), images())
    next(item)
    next(item)
    assert consumed == [0, 1]


class LastLayerFilled(nn.Module):
    """A network whose last score is a constant."""

    def __init__(self, last: float) -> None:
        super().__init__()
        self.body, self.last = nn.Conv2d(3, 2, 3), last

    def forward(self, x: Tensor) -> Tensor:
        scores = self.body(x).mean((2, 3))
        return torch.cat([scores, torch.full_like(scores[:, :1], self.last)], dim=1)


@pytest.mark.parametrize("last", [float("nan"), float("inf")])
def test_non_finite_scores_raise(last: float) -> None:
    with pytest.raises(ModelError, match=r"1 of the 3 scores of the network"):
        cl.explain(LastLayerFilled(last), PETS)


def test_minus_infinity_logit_is_allowed() -> None:
    e = cl.explain(LastLayerFilled(-float("inf")), PETS)
    assert isinstance(e, cl.Explanation)
    assert [p.probability > 0 for p in e.predictions] == [True, True, False]


def test_errors_in_forward_become_model_errors() -> None:
    class Raises(nn.Module):
        def __init__(this) -> None:
            super().__init__()
            this.body = nn.Conv2d(3, 2, 3)

        def forward(this, x: Tensor) -> Tensor:
            raise ValueError("too bright")

    with pytest.raises(ModelError, match="ValueError: too bright"):
        cl.explain(Raises(), PETS)
