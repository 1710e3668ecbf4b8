"""Methods that try other images, on scenes whose objects are known: the map must be where the object is."""

from __future__ import annotations

import pytest
import torch

from camlucida.attribution.attribute import attribute
from camlucida.data import toybox
from camlucida.models.load import load

METHODS = {"occlusion": {}, "rise": {"n": 200}, "lime": {"n": 200}, "kernel_shap": {"n": 200}}
SCENES = 8


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_the_map_is_on_the_object(method: str) -> None:
    """Of the positive part of the map, the share inside the object, against the object's fraction of the image."""
    model, lifts = load("toybox"), []
    for seed in range(SCENES):
        scene = toybox.scene(seed, objects=1, size=96)
        inputs, _ = model.preprocessing(scene.picture())
        mask = torch.from_numpy(scene.draw().masks[0].copy())
        name = scene.objects[0].kind
        saliency = attribute(model, inputs[None], method=method, target=name, **METHODS[method])[0].relu()
        lifts.append(float(saliency[mask].sum() / saliency.sum() / mask.float().mean()))
    assert min(lifts) > 1, sorted(lifts)[:5]
