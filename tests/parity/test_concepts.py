"""Our concepts next to grad-cam's DeepFeatureFactorization; docs/parity.md has the row.

Both factorise with scikit-learn's NMF. Where the factors are unique up to scale and order both go to them, grad-cam not
as far; what a concept is said to be is the same number, ours for any network, grad-cam's for a classifier handed over.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from torch import Tensor, nn

import camlucida as cl
from camlucida.data import toybox
from camlucida.features.concepts import _concept_scores, _ImageActivations
from camlucida.features.factorise import factorise

dff = pytest.importorskip("pytorch_grad_cam.feature_factorization.deep_feature_factorization")
pytestmark = pytest.mark.filterwarnings("ignore")  # the peer's own

PETS = toybox.scene(4, kinds=["cat", "dog"], objects=2, size=96).picture()


def planted() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(48 places, 3) and (3, 12 channels): each part owns some places and some channels, which makes them unique."""
    rng = np.random.default_rng(1)
    w, h = rng.uniform(0, 1, (48, 3)), rng.uniform(0, 1, (3, 12))
    w[:12], h[:, :6] = np.tile(np.eye(3), (4, 1)), np.tile(np.eye(3), 2)
    return w, h * np.array([[3], [2], [1]])


def as_ours(
    concepts: NDArray[np.float64], maps: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """grad-cam's (c, k) and (k, h, w) with our scale and order: (k, c) and (places, k)."""
    w = maps.reshape(len(maps), -1).T
    vectors, w = concepts.T * w.max(0)[:, None], w / w.max(0)
    order = np.argsort(-(w.sum(0) * vectors.sum(1)))
    return vectors[order], w[:, order]


def test_the_same_factors_where_they_are_unique() -> None:
    w, h = planted()
    concepts, explanations = dff.dff((w @ h).T.reshape(1, 12, 6, 8).copy(), n_components=3)
    vectors, places = as_ours(concepts, explanations[0])
    found = factorise(w @ h, 3)
    order = np.argsort(-(w.sum(0) * h.sum(1)))
    assert_allclose(found.weights, w[:, order], atol=0.02)
    assert_allclose(found.components, h[order], atol=0.05)
    assert_allclose(places, w[:, order], atol=0.15)
    assert found.error < np.linalg.norm(w @ h - places @ vectors) / np.linalg.norm(w @ h)


def grad_cam(values: NDArray[np.float64], k: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    concepts, maps = dff.dff(values.T.reshape(1, 128, 12, 12).copy(), n_components=k)
    return concepts, maps[0]


def layer4(network: nn.Module, inputs: Tensor) -> NDArray[np.float64]:
    kept = []
    handle = network.get_submodule("layer4").register_forward_hook(lambda m, i, o: kept.append(o.detach()))
    with torch.no_grad():
        network(inputs)
    handle.remove()
    return kept[0][0].double().numpy()


def test_no_more_error_and_the_same_classes_for_the_same_vector() -> None:
    model = cl.load("toybox")
    network = model.network.eval()
    head = next(m for m in reversed(list(network.modules())) if isinstance(m, nn.Linear))
    inputs, _ = model.preprocessing(PETS)
    values = layer4(network, inputs[None]).reshape(128, -1).T
    assert (values.min(0) == 0).all()  # so that grad-cam's offset is none
    with_classes = dff.DeepFeatureFactorization(network, network.get_submodule("layer4"), None, head)
    concepts, _, answers = with_classes(inputs[None], n_components=4)
    del with_classes
    vectors, places = as_ours(*grad_cam(values, 4))
    ours = cl.concepts(model, PETS, k=4)
    assert ours.error <= np.linalg.norm(values - places @ vectors) / np.linalg.norm(values) + 1e-6
    # What grad-cam's classifier says to its vectors is what our rest of the network says to the same ones.
    seen = _ImageActivations("pets", PETS, ours.geometries[0], inputs, ours.maps[0], "layer4", "layer4")
    assert_allclose(_concept_scores(model, [seen], torch.from_numpy(concepts.T).float()).numpy(), answers, atol=1e-4)


def test_what_is_always_there_goes_into_every_concept_of_grad_cam() -> None:
    """It takes each channel's minimum off, and adds it to every concept: together they are more than the layer."""
    w, h = planted()
    values = w @ h + np.linspace(0.5, 1, 12)
    concepts, maps = dff.dff(values.T.reshape(1, 12, 6, 8).copy(), n_components=3)
    assert (concepts.T - values.min(0)).min() > -1e-9
    together = maps[0].reshape(3, -1).T @ concepts.T
    assert np.linalg.norm(values - together) / np.linalg.norm(values) > 0.2
    found = factorise(values, 3)
    assert np.linalg.norm(values - found.weights @ found.components) / np.linalg.norm(values) < 0.05
