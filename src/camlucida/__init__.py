"""Camlucida: explain what a vision model predicts, and test whether the explanation can be trusted.

    import camlucida as cl

    model = cl.load("resnet50")
    e = cl.explain(model, "photo.jpg", target="tiger cat")
    e.save("panel.png")
    maps = cl.attribute(model, batch, target=[281, 243], layer=["layer2", "layer4"])

Importing the package is fast, because torch is imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from camlucida.analysis import Embedding as Embedding
    from camlucida.analysis import Film as Film
    from camlucida.analysis import Mistakes as Mistakes
    from camlucida.analysis import embed as embed
    from camlucida.analysis import film as film
    from camlucida.analysis import mistakes as mistakes
    from camlucida.attribution.attribute import attribute as attribute
    from camlucida.attribution.explain import explain as explain
    from camlucida.attribution.explain import explain_each as explain_each
    from camlucida.attribution.explanation import Explanation as Explanation
    from camlucida.attribution.explanation_set import ExplanationSet as ExplanationSet
    from camlucida.attribution.layer_rows import LayerSummary as LayerSummary
    from camlucida.attribution.layer_summary import ArchitectureSummary as ArchitectureSummary
    from camlucida.attribution.layer_summary import layers as layers
    from camlucida.audits.audit_result import Audit as Audit
    from camlucida.audits.run import audit as audit
    from camlucida.data.images import load_image as load_image
    from camlucida.data.open import open_dataset as open_dataset
    from camlucida.data.video import Video as Video
    from camlucida.data.video import load_video as load_video
    from camlucida.data.volumes import Volume as Volume
    from camlucida.data.volumes import load_volume as load_volume
    from camlucida.errors import CamlucidaError as CamlucidaError
    from camlucida.evaluation import Evaluation as Evaluation
    from camlucida.evaluation.evaluate import evaluate as evaluate
    from camlucida.features.activations import Activations as Activations
    from camlucida.features.activations import activations as activations
    from camlucida.features.concept_result import Concepts as Concepts
    from camlucida.features.concepts import concepts as concepts
    from camlucida.features.top_images import TopImages as TopImages
    from camlucida.features.top_images import top_images as top_images
    from camlucida.methods import methods as list_methods
    from camlucida.models.load import load as load
    from camlucida.models.load import wrap as wrap
    from camlucida.models.model import Model as Model
    from camlucida.models.volume_preprocessing import VolumePreprocessing as VolumePreprocessing
    from camlucida.reliability import Trust as Trust
    from camlucida.reliability.trust import trust as trust
    from camlucida.sanity_checks import Sanity as Sanity
    from camlucida.sanity_checks import sanity as sanity
    from camlucida.training import Training as Training
    from camlucida.training import train as train

_HOME = {
    "Activations": "camlucida.features.activations:Activations",
    "ArchitectureSummary": "camlucida.attribution.layer_summary:ArchitectureSummary",
    "Audit": "camlucida.audits.audit_result:Audit",
    "CamlucidaError": "camlucida.errors:CamlucidaError",
    "Concepts": "camlucida.features.concept_result:Concepts",
    "Embedding": "camlucida.analysis:Embedding",
    "Evaluation": "camlucida.evaluation:Evaluation",
    "Explanation": "camlucida.attribution.explanation:Explanation",
    "ExplanationSet": "camlucida.attribution.explanation_set:ExplanationSet",
    "Film": "camlucida.analysis:Film",
    "LayerSummary": "camlucida.attribution.layer_rows:LayerSummary",
    "Mistakes": "camlucida.analysis:Mistakes",
    "Model": "camlucida.models.model:Model",
    "Sanity": "camlucida.sanity_checks:Sanity",
    "TopImages": "camlucida.features.top_images:TopImages",
    "Training": "camlucida.training:Training",
    "Trust": "camlucida.reliability:Trust",
    "Video": "camlucida.data.video:Video",
    "Volume": "camlucida.data.volumes:Volume",
    "VolumePreprocessing": "camlucida.models.volume_preprocessing:VolumePreprocessing",
    "activations": "camlucida.features.activations:activations",
    "attribute": "camlucida.attribution.attribute:attribute",
    "audit": "camlucida.audits.run:audit",
    "concepts": "camlucida.features.concepts:concepts",
    "embed": "camlucida.analysis:embed",
    "evaluate": "camlucida.evaluation:evaluate",
    "explain": "camlucida.attribution.explain:explain",
    "explain_each": "camlucida.attribution.explain:explain_each",
    "film": "camlucida.analysis:film",
    "layers": "camlucida.attribution.layer_summary:layers",
    "list_methods": "camlucida.methods:methods",
    "load": "camlucida.models.load:load",
    "load_image": "camlucida.data.images:load_image",
    "load_video": "camlucida.data.video:load_video",
    "load_volume": "camlucida.data.volumes:load_volume",
    "mistakes": "camlucida.analysis:mistakes",
    "open_dataset": "camlucida.data.open:open_dataset",
    "sanity": "camlucida.sanity_checks:sanity",
    "top_images": "camlucida.features.top_images:top_images",
    "train": "camlucida.training:train",
    "trust": "camlucida.reliability:trust",
    "wrap": "camlucida.models.load:wrap",
}
"""Every public name, with the module and name that it refers to."""

__all__ = [
    "load",
    "wrap",
    "Model",
    "explain",
    "explain_each",
    "Explanation",
    "ExplanationSet",
    "attribute",
    "layers",
    "LayerSummary",
    "ArchitectureSummary",
    "activations",
    "Activations",
    "top_images",
    "TopImages",
    "concepts",
    "Concepts",
    "trust",
    "Trust",
    "evaluate",
    "Evaluation",
    "audit",
    "Audit",
    "mistakes",
    "Mistakes",
    "embed",
    "Embedding",
    "film",
    "Film",
    "open_dataset",
    "train",
    "Training",
    "sanity",
    "Sanity",
    "list_methods",
    "load_image",
    "load_volume",
    "Volume",
    "VolumePreprocessing",
    "load_video",
    "Video",
    "CamlucidaError",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _HOME:
        raise AttributeError(f"module 'camlucida' has no attribute {name!r}")
    module, _, attribute = _HOME[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
