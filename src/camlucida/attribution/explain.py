"""The entry points: explain the predictions of a model for one image, or for many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

from torch import Tensor, nn

from camlucida.attribution.error_context import error_context
from camlucida.attribution.explain_image_targets import explained_both_ways
from camlucida.attribution.explain_many import explain_requests
from camlucida.attribution.explain_request import explained, explained_batch
from camlucida.attribution.explanation import Explanation
from camlucida.attribution.explanation_set import ExplanationSet
from camlucida.attribution.load_input import ImageInput, iterated
from camlucida.attribution.load_volume_input import is_batch
from camlucida.attribution.method_choice import or_default, reason_of
from camlucida.attribution.request import AttributionRequest, MethodSpec
from camlucida.engine import LayerSpec
from camlucida.engine.run_options import Precision
from camlucida.errors import CamlucidaError, TargetError
from camlucida.layer_names import layer_names
from camlucida.models.load import as_model
from camlucida.models.model import Model
from camlucida.options import OptionValue
from camlucida.targets import TargetSpec
from camlucida.types import ProgressCallback


@overload  # a str is a Sequence[str] too: this one comes first
def explain(  # type: ignore[overload-overlap]
    model: Model | nn.Module | str,
    image: ImageInput | Mapping[str, Any],
    *,
    target: TargetSpec = None,
    like: None = None,
    layer: LayerSpec = None,
    method: MethodSpec | None = None,
    score: str = "logit",
    colour: bool = False,
    precision: Precision = "exact",
    batch_size: int | None = None,
    progress: ProgressCallback | None = None,
    **options: OptionValue,
) -> Explanation: ...


@overload
def explain(
    model: Model | nn.Module | str,
    image: ImageInput | Mapping[str, Any],
    *,
    target: Sequence[TargetSpec],
    like: None = None,
    layer: LayerSpec | Sequence[LayerSpec] = None,
    method: MethodSpec | Sequence[MethodSpec] | None = None,
    score: str = "logit",
    colour: bool = False,
    precision: Precision = "exact",
    batch_size: int | None = None,
    progress: ProgressCallback | None = None,
    **options: OptionValue,
) -> ExplanationSet: ...


@overload
def explain(
    model: Model | nn.Module | str,
    image: ImageInput | Mapping[str, Any],
    *,
    target: TargetSpec | Sequence[TargetSpec] = None,
    like: None = None,
    layer: Sequence[LayerSpec],
    method: MethodSpec | Sequence[MethodSpec] | None = None,
    score: str = "logit",
    colour: bool = False,
    precision: Precision = "exact",
    batch_size: int | None = None,
    progress: ProgressCallback | None = None,
    **options: OptionValue,
) -> ExplanationSet: ...


@overload
def explain(
    model: Model | nn.Module | str,
    image: ImageInput | Mapping[str, Any],
    *,
    target: TargetSpec | Sequence[TargetSpec] = None,
    like: None = None,
    layer: LayerSpec | Sequence[LayerSpec] = None,
    method: Sequence[MethodSpec],
    score: str = "logit",
    colour: bool = False,
    precision: Precision = "exact",
    batch_size: int | None = None,
    progress: ProgressCallback | None = None,
    **options: OptionValue,
) -> ExplanationSet: ...


@overload
def explain(
    model: Model | nn.Module | str,
    image: ImageInput,
    *,
    target: None = None,
    like: ImageInput,
    layer: LayerSpec | Sequence[LayerSpec] = None,
    method: MethodSpec | Sequence[MethodSpec] | None = None,
    score: str = "logit",
    colour: bool = False,
    precision: Precision = "exact",
    batch_size: int | None = None,
    progress: ProgressCallback | None = None,
    **options: OptionValue,
) -> ExplanationSet: ...


def explain(
    model: Model | nn.Module | str,
    image: ImageInput | Mapping[str, Any],
    *,
    target: TargetSpec | Sequence[TargetSpec] = None,
    like: ImageInput | None = None,
    layer: LayerSpec | Sequence[LayerSpec] = None,
    method: MethodSpec | Sequence[MethodSpec] | None = None,
    score: str = "logit",
    colour: bool = False,
    precision: Precision = "exact",
    batch_size: int | None = None,
    progress: ProgressCallback | None = None,
    **options: OptionValue,
) -> Explanation | ExplanationSet | list[Explanation | ExplanationSet]:
    """Explain what a model predicts for one image.

    Args:
        model: From `load` or `wrap`, a spec for `load`, or a bare network (then 224 px and ImageNet's normalisation).
        image: A path, file, bytes, Pillow image or array. Beside grey, RGB and RGBA arrays, an array `(h, w, c)` for a
            network of other c channels (multispectral), displayed as RGB of its first three bands. A tensor is a
            network input, normalised as the network requires: `(c, H, W)` is one image, `(b, c, H, W)` a batch. For
            networks of volumes a NIfTI file, a DICOM file or folder, a `Volume`, an array or a tensor
            `(b, c, D, H, W)`; for those of videos a `Video` from `load_video`. For a network that takes several inputs,
            a dict of them by name: images (`wrap(image=…)` names them), and tensors with a batch axis of 1, flags and
            None, which are held.
        target: What to explain: None for the predicted class, a name ("tiger cat"), an index, "top3",
            "A rather than B", "not A" (the negative evidence), any callable; a list for several. Detectors: "box 3",
            "dog at 120,80", None for every detection; segmentation networks: "class:bus", "class:bus at 120,80";
            prompts: "text:a dog", "text:a dog rather than a cat", "text:a dog among a cat, a car"; the similarity to
            an image: "like:b.jpg", "like:b.jpg rather than c.jpg"; captions: "word 2".
        like: Instead of a target, a second image: what makes the two images similar is explained both ways, on `image`
            and on `like`. The score is the cosine of their embeddings, of which the other is held fixed: the output of
            networks that return an embedding (metric learning, faces, DINO, CLIP), and the input of the last linear
            layer of classifiers.
        layer: A name, a glob ("layer?"), an index, "all", a module (`network.layer4`), None for the default; a list for
            several. Called `target_layer` in pytorch-grad-cam and `layer` in Captum; transformers need no
            `reshape_transform`.
        method: Name of a method, or an expression with combinators, "smooth(positive(hires_cam), n=4)"; a list for
            several. None for grad_cam; hires_cam for the boxes of a detector and the regions of a segmentation network,
            layer_cam for words; occlusion where the layers of the model cannot be accessed (a function, an ONNX Runtime
            session).
        score: Score of a class: "logit" (as in the papers), "probability" or "log_probability".
        colour: Whether the explanations also hold the signed map of every colour channel, as the figures of the papers
            on guided backpropagation and Guided Grad-CAM show it: `Explanation.colour` and `colour_image`. Methods
            with an option `reduce` have it.
        precision: "bf16" runs the network in bfloat16 where a method runs it on many inputs without gradients
            (Score-CAM and its variants, occlusion, RISE, LIME, KernelSHAP). It is about twice as fast on processors
            with bfloat16 units, and slower on others. Scores differ by about 1 %; maps are computed in float32.
        batch_size: Maximum number of inputs that such methods run at once, which limits memory. None chooses it for
            speed.
        progress: Called as `progress(done, total)` by methods that run the network many times.
        **options: Options of the method, as in `explain(model, image, method="rise", n=500)`. With several methods,
            each receives the options that it has.

    Returns:
        An `Explanation`; or an `ExplanationSet`, from one run of the network, where a list of targets, layers or
        methods was given, "top3" or a glob. For a batch, a list with one of these per image. For a network that takes
        several images, an `ExplanationSet` with the explanations of each: `explanations["left"]`.

    Raises:
        CamlucidaError: The request is invalid, or the image cannot be explained; the message names model and image.
    """
    wrapped = as_model(model)
    with error_context(wrapped, image):
        request = AttributionRequest.of(
            target=target,
            layer=layer_names(wrapped.network, layer),
            method=or_default(method, wrapped),
            method_reason=reason_of(method, wrapped),
            score=score,
            options=options,
            precision=precision,
            batch_size=batch_size,
            progress=progress,
            colour=colour,
        )
    if like is not None:
        if target is not None:
            raise TargetError("like= is a target of its own, the similarity to an image: leave target= out.")
        if isinstance(image, Mapping):
            raise TargetError("like= compares two images, and here is a dict of inputs.")
        return explained_both_ways(wrapped, image, like, request)
    if is_batch(wrapped, image):
        assert isinstance(image, Tensor)
        return explained_batch(wrapped, image, request)
    return explained(wrapped, image, request)


@overload  # a str is a Sequence[str] too: this one comes first
def explain_each(  # type: ignore[overload-overlap]
    model: Model | nn.Module | str,
    images: Iterable[ImageInput],
    *,
    target: TargetSpec = None,
    layer: LayerSpec = None,
    method: MethodSpec | None = None,
    score: str = "logit",
    colour: bool = False,
    precision: Precision = "exact",
    batch_size: int | None = None,
    progress: ProgressCallback | None = None,
    **options: OptionValue,
) -> Iterator[tuple[ImageInput, Explanation | CamlucidaError]]: ...


@overload
def explain_each(
    model: Model | nn.Module | str,
    images: Iterable[ImageInput],
    *,
    target: Sequence[TargetSpec],
    layer: LayerSpec | Sequence[LayerSpec] = None,
    method: MethodSpec | Sequence[MethodSpec] | None = None,
    score: str = "logit",
    colour: bool = False,
    precision: Precision = "exact",
    batch_size: int | None = None,
    progress: ProgressCallback | None = None,
    **options: OptionValue,
) -> Iterator[tuple[ImageInput, ExplanationSet | CamlucidaError]]: ...


@overload
def explain_each(
    model: Model | nn.Module | str,
    images: Iterable[ImageInput],
    *,
    target: TargetSpec | Sequence[TargetSpec] = None,
    layer: Sequence[LayerSpec],
    method: MethodSpec | Sequence[MethodSpec] | None = None,
    score: str = "logit",
    colour: bool = False,
    precision: Precision = "exact",
    batch_size: int | None = None,
    progress: ProgressCallback | None = None,
    **options: OptionValue,
) -> Iterator[tuple[ImageInput, ExplanationSet | CamlucidaError]]: ...


@overload
def explain_each(
    model: Model | nn.Module | str,
    images: Iterable[ImageInput],
    *,
    target: TargetSpec | Sequence[TargetSpec] = None,
    layer: LayerSpec | Sequence[LayerSpec] = None,
    method: Sequence[MethodSpec],
    score: str = "logit",
    colour: bool = False,
    precision: Precision = "exact",
    batch_size: int | None = None,
    progress: ProgressCallback | None = None,
    **options: OptionValue,
) -> Iterator[tuple[ImageInput, ExplanationSet | CamlucidaError]]: ...


def explain_each(
    model: Model | nn.Module | str,
    images: Iterable[ImageInput],
    *,
    target: TargetSpec | Sequence[TargetSpec] = None,
    layer: LayerSpec | Sequence[LayerSpec] = None,
    method: MethodSpec | Sequence[MethodSpec] | None = None,
    score: str = "logit",
    colour: bool = False,
    precision: Precision = "exact",
    batch_size: int | None = None,
    progress: ProgressCallback | None = None,
    **options: OptionValue,
) -> Iterator[tuple[ImageInput, Explanation | ExplanationSet | CamlucidaError]]:
    """Explain many images.

    The images of a list are explained in batches, each with one run of the network, where every map takes one run and
    the targets are classes. The size of a batch follows from 1 GiB of memory: its images, activations and gradients, at
    most 16 images on a CPU and 128 on a GPU. The maps of a batch and of its images alone differ by rounding; a network
    for which they differ by more gets the images one after the other, which is verified in the first batch.

    Args:
        model: As of `explain`; loaded once.
        images: Paths, files, Pillow images or arrays. The files of a list are read while earlier ones are explained; an
            iterator is consumed one image at a time.
        target: As of `explain`.
        layer: As of `explain`.
        method: As of `explain`.
        score: As of `explain`.
        colour: As of `explain`.
        precision: As of `explain`.
        batch_size: Maximum number of images, and of inputs as of `explain`, that run at once.
        progress: As of `explain`.
        **options: As of `explain`.

    Yields:
        Each image with its explanation, or with the error where it cannot be explained.

    Raises:
        CamlucidaError: At once, for a model that cannot be loaded or a request that no image can fulfil.
    """
    wrapped = as_model(model)
    request = AttributionRequest.of(
        target=target,
        layer=layer_names(wrapped.network, layer),
        method=or_default(method, wrapped),
        method_reason=reason_of(method, wrapped),
        score=score,
        options=options,
        precision=precision,
        batch_size=batch_size,
        progress=progress,
        colour=colour,
    )
    checked = iterated(images)
    return explain_requests(wrapped, images if isinstance(images, Sequence) else checked, request)
