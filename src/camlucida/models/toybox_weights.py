"""The trained networks included in the package, made by scripts/train_toybox.py (metrics are in its log)."""

from __future__ import annotations

import json
from importlib.resources import as_file, files

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from camlucida.errors import ModelError, nearest
from camlucida.models.captions import toybox as captioner
from camlucida.models.detection.targets import DetectionTargets, detector_model
from camlucida.models.detection.toybox import ToyDetector
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing
from camlucida.models.segmentation.recognise import as_segmentation, is_segmentation_network
from camlucida.models.toybox_networks import ARCHITECTURES, build

NETWORKS: tuple[str, ...] = tuple(ARCHITECTURES)
"""The names of the classifiers and of the segmentation network that `load_network` accepts."""
DETECTORS = ("detector", "cleverhans_detector")
"""The names of the object detectors, which it accepts as well; the second one relies on a stamp beside objects."""
CAPTIONER = captioner.NAME
"""The name of the network that writes captions, which `load` accepts."""
DETECTOR_TARGETS = DetectionTargets(threshold=0.3, iou=0.5)
CLASSIFIERS: tuple[str, ...] = tuple(name for name in NETWORKS if name != "segmenter")
"""The names of the networks that return class scores of the whole image."""
DEFAULT = "resnet"


def load_network(name: str) -> tuple[nn.Module, dict[str, str]]:
    """Return a trained network in eval mode (float32, on the CPU), and the metadata of its file.

    The metadata contain, all as text: architecture, classes (JSON list), input_size (pixels), mean and std (JSON lists,
    RGB in 0..1), test_accuracy, seed, script, commit and trained_on.
    """
    with torch.device("meta"):  # initial values would be discarded and would advance torch's random generator
        network = _build(name)
    with as_file(files("camlucida.models") / "weights" / f"toybox_{name}.safetensors") as path:
        try:
            with safe_open(str(path), framework="pt") as stored:
                metadata = dict(stored.metadata() or {})
                state = {key: _to_float32(stored.get_tensor(key)) for key in stored.keys()}  # noqa: SIM118 (not a dict)
        except (OSError, SafetensorError) as error:
            raise ModelError(
                f"The weights of the built-in network {name!r} cannot be read from {path} ({error}). "
                f"Install camlucida again, or train them with scripts/train_toybox.py."
            ) from error
    network.load_state_dict(state, assign=True)
    return network.eval(), metadata


def _to_float32(tensor: Tensor) -> Tensor:
    """Return floats as float32 (the file stores half precision to be small) and counters unmodified."""
    return tensor.float() if tensor.is_floating_point() else tensor


def load(spec: str, pretrained: bool = True) -> Model:
    """Load a network of `NETWORKS`, such as `toybox` (the residual network), `toybox:vgg` or `toybox:segmenter`, the
    detector or the captioner (`models.captions.toybox`).
    """
    if spec == CAPTIONER:
        return captioner.load(pretrained)
    known = (*NETWORKS, *DETECTORS, CAPTIONER)
    if spec and spec not in known:
        raise ModelError(f"Unknown built-in network {spec!r}.{nearest(spec, known)} Known: {', '.join(known)}.")
    network, metadata = load_network(spec or DEFAULT)
    if not pretrained:
        network = _build(spec or DEFAULT).eval()
    size = int(metadata["input_size"])
    preprocess = Preprocessing(
        (size, size), None, "crop", tuple(json.loads(metadata["mean"])), tuple(json.loads(metadata["std"]))
    )
    labels = tuple(json.loads(metadata["classes"]))
    if spec in DETECTORS:
        return detector_model(network, preprocess, labels, DETECTOR_TARGETS, layer="layer4")
    model = Model(network, preprocess, labels)
    return as_segmentation(model) if is_segmentation_network(network) else model


def _build(name: str) -> nn.Module:
    """Return the untrained network of that name."""
    return ToyDetector() if name in DETECTORS else build(name)
