"""The similarity of two images, both ways, against cosines and gradients by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import camlucida as cl
from camlucida.errors import TargetError
from camlucida.models.model import Model

SIZE = 24
A, B, C = np.random.default_rng(0).integers(0, 256, (3, 30, 30, 3), dtype=np.uint8)


class Encoder(nn.Module):
    def __init__(self, n_classes: int = 0, *, normalise: bool = False, activation: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU())
        self.embed = nn.Linear(8, 6)
        self.head = nn.Linear(6, n_classes) if n_classes else None
        self.normalise, self.activation = normalise, activation

    def forward(self, x: Tensor) -> Tensor:
        embedding: Tensor = self.embed(self.features(x).mean((2, 3)))
        if self.head is not None:
            embedding = self.head(embedding)
        if self.activation:
            embedding = embedding * 2 + 1
        return nn.functional.normalize(embedding, dim=1) if self.normalise else embedding


def embedding(network: Encoder, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Activations of the features, and the embedding computed of them."""
    activations = network.features(inputs).detach().requires_grad_()
    return activations, network.embed(activations.mean((2, 3)))


def inputs_of(model: Model, image: np.ndarray) -> Tensor:
    return model.preprocessing(Image.fromarray(image))[0][None]


@pytest.mark.parametrize("n_classes", [0, 4])
def test_both_ways_by_hand(n_classes: int) -> None:
    network = Encoder(n_classes, normalise=n_classes == 0).eval()
    labels = ["a", "b", "c", "d"][:n_classes]
    model = cl.wrap(network, size=SIZE, labels=labels or None)
    both = cl.explain(model, A, like=B, layer="features")
    assert len(both) == 2
    for explanation, (own, other) in zip(both, [(A, B), (B, A)], strict=True):
        activations, of_own = embedding(network, inputs_of(model, own))
        _, of_other = embedding(network, inputs_of(model, other))
        cosine = nn.functional.cosine_similarity(of_own, of_other.detach())
        fixed = (of_own * of_other.detach()).sum() / (of_own.detach().norm() * of_other.detach().norm())
        explained = cosine.sum() if network.normalise else fixed
        (gradients,) = torch.autograd.grad(explained, activations)
        by_hand = (activations * gradients.mean((2, 3), keepdim=True)).sum(1)[0].detach()
        torch.testing.assert_close(explanation.raw, by_hand, rtol=1e-4, atol=1e-7)
        assert explanation.score == pytest.approx(float(cosine.detach()), rel=1e-5)
        assert explanation.weights_hash == model.weights_hash
    assert [e.target for e in both] == ["similarity to ndarray (2)", "similarity to ndarray (1)"]


def test_the_map_of_pooled_features_adds_up_to_the_cosine() -> None:
    network = Encoder(4).eval()
    with torch.no_grad():
        network.embed.bias.zero_()
    explanation = cl.explain(cl.wrap(network, size=SIZE, labels=list("abcd")), A, like=B, layer="features")[0]
    assert float(explanation.raw.sum()) == pytest.approx(explanation.score, rel=1e-4)


def test_a_normalisation_in_wrap_is_taken_apart() -> None:
    network = Encoder().eval()
    model = cl.wrap(network, size=SIZE, output=nn.functional.normalize)
    classifier = Encoder(4).eval()
    classifier.load_state_dict(network.state_dict(), strict=False)
    expected = cl.explain(cl.wrap(classifier, size=SIZE, labels=list("abcd")), A, like=B, layer="features")[0]
    torch.testing.assert_close(cl.explain(model, A, like=B, layer="features")[0].raw, expected.raw)


def test_files_as_targets(tmp_path: Path) -> None:
    for name, image in (("a", A), ("b, at 1,2", B), ("c", C)):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    paths = {name: tmp_path / f"{name}.png" for name in ("a", "b, at 1,2", "c")}
    model = cl.wrap(Encoder(normalise=True).eval(), size=SIZE)
    both = cl.explain(model, paths["a"], like=paths["b, at 1,2"])
    one = cl.explain(model, paths["a"], target=f"like:{paths['b, at 1,2']}")
    torch.testing.assert_close(one.raw, both["a.png"].raw)
    assert both["b, at 1,2.png"].image.size == (30, 30)
    contrast = cl.explain(model, paths["a"], target=f"like:{paths['b, at 1,2']} rather than {paths['c']}")
    other = cl.explain(model, paths["a"], target=f"like:{paths['c']}")
    assert contrast.score == pytest.approx(one.score - other.score, abs=1e-5)
    assert both.figure().height > 0


def test_a_classifier_keeps_its_head_and_its_copy() -> None:
    network = Encoder(4).eval()
    model = cl.wrap(network, size=SIZE, labels=["a", "b", "c", "d"])
    cl.explain(model, A, like=B)
    assert isinstance(network.head, nn.Linear)
    assert cl.explain(model, A).target in model.labels


@pytest.mark.parametrize(
    ("network", "labels", "message"),
    [
        (Encoder(4), None, "4 outputs of this network have no names: they may be class scores or an embedding"),
        (Encoder(4, activation=True), ["a", "b", "c", "d"], "is followed by something else"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), list("abcd"), "is not its last"),
    ],
)
def test_unknown_embeddings_are_asked_for(network: nn.Module, labels: list[str] | None, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        cl.explain(cl.wrap(network.eval(), size=SIZE, labels=labels), A, like=B)


def test_trust_says_what_it_cannot_test(tmp_path: Path) -> None:
    Image.fromarray(B).save(tmp_path / "b.png")
    model = cl.wrap(Encoder(normalise=True).eval(), size=SIZE)
    with pytest.raises(TargetError, match="is a cosine without one"):
        cl.trust(model, A, target=f"like:{tmp_path / 'b.png'}")


def test_like_and_target_exclude_each_other() -> None:
    model = cl.wrap(Encoder(normalise=True).eval(), size=SIZE)
    with pytest.raises(TargetError, match="leave target= out"):
        cl.explain(model, A, like=B, target=lambda output: output[:, 0])  # type: ignore[call-overload]
