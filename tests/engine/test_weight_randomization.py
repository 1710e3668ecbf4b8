"""Weights re-initialised at random: only those asked for, only in the copy, the same for the same seed."""

from __future__ import annotations

import timm
import torch
import torchvision
from torch import nn
from torch.testing import assert_close

from camlucida.engine.weight_randomization import randomize_weights, stages


def net() -> nn.Module:
    torch.manual_seed(0)
    return torchvision.models.resnet18(num_classes=7).eval()


def names(network: nn.Module) -> list[str]:
    return [stage.name for stage in stages(network)]


def test_stages_from_the_scores_down() -> None:
    assert names(net()) == ["fc", *(f"layer{i}.{j}" for i in (4, 3, 2, 1) for j in (1, 0)), "bn1", "conv1"]
    assert names(torchvision.models.vgg11())[:4] == ["classifier.6", "classifier.3", "classifier.0", "features.18"]
    vit = names(timm.create_model("vit_tiny_patch16_224"))
    assert vit[:3] == ["head", "norm", "blocks.11"]
    assert vit[-2:] == ["patch_embed", "VisionTransformer"], "class token and positions belong to no layer"


def test_every_weight_is_in_one_stage() -> None:
    for network in (net(), torchvision.models.mobilenet_v3_small(), timm.create_model("convnext_atto")):
        held = [name for stage in stages(network) for name in stage.modules]
        assert len(held) == len(set(held))
        assert set(held) == {n for n, m in network.named_modules() if list(m.parameters(recurse=False))}


def test_only_reinitialised_weights_change() -> None:
    network = net()
    before = {name: t.clone() for name, t in network.state_dict().items()}
    copied = randomize_weights(network, stages(network)[:2], seed=1)
    for name, tensor in copied.state_dict().items():
        drawn = name.startswith(("fc", "layer4.1"))
        if drawn and name.endswith(("conv1.weight", "conv2.weight", "fc.weight")):
            assert not torch.equal(tensor, before[name])
        elif not drawn:
            assert_close(tensor, before[name], rtol=0, atol=0)
    for name, tensor in network.state_dict().items():
        assert_close(tensor, before[name], rtol=0, atol=0)
    shared = dict(copied.named_parameters())["layer1.0.conv1.weight"]
    assert shared.data_ptr() == network.layer1[0].conv1.weight.data_ptr(), "what is not drawn costs no memory"


def test_norms_forget() -> None:
    network = net()
    network.layer4[1].bn1.running_mean.fill_(3.0)
    copied = randomize_weights(network, stages(network)[:2], seed=1)
    assert float(copied.layer4[1].bn1.running_mean.abs().max()) == 0
    assert float(network.layer4[1].bn1.running_mean.min()) == 3


def test_a_cascade_is_one_network_step_by_step() -> None:
    network = net()
    order = stages(network)
    two, three = (randomize_weights(network, order[:n], seed=4) for n in (2, 3))
    assert_close(two.fc.weight, three.fc.weight, rtol=0, atol=0)
    other = randomize_weights(network, order[:2], seed=5)
    assert not torch.equal(two.fc.weight, other.fc.weight)


def test_the_generator_stays_where_it_is() -> None:
    network, state = net(), torch.get_rng_state()
    randomize_weights(network, stages(network), seed=0)
    assert torch.equal(torch.get_rng_state(), state)


def test_weights_of_no_layer_keep_their_spread() -> None:
    network = timm.create_model("vit_tiny_patch16_224")
    with torch.no_grad():
        network.pos_embed.normal_(2.0, 0.5)
    drawn = randomize_weights(network, stages(network)[-1:], seed=0).pos_embed
    assert not torch.equal(drawn, network.pos_embed)
    assert_close(drawn.mean(), network.pos_embed.mean(), rtol=0.02, atol=0)
    assert_close(drawn.std(), network.pos_embed.std(), rtol=0.02, atol=0)
