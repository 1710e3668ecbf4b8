"""The built-in captioner: captions, maps by autograd, trust of a word, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import camlucida as cl
from camlucida.data import toybox
from camlucida.errors import ModelError, TargetError
from camlucida.models.toybox_captioner import START, caption_ids, vocabulary


@pytest.fixture(scope="module")
def model() -> cl.Model:
    return cl.load("toybox:captioner")


@pytest.fixture(scope="module")
def scene() -> Any:
    return toybox.scene(4, kinds=["cat", "dog"], objects=2)


def test_captions_name_objects_from_left_to_right(model: cl.Model) -> None:
    right = total = 0
    for index in range(30):
        scene = toybox.scene((995_000, index), objects=2)
        left, second = sorted(scene.objects, key=lambda placed: placed.x)
        if second.x - left.x < 0.1:
            continue
        inputs = model.preprocessing(scene.picture())[0][None]
        words = [word.text for word in model.image_targets.text(model, inputs)]
        right += words == f"a {left.kind} and a {second.kind}".split()
        total += 1
    assert right / total > 0.9


def test_grad_cam_of_a_word_equals_autograd_by_hand(model: cl.Model, scene: Any) -> None:
    explanation = cl.explain(model, scene.picture(), target="dog", method="grad_cam")
    network, inputs = model.network, model.preprocessing(scene.picture())[0][None]
    ids = torch.tensor([caption_ids(["cat", "dog"], vocabulary(toybox.CLASSES))[:5]])
    layer3, layer4 = network.encoder(inputs)
    score = network.decode(network.read(layer3, layer4), ids)[0, -1, model.labels.index("dog")]
    (gradient,) = torch.autograd.grad(score, layer4)
    wanted = (layer4 * gradient.mean((2, 3), keepdim=True)).sum(1)[0].detach()
    torch.testing.assert_close(explanation.raw, wanted, atol=1e-4 * float(wanted.abs().max()), rtol=1e-3)
    assert (explanation.target, explanation.spec) == ("dog (word 5)", "word 5")
    assert explanation.predictions[0].name == "dog"


def test_every_word_has_a_map(model: cl.Model, scene: Any) -> None:
    explanations = cl.explain(model, scene.picture(), method="layer_cam")
    assert [e.target for e in explanations] == [
        f"{word} (word {i})" for i, word in enumerate(["a", "cat", "and", "a", "dog"], 1)
    ]
    cat, dog = (explanations[i].landed.clip(0) for i in (1, 4))
    masks = dict(zip((placed.kind for placed in scene.objects), scene.draw().masks, strict=True))
    assert np.nansum(cat[masks["cat"]]) > np.nansum(cat[masks["dog"]])
    assert np.nansum(dog[masks["dog"]]) > np.nansum(dog[masks["cat"]])


def test_the_network_is_unmodified_and_may_be_in_train_mode(scene: Any) -> None:
    model = cl.load("toybox:captioner")
    wanted = cl.explain(model, scene.picture(), target="cat").raw
    model.network.train()
    before = {key: value.clone() for key, value in model.network.state_dict().items()}
    given = cl.explain(model, scene.picture(), target="cat")
    assert model.network.training
    assert all(torch.equal(before[key], value) for key, value in model.network.state_dict().items())
    torch.testing.assert_close(given.raw, wanted, atol=1e-5, rtol=1e-4)


def test_trust_takes_one_word(model: cl.Model, scene: Any) -> None:
    assert cl.trust(model, scene.picture(), target="dog", n_windows=16).target == "dog (word 5)"
    with pytest.raises(TargetError, match="one target, and 'a' means 2"):
        cl.trust(model, scene.picture(), target="a", n_windows=16)


def test_the_whole_image_has_no_class_scores(model: cl.Model, scene: Any) -> None:
    with pytest.raises(TargetError, match="class scores for every word, and none of the whole image"):
        cl.explain(model, scene.picture(), target=lambda scores: scores[:, 0])
    with pytest.raises(TargetError, match="--target all"):
        cl.attribute(model, torch.zeros(1, 3, 96, 96))
    with pytest.raises(ModelError, match="takes no question"):
        model.with_question("what?")


def test_random_weights_and_the_vocabulary() -> None:
    random = cl.load("toybox:captioner", pretrained=False)
    assert random.weights_hash != cl.load("toybox:captioner").weights_hash
    assert random.held["input_ids"].tolist() == [[START]]
    assert random.labels[:5] == ("<pad>", "<start>", "<end>", "a", "and")
