"""Camlucida: see why a vision model decided, and whether to believe the picture of it.

    import camlucida as cl

    model = cl.load("resnet50")
    e = cl.explain(model, "photo.jpg", target="tiger cat")
    e.save("panel.png")
    maps = cl.attribute(model, batch, target=[281, 243], layer=["layer2", "layer4"])

Importing this is quick: torch is imported when something is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from camlucida.analysing import Embedding as Embedding
    from camlucida.analysing import Film as Film
    from camlucida.analysing import Mistakes as Mistakes
    from camlucida.analysing import embed as embed
    from camlucida.analysing import film as film
    from camlucida.analysing import mistakes as mistakes
    from camlucida.attribution import attribute as attribute
    from camlucida.channels import Activations as Activations
    from camlucida.channels import activations as activations
    from camlucida.data.images import load_image as load_image
    from camlucida.data.sources import open_dataset as open_dataset
    from camlucida.errors import CamlucidaError as CamlucidaError
    from camlucida.evaluation import Evaluation as Evaluation
    from camlucida.evaluation import evaluate as evaluate
    from camlucida.excitation import TopImages as TopImages
    from camlucida.excitation import top_images as top_images
    from camlucida.explaining import explain as explain
    from camlucida.explaining import explain_each as explain_each
    from camlucida.explanation import Explanation as Explanation
    from camlucida.explanations import ExplanationSet as ExplanationSet
    from camlucida.factorisation import concepts as concepts
    from camlucida.features.concept_result import Concepts as Concepts
    from camlucida.methods import methods as list_methods
    from camlucida.models.load import load as load
    from camlucida.models.load import wrap as wrap
    from camlucida.models.model import Model as Model
    from camlucida.sanity_checks import Sanity as Sanity
    from camlucida.sanity_checks import sanity as sanity
    from camlucida.training import Training as Training
    from camlucida.training import train as train
    from camlucida.trusting import Trust as Trust
    from camlucida.trusting import trust as trust

_HOME = {
    "Activations": "camlucida.channels:Activations",
    "CamlucidaError": "camlucida.errors:CamlucidaError",
    "Concepts": "camlucida.features.concept_result:Concepts",
    "Embedding": "camlucida.analysing:Embedding",
    "Evaluation": "camlucida.evaluation:Evaluation",
    "Explanation": "camlucida.explanation:Explanation",
    "Explanations": "camlucida.explanations:Explanations",
    "Film": "camlucida.analysing:Film",
    "Mistakes": "camlucida.analysing:Mistakes",
    "Model": "camlucida.models.model:Model",
    "Sanity": "camlucida.sanity_checks:Sanity",
    "TopPictures": "camlucida.excitation:TopPictures",
    "Training": "camlucida.training:Training",
    "Trust": "camlucida.trusting:Trust",
    "activations": "camlucida.channels:activations",
    "attribute": "camlucida.attribution:attribute",
    "concepts": "camlucida.factorisation:concepts",
    "embed": "camlucida.analysing:embed",
    "evaluate": "camlucida.evaluation:evaluate",
    "explain": "camlucida.explaining:explain",
    "explain_each": "camlucida.explaining:explain_each",
    "film": "camlucida.analysing:film",
    "list_methods": "camlucida.methods:methods",
    "load": "camlucida.models.load:load",
    "load_image": "camlucida.data.images:load_image",
    "mistakes": "camlucida.analysing:mistakes",
    "open_dataset": "camlucida.data.sources:open_dataset",
    "sanity": "camlucida.sanity_checks:sanity",
    "top_pictures": "camlucida.excitation:top_pictures",
    "train": "camlucida.training:train",
    "trust": "camlucida.trusting:trust",
    "wrap": "camlucida.models.load:wrap",
}
"""Every public name, and the module and name it stands for."""

__all__ = [
    "load",
    "wrap",
    "Model",
    "explain",
    "explain_each",
    "Explanation",
    "ExplanationSet",
    "attribute",
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
    "CamlucidaError",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'camlucida' has no attribute {name!r}")
    module, _, attribute = _HOME[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
