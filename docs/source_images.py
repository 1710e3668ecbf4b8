"""The images of docs/sources: networks of toybox as models of Keras and transformers, as a function, and as a pair."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import camlucida as cl
from camlucida.data import toybox

IMAGES = Path(__file__).resolve().parent / "images"
QUALITY = 88


def keras_model(network: nn.Module) -> Any:
    """Return the model of Keras with the weights of toybox's VGG."""
    import keras

    inputs = hidden = keras.Input((96, 96, 3))
    features = list(network.features)
    number = 0
    for layer in features:
        if isinstance(layer, nn.Conv2d):
            number += 1
            hidden = keras.layers.Conv2D(layer.out_channels, 3, padding="same", use_bias=False, name=f"conv{number}")(
                hidden
            )
        elif isinstance(layer, nn.BatchNorm2d):
            hidden = keras.layers.BatchNormalization(epsilon=layer.eps, name=f"norm{number}")(hidden)
        elif isinstance(layer, nn.ReLU):
            hidden = keras.layers.ReLU(name=f"relu{number}")(hidden)
        else:
            hidden = keras.layers.MaxPooling2D(2)(hidden)
    hidden = keras.layers.Flatten()(hidden)
    linear = [layer for layer in network.classifier if isinstance(layer, nn.Linear)]
    hidden = keras.layers.Dense(linear[0].out_features, activation="relu", name="hidden")(hidden)
    model = keras.Model(
        inputs, keras.layers.Dense(linear[1].out_features, activation="softmax", name="classes")(hidden)
    )
    convolutions = [layer for layer in features if isinstance(layer, nn.Conv2d)]
    norms = [layer for layer in features if isinstance(layer, nn.BatchNorm2d)]
    for i, (convolution, norm) in enumerate(zip(convolutions, norms, strict=True), start=1):
        model.get_layer(f"conv{i}").set_weights([_array(convolution.weight.permute(2, 3, 1, 0))])
        values = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
        model.get_layer(f"norm{i}").set_weights([_array(value) for value in values])
    # Keras flattens (h, w, c), PyTorch (c, h, w).
    first = linear[0].weight.reshape(-1, convolutions[-1].out_channels, 6, 6).permute(2, 3, 1, 0).flatten(0, 2)
    model.get_layer("hidden").set_weights([_array(first), _array(linear[0].bias)])
    model.get_layer("classes").set_weights([_array(linear[1].weight.T), _array(linear[1].bias)])
    return model


def transformers_folder(network: nn.Module, labels: tuple[str, ...], folder: Path) -> None:
    """Save toybox's ViT as `save_pretrained` of transformers does."""
    import transformers

    config = transformers.ViTConfig(
        image_size=96,
        patch_size=8,
        hidden_size=96,
        num_hidden_layers=6,
        num_attention_heads=3,
        intermediate_size=288,
        layer_norm_eps=1e-5,
        id2label=dict(enumerate(labels)),
    )
    model = transformers.ViTForImageClassification(config).eval()
    model.load_state_dict(_vit_weights(network.state_dict(), set(model.state_dict())))
    model.save_pretrained(folder)
    mean, std = cl.load("toybox:vit").preprocessing.mean, cl.load("toybox:vit").preprocessing.std
    transformers.ViTImageProcessor(
        size={"height": 96, "width": 96}, image_mean=list(mean), image_std=list(std)
    ).save_pretrained(folder)


def _vit_weights(state: dict[str, Tensor], names: set[str]) -> dict[str, Tensor]:
    """Return weights under the names of transformers."""
    return {name: _vit_weight(state, name) for name in names}


def _vit_weight(state: dict[str, Tensor], name: str) -> Tensor:
    kind = name.rpartition(".")[2]
    fixed = {
        "cls_token": "cls_token",
        "position_embeddings": "pos_embed",
        "projection": f"patch_embed.proj.{kind}",
        "classifier": f"head.{kind}",
        "vit.layernorm": f"norm.{kind}",
    }
    for part, own in fixed.items():
        if part in name:
            return state[own]
    block = f"blocks.{re.findall(r'[.]([0-9]+)[.]', name)[0]}."
    for i, part in enumerate(("q", "k", "v")):
        if re.search(rf"attention\.(attention\.)?{part}(_proj|uery|ey|alue)\.", name):
            return state[f"{block}attn.qkv.{kind}"].chunk(3)[i]
    parts = {
        "layernorm_before": "norm1",
        "layernorm_after": "norm2",
        "attention.output": "attn.proj",
        "o_proj": "attn.proj",
        "intermediate": "mlp.fc1",
        "fc1": "mlp.fc1",
        "output.dense": "mlp.fc2",
        "fc2": "mlp.fc2",
    }
    own = next(own for part, own in parts.items() if part in name)
    return state[f"{block}{own}.{kind}"]


class SameKind(nn.Module):
    """Compares two images: the similarity of their features, scaled to the scores "different" and "same"."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.encoder.fc = nn.Identity()

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        similarity = F.cosine_similarity(self.encoder(left), self.encoder(right))
        return torch.stack([-similarity, similarity], 1) * 5


def _array(tensor: Tensor) -> Any:
    return tensor.detach().numpy()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        save_images()


def save_images() -> None:
    image, other = "scene.png", "other.png"
    for file, seed, kinds in ((image, 4, ["cat", "dog"]), (other, 9, ["dog", "boat"])):
        toybox.scene(seed, kinds=kinds, objects=2, size=384).picture().save(file)
    vgg = cl.load("toybox:vgg")
    numbers = {"size": vgg.preprocessing.size, "mean": vgg.preprocessing.mean, "std": vgg.preprocessing.std}
    model = cl.wrap(keras_model(vgg.network), name="keras", labels=vgg.labels, fit="squash", **numbers)
    cl.explain(model, image, target=["cat", "dog"], layer=["conv5", "relu4"]).figure().save(
        IMAGES / "keras.jpg", quality=QUALITY
    )
    vit = cl.load("toybox:vit")
    transformers_folder(vit.network, vit.labels, Path("toybox-vit"))
    cl.explain(
        cl.load("hf:toybox-vit"), image, target=["cat", "dog"], method=["grad_cam", "attention_relevance"]
    ).figure().save(IMAGES / "transformers.jpg", quality=QUALITY)
    resnet = cl.load("toybox")
    function = cl.wrap(lambda images: resnet.network(images), labels=resnet.labels, **numbers)
    cl.explain(function, image, target=["cat", "dog"], method=["occlusion", "rise"]).figure().save(
        IMAGES / "black-boxes.jpg", quality=QUALITY
    )
    pair = cl.wrap(SameKind(resnet.network), image=("left", "right"), labels=["different", "same"], **numbers)
    cl.explain(pair, {"left": image, "right": other}, target="same", method="hires_cam").figure().save(
        IMAGES / "several-inputs.jpg", quality=QUALITY
    )


if __name__ == "__main__":
    main()
