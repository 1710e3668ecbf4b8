"""The plan of an evaluation: everything that determines its results, and its record in run.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from camlucida.attribution.request import check_layer, check_layer_spec, several_layers
from camlucida.errors import LayerError
from camlucida.evaluation.dataset_pass import DatasetPass
from camlucida.evaluation.metric_inputs import Explainer, MethodExplainer
from camlucida.evaluation.store import TARGET_POSITION, WHOLE_IMAGE_TARGETS
from camlucida.methods import find
from camlucida.metrics import Preset
from camlucida.models.image_targets import has_whole_image_classes

PART_IMAGES = 8
"""Number of images per part, which is the most that an interruption loses."""


@dataclass(frozen=True, eq=False)
class Plan(DatasetPass):
    """Everything that determines the results of an evaluation.

    Attributes:
        explainers: Methods and controls.
        presets: The metrics with their options.
        target: "predicted" or "true"; "all", or what `explain` takes, for targets of each image.
        seed: Seed of all random numbers.
        compared_pairs: Pairs of methods whose maps are compared with each other.
        batch_size: Number of images whose scores and maps are computed together, at most `PART_IMAGES`. Part of the
            record, since sums depend on it in the last digits.
    """

    explainers: tuple[Explainer, ...]
    presets: tuple[Preset, ...]
    target: str | int
    seed: int
    compared_pairs: tuple[tuple[str, str], ...] = ()
    batch_size: int = 1

    def record(self) -> dict[str, Any]:
        """Return the plan as stored in run.json. Equal records give equal results."""
        return {
            **super().record(),
            "exact": bool(getattr(self.data, "exact", False)),
            "methods": [self._description(explainer) for explainer in self.explainers],
            "metrics": {preset.name: _to_json(preset.settings) for preset in self.presets},
            "compared": [list(pair) for pair in self.compared_pairs],
            "target": self.target,
            "seed": self.seed,
            **({"batch_size": self.batch_size} if self.batch_size > 1 else {}),
        }

    def _description(self, explainer: Explainer) -> dict[str, Any]:
        """Return the description of an explainer.

        The maps of another class, and of random weights, are read at the box or region of the target, so that they know
        where it is.
        """
        described, targets = describe_explainer(explainer), self.model.image_targets
        if self.target not in WHOLE_IMAGE_TARGETS and targets is not None and has_whole_image_classes(targets):
            described |= {"knows": TARGET_POSITION} if hasattr(explainer, "base") else {}
        return described


def explainers_of(methods: Sequence[Any], layer: Any = None) -> tuple[MethodExplainer, ...]:
    """Return each method at its own layer ("grad_cam @ layer3"), or at each of the given layers.

    If a method is evaluated at several layers, the layer is part of its name. A method without a layer, or one that
    fuses all layers, is included once.

    Raises:
        LayerError: If a layer name may match several layers.
    """
    explainers: dict[tuple[str, Any], MethodExplainer] = {}
    layers = list(layer) if isinstance(layer, list | tuple) else [layer]
    for spec in methods:
        text, _, own_layer = spec.partition("@") if isinstance(spec, str) else (spec, "", "")
        method, own_layer = find(text.strip() if isinstance(text, str) else text), own_layer.strip()
        chosen_layers = [own_layer] if own_layer else layers
        if method.fuses_layers or not method.needs_layer:
            chosen_layers = [chosen_layers[0] if len(chosen_layers) == 1 else None]
        for chosen_layer in chosen_layers:
            check_layer(method, chosen_layer)
            check_layer_spec(chosen_layer)
            if several_layers(chosen_layer):
                raise LayerError(
                    f"{chosen_layer!r} may match several layers: give each by name, as listed by `camlucida layers`."
                )
            is_named = own_layer or (len(layers) > 1 and chosen_layer is not None)
            name = f"{method.name} @ {chosen_layer}" if is_named else method.name
            explainers[method.name, chosen_layer] = MethodExplainer(
                (method, method.with_options({})), chosen_layer, name
            )
    return tuple(explainers.values())


def describe_explainer(explainer: Explainer) -> dict[str, Any]:
    """Return the description of an explainer as stored in run.json."""
    if not isinstance(explainer, MethodExplainer):
        return {"name": explainer.name, "control": explainer.name, "knows": getattr(explainer, "knows", "nothing")}
    method, options = explainer.request
    return {"name": explainer.name, "method": method.name, "options": _to_json(options), "layer": explainer.layer}


def _to_json(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as they are after a round trip through JSON."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in options.items()}
