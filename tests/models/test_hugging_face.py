"""Models of transformers, saved with random weights and loaded again: preprocessing, labels, maps and refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import camlucida as cl
from camlucida.attribution.output_reader import output_activation, predict
from camlucida.errors import CheckpointWarning, ModelError, TargetError
from camlucida.models import hugging_face_folder
from camlucida.models.hugging_face_preprocessing import measure_preprocessing, structured_image
from camlucida.models.preprocessing import Preprocessing

hf: Any = pytest.importorskip("transformers")

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
VIT = {"image_size": 32, "patch_size": 8, **SMALL}
NAMES = {0: "tench, Tinca tinca", 1: "goldfish", 2: "great white shark"}


@pytest.fixture(autouse=True)
def _quiet() -> None:
    hf.utils.logging.set_verbosity(hf.utils.logging.CRITICAL)
    hf.utils.logging.disable_progress_bar()


def vit_config(**options: Any) -> Any:
    return hf.ViTConfig(**{**VIT, "id2label": NAMES, **options})


def save(folder: Path, network: Any, processor: Any = None) -> Path:
    network.save_pretrained(folder)
    if processor is not None:
        processor.save_pretrained(folder)
    return folder


def vit_folder(folder: Path, **options: Any) -> Path:
    torch.manual_seed(0)
    network = hf.ViTForImageClassification(vit_config(**options))
    return save(folder, network, hf.ViTImageProcessor(size={"height": 32, "width": 32}))


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def hugging_face_logits(folder: Path, image: Any) -> Tensor:
    """Return the class scores as the documentation of transformers computes them."""
    processor = hf.AutoImageProcessor.from_pretrained(folder)
    network = hf.AutoModelForImageClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        logits: Tensor = network(**processor(images=image, return_tensors="pt")).logits
    return logits


@pytest.fixture
def vit(here: Path) -> Path:
    return vit_folder(here / "vit")


def test_predictions_are_those_of_transformers(vit: Path) -> None:
    image = structured_image(57, 41)
    model = cl.load(f"hf:{vit}")
    scores, activation = predict(model, model.preprocessing(image)[0][None])
    torch.testing.assert_close(scores, hugging_face_logits(vit, image), atol=2e-3, rtol=0)
    assert model.labels == tuple(NAMES.values())
    assert model.spec == f"hf:{vit}"
    assert activation.task == "multiclass"
    assert not model.network.training


@pytest.mark.parametrize("spelling", ["vit", "./vit", "{here}/vit", "~/vit", "../{name}/vit"])
def test_every_spelling_of_a_folder(here: Path, vit: Path, spelling: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(here))
    assert cl.load(f"hf:{spelling.format(here=here, name=here.name)}").labels[1] == "goldfish"


PROCESSORS: dict[str, Callable[[], Any]] = {
    "squash": lambda: hf.ViTImageProcessor(size={"height": 32, "width": 48}),
    "bicubic": lambda: hf.SiglipImageProcessor(size={"height": 32, "width": 32}),
    "crop": lambda: hf.CLIPImageProcessor(size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32}),
    "pair, then crop": lambda: hf.DeiTImageProcessor(
        size={"height": 40, "width": 40}, crop_size={"height": 32, "width": 32}
    ),
    "crop_pct": lambda: hf.ConvNextImageProcessor(size={"shortest_edge": 32}, crop_pct=0.875),
    "crop_pct at 384": lambda: hf.ConvNextImageProcessor(size={"shortest_edge": 384}),
    "LeViT's": lambda: hf.LevitImageProcessor(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}),
    "padded": lambda: hf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 40, "width": 40}),
    "offset": lambda: hf.EfficientNetImageProcessor(
        size={"height": 32, "width": 32}, rescale_factor=1 / 127.5, rescale_offset=True, do_normalize=False
    ),
    "normalised twice": lambda: hf.EfficientNetImageProcessor(size={"height": 32, "width": 32}, include_top=True),
    "not normalised": lambda: hf.ViTImageProcessor(size={"height": 32, "width": 32}, do_normalize=False),
    "not rescaled": lambda: hf.ViTImageProcessor(size={"height": 32, "width": 32}, do_rescale=False),
    "nearest": lambda: hf.ViTImageProcessor(size={"height": 32, "width": 32}, resample=0),
}


@pytest.mark.parametrize("name", sorted(PROCESSORS))
def test_network_input_is_that_of_the_processor(name: str) -> None:
    processor = PROCESSORS[name]()
    preprocessing = measure_preprocessing(processor, "hf:x").preprocessing
    for width, height in ((61, 90), (97, 75), (131, 64), (63, 83), (44, 47)):
        image = structured_image(width, height)
        wanted = processor(images=image, return_tensors="pt")["pixel_values"][0]
        given = preprocessing(image)[0]
        levels = ((given - wanted) * torch.tensor(preprocessing.std)[:, None, None]).abs() * 255
        assert given.shape == wanted.shape
        assert levels.max() < 4, (width, height)
        assert levels.mean() < 0.6, (width, height)


def test_numbers_of_the_processor_are_kept_exactly() -> None:
    measured = measure_preprocessing(PROCESSORS["crop"](), "hf:x").preprocessing
    assert measured == Preprocessing(
        size=(32, 32),
        resize=40,
        fit="crop",
        mean=(0.48145466, 0.4578275, 0.40821073),
        std=(0.26862954, 0.26130258, 0.27577711),
        interpolation="bicubic",
        crop_rounding="down",
    )
    twice = measure_preprocessing(PROCESSORS["normalised twice"](), "hf:x").preprocessing
    assert twice.std == pytest.approx((0.25,) * 3)  # (x - 0.5) / 0.5 / 0.5


@pytest.mark.parametrize(
    ("processor", "message"),
    [
        (lambda: hf.ViTImageProcessor(do_resize=False), "gives inputs of varying size"),
        (lambda: hf.DetrImageProcessor(size={"shortest_edge": 40, "longest_edge": 60}), "gives inputs of varying size"),
        (lambda: hf.Siglip2ImageProcessor(), r"not make one input .* of an image, but \(1, 256, 768\)"),
        (
            lambda: hf.ViTImageProcessor(
                size={"height": 32, "width": 32}, do_pad=True, pad_size={"height": 40, "width": 40}
            ),
            "in a way that was not reproduced: the closest attempt differs by up to",
        ),
        (lambda: hf.ImageGPTImageProcessor(), "cannot process an RGB image"),
        (
            lambda: hf.ViTImageProcessor(size={"height": 8000, "width": 32}),
            "a side of 8,000 pixels .* exceeds the limit",
        ),
    ],
)
def test_other_processors_are_refused(processor: Callable[[], Any], message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        measure_preprocessing(processor(), "hf:x")
    assert "wrap(network, size=…, mean=…, std=…" in str(caught.value)


def test_code_of_a_processor_is_refused_and_not_run(vit: Path) -> None:
    (vit / "own.py").write_text("import pathlib\npathlib.Path('RAN').touch()\n")
    auto_map = {"AutoImageProcessor": "own.Own"}
    edit(vit / "preprocessor_config.json", image_processor_type="Own", auto_map=auto_map)
    with pytest.raises(ModelError, match="the code of its image processor lies in its repository"):
        cl.load("hf:vit")
    assert not Path("RAN").exists()


def test_without_a_processor_the_default_is_announced(here: Path) -> None:
    save(here / "bare", hf.ViTForImageClassification(vit_config()))
    with pytest.warns(CheckpointWarning, match=r"hf:bare has no preprocessor_config.json: .* ViTImageProcessor"):
        model = cl.load("hf:bare")
    assert (model.preprocessing.size, model.preprocessing.mean) == ((32, 32), (0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("problem", "n", "task"),
    [
        ("single_label_classification", 3, "multiclass"),
        ("multi_label_classification", 3, "multilabel"),
        ("regression", 1, "regression"),
        (None, 1, "regression"),
        (None, 3, "multiclass"),
    ],
)
def test_task_is_that_of_the_configuration(here: Path, problem: str | None, n: int, task: str) -> None:
    names = {index: f"name {index}" for index in range(n)}
    model = cl.load(f"hf:{vit_folder(here / 'vit', problem_type=problem, id2label=names)}")
    assert output_activation(model).task == task


def test_names_that_are_only_numbers_are_no_labels(here: Path) -> None:
    config = hf.ViTConfig(**VIT, num_labels=4)
    save(here / "vit", hf.ViTForImageClassification(config), hf.ViTImageProcessor(size={"height": 32, "width": 32}))
    assert cl.load("hf:vit").labels == ()


def grad_cam_by_hand(network: Any, layer: str, inputs: Tensor, read: Callable[[Any], Tensor], prefix: int) -> Tensor:
    """Return Grad-CAM `(b, h, w)` of tokens on a square grid after `prefix` others, from autograd."""
    kept: list[Tensor] = []
    handle = network.get_submodule(layer).register_forward_hook(lambda _m, _i, output: kept.append(output))
    scores = read(network(inputs))
    handle.remove()
    tokens = kept[0] if isinstance(kept[0], Tensor) else kept[0][0]
    (gradient,) = torch.autograd.grad(scores.sum(), tokens)
    weights = gradient[:, prefix:].mean(1)
    grid = torch.einsum("bnc,bc->bn", tokens[:, prefix:].detach(), weights)
    side = round(grid.shape[1] ** 0.5)
    return grid.reshape(-1, side, side)


def siglip_config() -> Any:
    return hf.SiglipConfig(vision_config=VIT, num_labels=5)


CLASSIFIERS: dict[str, tuple[Callable[[], Any], str, int]] = {
    "ViT": (
        lambda: hf.ViTForImageClassification(hf.ViTConfig(**VIT, num_labels=5)),
        "vit.layers.1.layernorm_before",
        1,
    ),
    "DeiT, distilled": (
        lambda: hf.DeiTForImageClassificationWithTeacher(hf.DeiTConfig(**VIT, num_labels=5)),
        "deit.layers.1.layernorm_before",
        2,
    ),
    "DINOv2": (lambda: hf.Dinov2ForImageClassification(hf.Dinov2Config(**VIT, num_labels=5)), "dinov2.layernorm", 1),
    "DINOv2 with registers": (
        lambda: hf.Dinov2WithRegistersForImageClassification(hf.Dinov2WithRegistersConfig(**VIT, num_labels=5)),
        "dinov2_with_registers.layernorm",
        5,
    ),
    "BEiT": (lambda: hf.BeitForImageClassification(hf.BeitConfig(**VIT, num_labels=5)), "beit.layers.1", 1),
    "SigLIP": (lambda: hf.SiglipForImageClassification(siglip_config()), "vision_model.post_layernorm", 0),
}


@pytest.mark.parametrize("name", sorted(CLASSIFIERS))
def test_grad_cam_equals_autograd_by_hand(here: Path, name: str) -> None:
    make, layer, prefix = CLASSIFIERS[name]
    torch.manual_seed(0)
    save(here / "net", make(), hf.ViTImageProcessor(size={"height": 32, "width": 32}))
    model = cl.load("hf:net")
    inputs = torch.randn(2, 3, 32, 32)
    given = cl.attribute(model, inputs, target=3, signed=True)
    network = hf.AutoModelForImageClassification.from_pretrained("net").eval()
    if "Teacher" in json.loads(Path("net/config.json").read_text())["architectures"][0]:
        network = hf.DeiTForImageClassificationWithTeacher.from_pretrained("net").eval()
    wanted = grad_cam_by_hand(network, layer, inputs, lambda output: output.logits[:, 3], prefix)
    torch.testing.assert_close(given, wanted, atol=1e-5 * float(wanted.abs().max()), rtol=1e-4)


ENCODERS: dict[str, tuple[Callable[[], Any], str, int]] = {
    "DINOv2": (lambda: hf.Dinov2Model(hf.Dinov2Config(**VIT)), "encoder.layer.1.norm1", 1),
    "DINOv3": (
        lambda: hf.DINOv3ViTModel(hf.DINOv3ViTConfig(**VIT, num_register_tokens=4)),
        "model.layer.1.norm1",
        5,
    ),
    "SigLIP, attention pooling": (lambda: hf.SiglipVisionModel(hf.SiglipVisionConfig(**VIT)), "post_layernorm", 0),
    "CLIP": (lambda: hf.CLIPVisionModel(hf.CLIPVisionConfig(**VIT)), "encoder.layers.1.layer_norm1", 1),
}


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_map_of_an_embedding_equals_autograd_by_hand(here: Path, name: str) -> None:
    make, layer, prefix = ENCODERS[name]
    torch.manual_seed(0)
    network = make().eval()
    save(here / "net", network, hf.ViTImageProcessor(size={"height": 32, "width": 32}))
    model = cl.load("hf:net")
    inputs, other = torch.randn(2, 3, 32, 32), torch.randn(32)
    given = cl.attribute(model, inputs, target=lambda embedding: embedding @ other, signed=True)
    wanted = grad_cam_by_hand(network, layer, inputs, lambda output: output.pooler_output @ other, prefix)
    torch.testing.assert_close(given, wanted, atol=1e-5 * float(wanted.abs().max()), rtol=1e-4)
    assert model.labels == ()
    with pytest.raises(TargetError, match="embedding, not class scores"):
        cl.attribute(model, inputs, target=0)


def test_the_part_that_is_an_embedding_is_named(here: Path) -> None:
    """DINOv2's `pooler_output` is a view of the first of its tokens, which come before it in the output."""
    network = hf.Dinov2Model(hf.Dinov2Config(**VIT))
    save(here / "dino", network, hf.ViTImageProcessor(size={"height": 32, "width": 32}))
    choice = "\n".join(cl.layers(cl.load("hf:dino")).choice)
    assert "the part 'pooler_output' of the network's output, of shape (1, 32)" in choice


def test_a_missing_head_is_refused(here: Path) -> None:
    vit_folder(here / "vit")
    save(here / "encoder", hf.ViTModel(vit_config(), add_pooling_layer=False))
    (here / "encoder" / "model.safetensors").replace(here / "vit" / "model.safetensors")
    with pytest.raises(ModelError, match=r"2 of the weights of ViTForImageClassification are not in .*classifier.bias"):
        cl.load("hf:vit")


def test_a_pooler_that_was_not_trained_is_left_out(here: Path) -> None:
    save(
        here / "dino",
        hf.ViTModel(vit_config(), add_pooling_layer=False),
        hf.ViTImageProcessor(size={"height": 32, "width": 32}),
    )
    model = cl.load("hf:dino")
    assert not any("pooler" in name for name, _ in model.network.named_parameters())


def test_weights_in_a_pickle_are_read_without_code(here: Path, vit: Path) -> None:
    wanted = cl.load("hf:vit").weights_hash
    state = hf.ViTForImageClassification.from_pretrained(vit).state_dict()
    (vit / "model.safetensors").unlink()
    torch.save(state, vit / "pytorch_model.bin")
    assert cl.load("hf:vit").weights_hash == wanted


class Payload:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("RAN"),)


def test_code_in_a_pickle_is_refused_and_not_run(here: Path, vit: Path) -> None:
    (vit / "model.safetensors").unlink()
    torch.save({"classifier.weight": Payload()}, vit / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pytorch_model\.bin contains code, which Camlucida never runs"):
        cl.load("hf:vit")
    assert not Path("RAN").exists()


def test_code_of_a_repository_is_refused_and_not_run(here: Path, vit: Path) -> None:
    (vit / "net.py").write_text("import pathlib\npathlib.Path('RAN').touch()\n")
    auto_map = {"AutoConfig": "net.Config", "AutoModelForImageClassification": "net.Net"}
    edit(vit / "config.json", architectures=["Net"], auto_map=auto_map, model_type="new")
    with pytest.raises(ModelError, match=r"'Net', whose code lies in its repository\. Camlucida never runs code"):
        cl.load("hf:vit")
    edit(vit / "config.json", architectures=["ViTForImageClassification"], model_type="vit")
    assert cl.load("hf:vit").labels[1] == "goldfish"  # transformers has this class itself
    assert not Path("RAN").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"attn_implementation": "evil/kernel"}, "asks for attention code from 'evil/kernel', which is never run"),
        ({"_attn_implementation": {"a": "evil/kernel"}}, "asks for attention code from 'evil/kernel'"),
        ({"quantization_config": {"load_in_8bit": True}}, "quantised weights"),
        ({"model_type": "timm_wrapper"}, "is a model of timm. Use timm:local-dir:"),
        ({"model_type": None}, "has no model_type"),
        ({"model_type": "no_such"}, "cannot read its config.json"),
        ({"architectures": ["NoSuch"]}, "is 'NoSuch', which transformers .* does not have"),
        ({"architectures": ["ViTForMaskedImageModeling"]}, "ViTForMaskedImageModeling, a network for pretraining"),
        (
            {"architectures": ["OwlViTForObjectDetection"]},
            "OwlViTForObjectDetection, an object detector of a type that is not supported. hf: loads",
        ),
        ({"architectures": ["MaskFormerForInstanceSegmentation"]}, "a segmentation network"),
        ({"architectures": ["BertModel"]}, "is a BertModel. hf: loads image classifiers"),
        (
            {"hidden_size": 48},
            r"model\.safetensors does not fit config\.json: [0-9]+ weights of ViTFor.* have another shape",
        ),
        ({"hidden_size": "many"}, "cannot read its config.json"),
    ],
)
def test_other_configurations_are_refused(vit: Path, values: dict[str, Any], message: str) -> None:
    edit(vit / "config.json", **values)
    with pytest.raises(ModelError, match=message):
        cl.load("hf:vit")


@pytest.mark.filterwarnings("ignore::camlucida.errors.CheckpointWarning")  # it has no image processor either
def test_networks_for_images_and_texts_need_a_tokenizer(here: Path) -> None:
    text = {**SMALL, "vocab_size": 30, "max_position_embeddings": 8}
    save(here / "siglip", hf.SiglipModel(hf.SiglipConfig(vision_config=VIT, text_config=text)))
    with pytest.raises(ModelError, match=r"hf:siglip compares images with texts, and its tokenizer cannot be loaded"):
        cl.load("hf:siglip")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "hf:vit has no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json cannot be read"),
        (lambda folder: (folder / "config.json").write_text("[]"), "must contain an object, not list"),
        (lambda folder: (folder / "model.safetensors").unlink(), "not its weights: model.safetensors is missing"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"abc"), "hf:vit cannot be loaded"),
        (lambda folder: (folder / "preprocessor_config.json").write_text("{"), "image processor cannot be loaded"),
    ],
)
def test_damaged_folders_are_refused(vit: Path, damage: Callable[[Path], Any], message: str) -> None:
    damage(vit)
    with pytest.raises(ModelError, match=message):
        cl.load("hf:vit")


def test_a_missing_folder_is_named_with_the_nearest_one(here: Path, vit: Path) -> None:
    with pytest.raises(ModelError, match=r"hf:vitt: there is no such folder in .*Did you mean 'vit'\?"):
        cl.load("hf:vitt")
    with pytest.raises(ModelError, match="there is no such folder"):
        cl.load("hf:/no/where")
    with pytest.raises(ModelError, match="has the form owner/name"):
        cl.load("hf:")


def test_checkpoints_of_a_trainer_are_named(here: Path) -> None:
    vit_folder(here / "out" / "checkpoint-20")
    with pytest.raises(ModelError, match=r"Its folder checkpoint-20 has one: hf:out/checkpoint-20\."):
        cl.load("hf:out")


def test_a_folder_without_the_source_is_named(here: Path, vit: Path) -> None:
    with pytest.raises(ModelError, match=rf"'vit' is a folder that transformers saved. Use hf:{vit}\."):
        cl.load("vit")


def test_random_weights_need_only_the_configuration(here: Path) -> None:
    vit_config(architectures=["ViTForImageClassification"]).save_pretrained(here / "random")
    hf.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(here / "random")
    assert cl.load("hf:random", pretrained=False).labels[1] == "goldfish"
    with pytest.raises(ModelError, match="random weights with pretrained=False"):
        cl.load("hf:random")


def test_half_precision_weights_become_float32(here: Path) -> None:
    torch.manual_seed(0)
    network = hf.ViTForImageClassification(vit_config()).to(torch.bfloat16)
    save(here / "half", network, hf.ViTImageProcessor(size={"height": 32, "width": 32}))
    assert {p.dtype for p in cl.load("hf:half").network.parameters()} == {torch.float32}


def test_offline_without_the_files_fails_without_a_request(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *a, **k: pytest.fail("requested"))
    monkeypatch.setattr(hf.PreTrainedModel, "from_pretrained", lambda *a, **k: pytest.fail("loaded"))
    with pytest.raises(ModelError) as caught:
        cl.load("hf:google/vit-base-patch16-224")
    message = str(caught.value)
    assert "huggingface.co cannot be reached" in message
    assert "hf download google/vit-base-patch16-224 --local-dir vit-base-patch16-224" in message
    assert "use hf:/path/vit-base-patch16-224" in message
    assert huggingface_hub.constants.HF_HUB_CACHE in message


def fake_cache(monkeypatch: pytest.MonkeyPatch, cache: Path, files: Path, *, revision: str = "main") -> None:
    """Fill a cache of the hub as a download does."""
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    repository = cache / "models--owner--name"
    snapshot = repository / "snapshots" / "0123456789"
    snapshot.parent.mkdir(parents=True)
    files.rename(snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / revision).write_text("0123456789")


def test_a_cached_repository_needs_no_connection(here: Path, vit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_cache(monkeypatch, here / "cache", vit)
    monkeypatch.setattr(hugging_face_folder, "is_reachable", lambda host: pytest.fail("asked for a connection"))
    assert cl.load("hf:owner/name").labels[1] == "goldfish"


def test_a_repository_is_downloaded_file_by_file(here: Path, vit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError

    asked: list[tuple[str, str | None]] = []

    def download(repository: str, name: str, revision: str | None = None) -> str:
        assert repository == "owner/name"
        asked.append((name, revision))
        if not (vit / name).is_file():
            raise EntryNotFoundError(name)
        (here / "cached").mkdir(exist_ok=True)
        (here / "cached" / name).write_bytes((vit / name).read_bytes())
        return str(here / "cached" / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(hugging_face_folder, "is_reachable", lambda host: host == "huggingface.co")
    assert cl.load("hf:owner/name@v1").labels[1] == "goldfish"
    names = ["config.json", "preprocessor_config.json", "processor_config.json", "model.safetensors"]
    assert asked == [(name, "v1") for name in names]


def test_channels_of_a_bgr_network_are_reversed(here: Path) -> None:
    torch.manual_seed(0)
    config = hf.MobileViTConfig(image_size=64, hidden_sizes=[16, 24, 32], neck_hidden_sizes=[8, 8, 16, 16, 24, 32, 64])
    processor = hf.MobileViTImageProcessor(size={"shortest_edge": 72}, crop_size={"height": 64, "width": 64})
    save(here / "bgr", hf.MobileViTForImageClassification(config).eval(), processor)
    image, model = structured_image(100, 80), cl.load("hf:bgr")
    scores, _ = predict(model, model.preprocessing(image)[0][None])
    torch.testing.assert_close(scores, hugging_face_logits(Path("bgr"), image), atol=2e-3, rtol=1e-2)


def test_verbosity_is_restored(vit: Path) -> None:
    logging = hf.utils.logging
    logging.set_verbosity(logging.INFO)
    logging.enable_progress_bar()
    with pytest.raises(ModelError):
        cl.load("hf:nowhere")
    cl.load("hf:vit")
    assert logging.get_verbosity() == logging.INFO
    assert logging.is_progress_bar_enabled()


class ReversingProcessor:
    """Resizes to 32 × 32, normalises, and reverses the channels, all of which differ."""

    mean, std = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.4, 0.5, 0.6])

    def __call__(self, images: list[Image.Image], return_tensors: str) -> dict[str, Tensor]:
        resized = images[0].resize((32, 32), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(resized)).flip(2) / 255
        return {"pixel_values": ((pixels - self.mean) / self.std).permute(2, 0, 1)[None]}


def test_reversed_channels_are_a_channel_order() -> None:
    measured = measure_preprocessing(ReversingProcessor(), "hf:x").preprocessing
    assert measured.channel_order == "bgr"
    assert measured.mean == pytest.approx((0.1, 0.2, 0.3), abs=1e-6)
    assert measured.std == pytest.approx((0.4, 0.5, 0.6), abs=1e-6)
