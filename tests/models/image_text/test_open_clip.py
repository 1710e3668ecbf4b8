"""Loading of open_clip: names, tags, files and preprocessing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import camlucida as cl
from camlucida.errors import ModelError
from camlucida.models.hugging_face_preprocessing import structured_image
from camlucida.models.image_text_networks import open_clip_preprocessing

open_clip: Any = pytest.importorskip("open_clip")

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", TINY)
    monkeypatch.setattr("camlucida.models.open_clip_models.is_reachable", lambda _: False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("size", [(70, 45), (45, 71), (32, 32), (400, 301)])
def test_preprocessing_is_that_of_open_clip(mode: str, size: tuple[int, int]) -> None:
    network, _, transform = open_clip.create_model_and_transforms("tiny", image_resize_mode=mode)
    preprocessing = open_clip_preprocessing(network)
    assert preprocessing is not None
    image = structured_image(*size)
    expected, found = transform(image), preprocessing(image)[0]
    # Both round to 8 bits after the resize; a pixel may round the other way.
    levels = (expected - found).abs() * torch.tensor(preprocessing.std)[:, None, None] * 255
    assert float(levels.max()) <= 1.01


def test_a_file_of_weights_is_loaded(tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = open_clip.create_model("tiny")
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    model = cl.load(f"openclip:tiny@{tmp_path / 'weights.pt'}", prompts=["a dog", "a cat"], template="a photo of {}")
    assert model.labels == ("a dog", "a cat")
    torch.testing.assert_close(model.network.proj, network.visual.proj)
    assert cl.explain(model, np.zeros((40, 40, 3), np.uint8)).target in model.labels
    random = cl.load("openclip:tiny", pretrained=False)
    assert not torch.equal(random.network.proj, network.visual.proj)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("ViT-B-33", "open_clip has no model 'ViT-B-33'. Did you mean"),
        ("ViT-B-32", "needs its pretrained weights .* cannot be reached"),
        ("ViT-B-32@laion2b", "has no pretrained weights 'laion2b'"),
        ("ViT-B-32@openai", "QuickGELU.*use openclip:ViT-B-32-quickgelu@openai"),
        ("tiny", "has no pretrained weights: give a file"),
        ("roberta-ViT-B-32@laion2b_s12b_b32k", "cannot be reached"),
    ],
)
def test_what_cannot_be_loaded_is_said_at_once(spec: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        cl.load(f"openclip:{spec}")


def test_weights_with_code_are_not_loaded(tmp_path: Path) -> None:
    torch.save({"state_dict": Image.new("RGB", (2, 2))}, tmp_path / "weights.pt")
    with pytest.raises(ModelError, match="cannot be loaded"):
        cl.load(f"openclip:tiny@{tmp_path / 'weights.pt'}")


def test_a_template_needs_prompts() -> None:
    with pytest.raises(ModelError, match="give prompts="):
        cl.load("openclip:tiny", pretrained=False, template="a photo of {}")
