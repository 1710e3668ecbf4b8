"""Models of transformers from a folder or the Hugging Face hub; needs the extra `hf`.

Nothing in a folder is executed: the network's class comes from the installed transformers, weights are read without
unpickling code, and a model whose code lies in its repository is refused.
"""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from camlucida._optional import need
from camlucida.errors import CheckpointWarning, ModelError
from camlucida.models.captions import hugging_face as captions
from camlucida.models.detection import transformers as detectors
from camlucida.models.hugging_face_folder import CONFIG, PICKLES, add_files, model_folder, weights_file
from camlucida.models.hugging_face_preprocessing import WRAP_ADVICE, default_processor, measure_preprocessing
from camlucida.models.image_text_networks import image_text_model, is_image_text_network
from camlucida.models.model import Model
from camlucida.models.quoting import printable, quoted
from camlucida.models.segmentation.recognise import as_segmentation

CLASSIFIER = "ForImageClassification"
SEGMENTER = "ForSemanticSegmentation"
OTHER_TASKS = {
    "ObjectDetection": "an object detector of a type that is not supported",
    "Segmentation": "a segmentation network",
    "DepthEstimation": "a depth estimator",
    "MaskedImageModeling": "a network for pretraining, without class scores",
    "PreTraining": "a network for pretraining, without class scores",
    "VideoClassification": "a video classifier",
    "CausalLM": "a language model",
    "ConditionalGeneration": "a generator of text",
}
"""What the classes of transformers are, by a part of their names."""


def load(spec: str, pretrained: bool = True) -> Model:
    """Load a folder that `save_pretrained` wrote, or `owner/name` of the Hugging Face hub, optionally `@revision`."""
    folder = model_folder(spec, pretrained)
    name = f"hf:{spec}"
    transformers: Any = need("transformers", extra="hf", what=name)
    stored = _read_config(folder, name)
    _check_config(transformers, stored, folder, name)
    with _quiet(transformers):
        config = _config(transformers, folder, name)
        network_class = _network_class(transformers, stored, config, name)
        if network_class.__name__ in captions.KINDS:
            add_files(folder, spec, captions.TOKENIZER_FILES)
        network = _with_weights(network_class, config, folder, name) if pretrained else network_class(config)
        network = network.float().eval()
        processor = _processor(transformers, config, folder, name)
        if network_class.__name__ in captions.KINDS:
            return captions.load(network, processor, folder, name, transformers)
        if detectors.is_detector(network):
            return detectors.detection_model(network, detectors.preprocessing_of(processor, name))
        measured = measure_preprocessing(processor, name)
        if is_image_text_network(network):
            return image_text_model(network, _tokenizer(transformers, folder, name), measured.preprocessing)
    has_classes = network_class.__name__.endswith((CLASSIFIER, SEGMENTER))
    model = Model(network, measured.preprocessing, detectors.class_labels(config) if has_classes else ())
    return as_segmentation(model) if network_class.__name__.endswith(SEGMENTER) else model


def _read_config(folder: Path, name: str) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{name}: {CONFIG} cannot be read: {printable(error, 200)}.") from None
    if not isinstance(config, dict):
        raise ModelError(f"{name}: {CONFIG} must contain an object, not {type(config).__name__}.")
    return config


def _check_config(transformers: Any, stored: dict[str, Any], folder: Path, name: str) -> None:
    """Refuse what would run code, access the network, or belongs to another library."""
    names = [quoted(one) for one in _architectures(stored)] or ["an architecture"]
    known = any(_class_named(transformers, one) is not None for one in _architectures(stored))
    if "auto_map" in stored and not known:
        raise ModelError(
            f"{name} is {names[0]}, whose code lies in its repository. Camlucida never runs code of a repository. "
            "If you trust it, load it in Python with trust_remote_code=True, and pass wrap(network)."
        )
    model_type = stored.get("model_type")
    if model_type == "timm_wrapper" or (model_type is None and isinstance(stored.get("architecture"), str)):
        raise ModelError(f"{name} is a model of timm. Use timm:local-dir:{folder}, or timm:hf-hub:owner/name.")
    if not isinstance(model_type, str):
        raise ModelError(f"{name}: {CONFIG} has no model_type, so it is not a model of transformers.")
    if "quantization_config" in stored:
        raise ModelError(f"{name} has quantised weights, which have no gradient. Load the ones it was made of.")
    if kernel := next((value for value in _attention_kernels(stored) if "/" in value), None):
        raise ModelError(f"{name}: {CONFIG} asks for attention code from {quoted(kernel)}, which is never run.")


def _attention_kernels(stored: Any) -> Iterator[str]:
    """Yield the names of attention implementations in a configuration and the ones inside it."""
    if not isinstance(stored, dict):
        return
    for key, value in stored.items():
        if "attn_implementation" in key:
            yield from (str(one) for one in (value.values() if isinstance(value, dict) else [value]))
        else:
            yield from _attention_kernels(value)


def _architectures(stored: dict[str, Any]) -> list[str]:
    names = stored.get("architectures")
    return [one for one in names if isinstance(one, str)] if isinstance(names, list) else []


def _class_named(transformers: Any, name: str) -> Any:
    """Return the network class of that name in transformers; None if there is none."""
    found = getattr(transformers, name, None) if name.isidentifier() else None
    is_network = isinstance(found, type) and issubclass(found, transformers.PreTrainedModel)
    return found if is_network else None


def _config(transformers: Any, folder: Path, name: str) -> Any:
    try:
        return transformers.AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # unknown types, values of a wrong type
        raise ModelError(
            f"{name}: transformers {transformers.__version__} cannot read its {CONFIG}: {_one_line(error)}"
        ) from None


def _network_class(transformers: Any, stored: dict[str, Any], config: Any, name: str) -> Any:
    """Return the class of a classifier or encoder, which takes images first."""
    names = _architectures(stored)
    classes = [cls for one in names if (cls := _class_named(transformers, one)) is not None]
    if not classes and not names:
        mapping = transformers.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING
        if type(config) in mapping:
            found = mapping[type(config)]
            classes = [found[0] if isinstance(found, tuple) else found]
    if not classes:
        what = quoted(names[0]) if names else f"of the type {quoted(stored.get('model_type'))}"
        raise ModelError(
            f"{name} is {what}, which transformers {transformers.__version__} does not have as an image network."
        )
    chosen = next((cls for cls in classes if CLASSIFIER in cls.__name__), classes[0])
    kind = chosen.__name__
    if kind in captions.KINDS:
        return chosen
    if hasattr(config, "text_config") and CLASSIFIER not in kind:
        if hasattr(chosen, "get_image_features") and hasattr(chosen, "get_text_features"):
            return chosen
        raise ModelError(
            f"{name} is a {kind}, which compares images with texts, and has no classes of its own. Save its vision "
            "part: model.vision_model.save_pretrained(folder), or pass wrap() a module that computes the similarities."
        )
    if kind.endswith(SEGMENTER) and _takes_images(chosen):
        return chosen
    task = next((words for part, words in OTHER_TASKS.items() if part in kind), None)
    is_encoder = kind.endswith(("Model", "ModelWithProjection"))
    if kind in detectors.DETECTORS:
        return chosen
    if task is None and (CLASSIFIER in kind or is_encoder) and _takes_images(chosen):
        return chosen
    raise ModelError(
        f"{name} is a {kind}{f', {task}' if task else ''}. hf: loads image classifiers (…{CLASSIFIER}), segmentation "
        f"networks (…{SEGMENTER}), encoders of images (…Model) and detectors ({', '.join(detectors.FAMILIES)}). For "
        "other networks: "
        f"wrap(transformers.{kind}.from_pretrained(…), output=…)."
    )


def _takes_images(network_class: Any) -> bool:
    parameters = list(inspect.signature(network_class.forward).parameters)
    return len(parameters) > 1 and parameters[1] == "pixel_values"


def _with_weights(network_class: Any, config: Any, folder: Path, name: str) -> nn.Module:
    """Return the network with all of its weights from the folder."""
    network, report = _from_pretrained(network_class, config, folder, name)
    missing = sorted(report["missing_keys"])
    if missing and all(".pooler." in f".{key}" for key in missing) and CLASSIFIER not in network_class.__name__:
        # A pooler that was never trained; without it, the network returns its tokens only.
        network, report = _from_pretrained(network_class, config, folder, name, add_pooling_layer=False)
        missing = sorted(report["missing_keys"])
    if unfit := sorted(str(key[0] if isinstance(key, tuple) else key) for key in report.get("mismatched_keys", ())):
        raise ModelError(
            f"{name}: {weights_file(folder)} does not fit {CONFIG}: {len(unfit)} weights of {network_class.__name__} "
            f"have another shape, such as {printable(unfit[0])}. Pass a folder whose files belong together."
        )
    if errors := list(report.get("error_msgs", ())):
        raise ModelError(f"{name} cannot be loaded: {' '.join(printable(errors[0], 400).split())}")
    if not missing:
        return network
    head = " They are its head: the folder contains an encoder that was not trained for classes."
    raise ModelError(
        f"{name}: {len(missing)} of the weights of {network_class.__name__} are not in {weights_file(folder)}, such as "
        f"{printable(missing[0])}, and would be random.{head if _is_head(missing) else ''} "
        "Pass the folder of the trained network, or use pretrained=False for random weights."
    )


def _is_head(keys: list[str]) -> bool:
    return bool(keys) and all(any(word in key for word in ("classifier", "head", "score", "fc")) for key in keys)


def _from_pretrained(
    network_class: Any, config: Any, folder: Path, name: str, **options: Any
) -> tuple[nn.Module, dict[str, Any]]:
    try:
        network, report = network_class.from_pretrained(
            str(folder),
            config=config,
            local_files_only=True,
            use_safetensors=weights_file(folder) not in PICKLES,
            weights_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are reported, and refused in a sentence
            **options,
        )
    except Exception as error:  # damaged files, pickled code, shapes that do not fit
        if "WeightsUnpickler" in str(error) or "Weights only load failed" in str(error):
            raise ModelError(
                f"{name}: {weights_file(folder)} contains code, which Camlucida never runs, or is damaged. Save the "
                "weights as safetensors: network.save_pretrained(folder)."
            ) from None
        raise ModelError(f"{name} cannot be loaded: {_one_line(error)}") from None
    return network, report


def _processor(transformers: Any, config: Any, folder: Path, name: str) -> Any:
    """Return the image processor in the folder, or the default one of the network with a warning."""
    try:
        return transformers.AutoImageProcessor.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # of any type for a missing, unknown or damaged file
        if any((folder / file).is_file() for file in ("preprocessor_config.json", "processor_config.json")):
            if "trust_remote_code" in str(error):
                raise ModelError(
                    f"{name}: the code of its image processor lies in its repository. Camlucida never runs code of a "
                    f"repository. {WRAP_ADVICE}"
                ) from None
            raise ModelError(f"{name}: its image processor cannot be loaded: {_one_line(error)}") from None
    processor = default_processor(transformers, config)
    if processor is None:
        raise ModelError(
            f"{name} has no preprocessor_config.json, so how images are prepared is unknown. Save it beside the model: "
            "processor.save_pretrained(folder)."
        )
    warnings.warn(
        f"{name} has no preprocessor_config.json: images are prepared by the defaults of {type(processor).__name__}. "
        "If it was trained otherwise, save its processor beside the model: processor.save_pretrained(folder).",
        CheckpointWarning,
        stacklevel=2,
    )
    return processor


def _tokenizer(transformers: Any, folder: Path, name: str) -> Any:
    """Return the tokenizer in the folder."""
    try:
        return transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # of any type for a missing, unknown or damaged file
        raise ModelError(
            f"{name} compares images with texts, and its tokenizer cannot be loaded: {_one_line(error)} Save it beside "
            "the model: tokenizer.save_pretrained(folder)."
        ) from None


def _one_line(error: Exception) -> str:
    return " ".join(printable(error, 400).split())[:300] or type(error).__name__


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Silence the logging and the progress bars of transformers, and restore them."""
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
