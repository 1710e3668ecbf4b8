"""Construction of models: `load` from a specification or file, `wrap` from an existing network."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.errors import ModelError, nearest
from camlucida.layer_names import LayerSpec, layer_names
from camlucida.models.detection.torchvision import TorchvisionDetector, wrap_detector
from camlucida.models.devices import AUTO, resolve_device
from camlucida.models.families import IMAGE_TEXT, WrapOptions, check_task_of_loaded, family_of
from camlucida.models.image_names import image_names, image_preprocessings
from camlucida.models.image_text import with_prompts
from camlucida.models.input_preprocessing import check_normalisation, input_preprocessing
from camlucida.models.labels import class_names
from camlucida.models.model import Model, Output
from camlucida.models.networks import as_network
from camlucida.models.preprocessing import make_preprocessing
from camlucida.models.segmentation.recognise import (
    MULTILABEL_SEGMENTATION,
    SEGMENTATION,
    as_segmentation,
    is_segmentation_network,
)
from camlucida.models.segmentation.targets import SegmentationTargets
from camlucida.models.sources import SpecificationLoader
from camlucida.models.volume_preprocessing import VolumePreprocessing
from camlucida.opaque_networks import OpaqueNetwork
from camlucida.option_types import MODEL_TASKS, ModelTask, Task
from camlucida.options import shown


def load(
    spec: str | os.PathLike[str],
    *,
    arch: str | None = None,
    labels: Sequence[str] | str | Path | None = None,
    pretrained: bool = True,
    trust_code: bool = False,
    task: ModelTask | None = None,
    probabilities: bool | None = None,
    device: str | torch.device = AUTO,
    prompts: Sequence[str] | None = None,
    template: str | Sequence[str] | None = None,
    **preprocess: Any,
) -> Model:
    """Load a model by name or from a file.

    Weights that are not cached are downloaded once, with a progress bar.

    Args:
        spec: One of the following. A `Path` is always a file or folder, even if its name is also that of a model.

            - resnet50, torchvision:resnet50@IMAGENET1K_V2, torchvision:fasterrcnn_resnet50_fpn: classifiers and
              object detectors of torchvision, with the preprocessing of their weights
            - timm:convnext_tiny.fb_in22k_ft_in1k, timm:local-dir:/path: timm (needs the extra `timm`)
            - hf:google/vit-base-patch16-224, hf:owner/name@revision, hf:/path: transformers, a repository of the
              Hugging Face hub or a folder that save_pretrained wrote (needs the extra `hf`); its code is never run
            - openclip:ViT-B-32, openclip:ViT-B-32@laion2b_s34b_b79k, openclip:ViT-B-32@/path/weights.safetensors:
              open_clip, image-text models, see `Model.with_prompts` (needs the extra `openclip`); `hf:` loads CLIP and
              SigLIP of transformers in the same way
            - toybox, toybox:vgg, toybox:detector: the networks included in this package
            - runs/dogs, runs/dogs/last.safetensors: the folder of a training run, or one of its weights files
            - weights.safetensors, run.pth: a checkpoint of the architecture `arch`; code is never unpickled
            - yolo11n.pt: a detector of ultralytics, whose file contains code: with trust_code=True only
            - model.onnx, scripted.pt, program.pt2: ONNX, TorchScript and torch.export, without accessible layers
            - http://127.0.0.1:8000/score: a server that scores images, see the documentation of black boxes
            - keras:ResNet50, model.keras, model.h5: Keras on torch or TensorFlow (needs the extra `keras`)
            - python:package.module:factory, python:path/to/file.py:factory: a function of the user without arguments
        arch: For a checkpoint: the specification of its architecture.
        labels: Class names, or a text file with one name per line; by default those stored with the weights.
        pretrained: Whether to load weights. If False, the weights are random and nothing is downloaded.
        trust_code: Whether a trusted run may name any architecture, such as python:…, a path or a model hub. It is then
            built as if the user had given it; by default a file may name only registered architectures. And whether
            the code in a checkpoint of ultralytics may run.
        task: "multiclass", "multilabel", "binary" or "regression", as in torchmetrics, or "segmentation" for class
            scores per pixel, "multilabel-segmentation" where the classes of a pixel do not exclude each other; None to
            recognise it.
        probabilities: Whether the network's output holds probabilities; None to recognise it. Like `task`, not for
            detectors and networks that write words, whose scores are known.
        device: Where the network runs: "cpu", "cuda", "cuda:1", "mps", or "auto" for the GPU if there is one. Inputs
            are moved there, and `attribute` returns its maps there. This version was never run on a GPU.
        prompts: For image-text models: texts that become the classes, as of `Model.with_prompts`.
        template: As of `Model.with_prompts`; with `prompts` only.
        **preprocess: Parameters of `make_preprocessing` that differ from the preprocessing of the weights.

    Returns:
        The model, with its network in eval mode.

    Raises:
        ModelError: If the model cannot be loaded; the message says what was expected, what was found and what to do.
        MissingExtra: If the source needs an optional dependency that is not installed.
    """
    requested: Any = spec
    if not isinstance(requested, str | os.PathLike):
        hint = " Use wrap() for a network." if isinstance(requested, nn.Module) else ""
        raise ModelError(f"load needs a name or a file, not {type(requested).__name__}.{hint}")
    if not isinstance(pretrained, bool):
        raise ModelError(f"pretrained must be True or False, not {shown(pretrained)}.")
    architecture: Any = arch
    if not isinstance(architecture, str | None):
        raise ModelError(
            f"arch must be the name of an architecture, such as 'resnet18', not {type(architecture).__name__}."
        )
    chosen = resolve_device(device)  # before weights are downloaded
    loader = SpecificationLoader(trust_code, preprocess.get("size"))
    model = (
        loader.from_spec(requested, arch, pretrained)
        if isinstance(requested, str)
        else loader.from_file(os.fsdecode(requested), arch)
    )
    if not (device == AUTO and _is_placed(model.network)):
        model = replace(model, network=model.network.to(chosen))
    check_normalisation(model, preprocess)
    if preprocess and _is_stored_without_preprocessing(model):
        model = replace(model, preprocessing=input_preprocessing(model.network, None, preprocess))
    elif preprocess:
        model = replace(model, preprocessing=make_preprocessing(model.preprocessing, **preprocess))
    if prompts is not None:
        model = with_prompts(model, prompts, "{}" if template is None else template)
    elif template is not None:
        raise ModelError("template= is what prompts are put into: give prompts= (--prompts) as well.")
    if labels is not None:
        model = _with_labels(model, class_names(labels))
    _check_model_task(task)
    check_task_of_loaded(model, task, probabilities)
    if _is_segmentation(task, _segments(model)):
        model = as_segmentation(model, multilabel=_is_multilabel(task))
    elif task is not None and isinstance(model.image_targets, SegmentationTargets):
        model = replace(model, output=None, image_targets=None)
    if task is not None or probabilities is not None:
        given = model.task if task is None else _of_scores(task)
        model = replace(model, task=given, probabilities=probabilities)
    return model


def _with_labels(model: Model, labels: tuple[str, ...]) -> Model:
    """Return a model with other class names; those of a detector of torchvision may name the background, too."""
    network = model.network
    if isinstance(network, TorchvisionDetector):
        named = wrap_detector(network.detector, labels, preprocess=model.preprocessing, name=model.spec)
        return replace(model, network=named.network, labels=named.labels, image_targets=named.image_targets)
    return replace(model, labels=labels)


def _of_scores(task: ModelTask | None) -> Task | None:
    """Return how class scores become probabilities; None, to recognise it, for a segmentation network."""
    if task == "multilabel-segmentation":
        return "multilabel"
    return None if task == "segmentation" else task


def _is_segmentation(task: ModelTask | None, is_known: bool) -> bool:
    """Return whether a task makes a model one of regions; `is_known` for a network that is known to segment."""
    return task in (SEGMENTATION, MULTILABEL_SEGMENTATION) or (task in (None, "multilabel") and is_known)


def _is_multilabel(task: ModelTask | None) -> bool:
    return task in ("multilabel", MULTILABEL_SEGMENTATION)


def _check_model_task(task: Any) -> None:
    """Raise `ModelError` for a task that is none of `ModelTask`."""
    if task is not None and not (isinstance(task, str) and task in MODEL_TASKS):
        hint = nearest(task, MODEL_TASKS) if isinstance(task, str) else ""
        raise ModelError(f"no task {shown(task)}.{hint} Known: {', '.join(MODEL_TASKS)}.")


def _segments(model: Model) -> bool:
    """Return whether a model is a segmentation network, of which the user names no part of the output."""
    known = isinstance(model.image_targets, SegmentationTargets)
    return known or (model.output is None and is_segmentation_network(model.network))


def _is_stored_without_preprocessing(model: Model) -> bool:
    """Return whether a model is a file or a server that says nothing of its preprocessing but the input size."""
    network = model.network
    return isinstance(network, OpaqueNetwork) and model.preprocessing == input_preprocessing(network, None, {})


def wrap(
    network: nn.Module | Callable[[Tensor], Any] | Any,
    *,
    preprocess: Any = None,
    labels: Sequence[str] | str | Path | None = None,
    layer: LayerSpec = None,
    output: Output = None,
    image: str | int | Sequence[str | int] | None = None,
    task: ModelTask | None = None,
    probabilities: bool | None = None,
    name: str = "",
    volume: VolumePreprocessing | None = None,
    tokenizer: Any = None,
    **numbers: Any,
) -> Model:
    """Make a model of an existing network. The network is never modified, and runs on the device that it is on.

    Args:
        network: The network, or something that computes class scores without accessible layers: a function from images
            `(b, c, H, W)`, as the preprocessing returns them (float32 tensors), to scores `(b, k)` as a tensor, an
            array or a list; an `onnxruntime.InferenceSession`; a TorchScript network; a
            `torch.export.ExportedProgram`. These are explained with the methods that need no layers, `occlusion` by
            default. Or a Keras model, whose preprocessing then follows from what it contains; or an object detector of
            torchvision, whose boxes then are targets, see the documentation of detection.
        preprocess: `weights.transforms()`, a Compose of Resize, CenterCrop, ToTensor and Normalize, or None. For
            several images that differ, a dict from their names to such values, or to dicts of numbers.
        labels: Class names in the order of the outputs, or a text file with one name per line.
        layer: The default layer (called `target_layer` in pytorch-grad-cam), by name, index or as a module of the
            network; by default it is chosen automatically.
        output: Which part of the output contains the class scores: a key, an index or a callable.
        image: For a network that takes several inputs: which of them is the image, by the name or the index of the
            parameter of `forward`; a list for several images, of which each is explained with the others held.
        task: How class scores become probabilities, in the words of torchmetrics: "multiclass" (softmax over the
            classes), "multilabel" or "binary" (a sigmoid per class), "regression" (a value without a probability).
            "segmentation" for class scores per pixel (b, k, h, w), "multilabel-segmentation" where the classes of a
            pixel do not exclude each other (a sigmoid per class; of known segmentation networks also "multilabel");
            `output` is then their key or index. None takes it from the network's configuration (`problem_type` in
            Hugging Face's) or recognises it.
        probabilities: Whether the output holds probabilities. None recognises it: a network that ends in a softmax or
            sigmoid is explained by the scores before it. False takes the output as scores in any case.
        name: The name to display.
        volume: How volumes become the network input, for networks of volumes (b, c, D, H, W): a `VolumePreprocessing`.
            The parameters of images are then not used.
        tokenizer: For a CLIP-like network of open_clip or transformers: its tokenizer, or its processor, which makes it
            an image-text model with prompts as classes and targets, see `Model.with_prompts`.
        **numbers: Parameters of `make_preprocessing` that replace or override `preprocess`: size, resize, mean, std,
            fit ("crop", "squash" or "letterbox"), interpolation and fill.

    Raises:
        ModelError: An argument is invalid, or has no meaning for a network of this family (`models.families`).
    """
    options = WrapOptions(
        preprocess, labels, layer, output, image, task, probabilities, name, volume, tokenizer, numbers
    )
    family = family_of(network)
    if family is not None and family.plain_with_output and output is not None:
        family = None
    if family is None and tokenizer is not None:
        family = IMAGE_TEXT
    if family is not None:
        family.check(network, options)
        return family.wrap(network, options)
    wrapped = as_network(network, "wrap needs a torch.nn.Module")
    images = image_names(wrapped, image)
    several = image_preprocessings(images, preprocess, **numbers) if isinstance(preprocess, dict) else {}
    preprocessing_ = several[images[0]] if several else input_preprocessing(wrapped, preprocess, numbers)
    names = _stored_labels(wrapped) if labels is None else class_names(labels)
    default = layer_names(wrapped, layer)
    _check_model_task(task)
    segments = _is_segmentation(task, output is None and is_segmentation_network(wrapped))
    model = Model(
        wrapped,
        preprocessing_,
        names,
        default,
        None if segments else output,
        name,
        _of_scores(task),
        probabilities,
        image=images,
        preprocessings=several,
        volume=volume,
    )
    return as_segmentation(model, output, multilabel=_is_multilabel(task)) if segments else model


def _stored_labels(network: nn.Module) -> tuple[str, ...]:
    """Return the class names that an opaque network comes with."""
    return network.labels if isinstance(network, OpaqueNetwork) else ()


def _is_placed(network: nn.Module) -> bool:
    """Return whether a network is on another device than the CPU, as a user's factory may have put it."""
    return any(parameter.device.type != "cpu" for parameter in network.parameters())


def as_model(model: Model | nn.Module | str) -> Model:
    """Return a model unmodified; load a spec, or wrap a bare network."""
    if isinstance(model, str):
        return load(model)
    if isinstance(model, Model):
        return model
    return wrap(as_network(model) if family_of(model) is None else model)
