"""The graph of a Keras model with a `call` of its own, and the shape of its images."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from camlucida.errors import ModelError
from camlucida.models.keras.graph import Graph, Slot, Step, traced_graph
from camlucida.models.keras.shells import all_layers


def graph_of_subclassed(keras: ModuleType, model: Any) -> tuple[Graph, str]:
    """Return the graph of a model with a `call` of its own, and a hint for errors about its layers."""
    shape = _recorded_input_shape(model)
    symbol = keras.KerasTensor((None, *shape[1:]), dtype=keras.config.floatx(), name="images")
    try:
        graph = traced_graph(keras, model, [symbol], {})
        return Graph(
            (("images", shape[1:], str(symbol.dtype)),),
            graph.input_slots,
            graph.steps,
            graph.output,
            graph.n_slots,
            True,
        ), ""
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
    step = Step(model, (Slot(0),), {}, (1,), (0,), (symbol,))
    hint = (
        f" The `call` of the Keras model {model.name!r} uses more than layers, operators and keras.ops, so its layers "
        f"cannot be observed ({reason}). Methods on the pixels run: occlusion, rise, gradient."
    )
    return Graph((("images", shape[1:], str(symbol.dtype)),), (0,), (step,), Slot(1), 2), hint


def _recorded_input_shape(model: Any) -> tuple[Any, ...]:
    """Return the shape of the images that a subclassed model was built for, with free sides if these are not known."""
    shape = _recorded_shape(model)
    if shape is not None:
        return shape
    for layer in all_layers(model)[1:]:  # Keras does not record it where `call` cannot be traced
        shape = _recorded_shape(layer)
        if shape is not None:
            first = getattr(layer, "data_format", None) == "channels_first"
            return (None, shape[1], None, None) if first else (None, None, None, shape[3])
    raise ModelError(
        f"the Keras model {model.name!r} defines its own `call`, and the shape of its images is not recorded: call "
        "it once on a batch of images, and let it take one tensor (b, h, w, c)."
    )


def _recorded_shape(layer: Any) -> tuple[Any, ...] | None:
    shapes = list((vars(layer).get("_build_shapes_dict") or {}).values())
    shape = shapes[0] if len(shapes) == 1 else None
    is_image = isinstance(shape, list | tuple) and len(shape) == 4 and all(isinstance(s, int | None) for s in shape)
    return tuple(shape) if is_image and shape is not None else None
