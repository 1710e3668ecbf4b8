"""Objects that contain a network and are none themselves, recognised by the names of their classes, without imports."""

from __future__ import annotations

from typing import Any

from torch import nn

ATTRIBUTES = ("model", "network", "net", "module")
"""Names under which such objects hold their network."""


def wrapper_message(value: Any) -> str:
    """Return what to pass instead of an object that contains a network; empty if it is a network or contains none.

    The model classes of ultralytics (YOLO, RTDETR, SAM) are modules, but their call reads images, predicts and draws,
    and has no gradient.
    """
    name = type(value).__name__
    attribute = next((a for a in ATTRIBUTES if isinstance(getattr(value, a, None), nn.Module)), None)
    if any(cls.__module__.partition(".")[0] == "ultralytics" for cls in type(value).__mro__[:-1]) and (
        not isinstance(value, nn.Module) or _is_engine(value)
    ):
        inner = attribute or "model"
        return (
            f"{name} is the wrapper of ultralytics, which loads images, predicts and draws. Pass the network inside, "
            f"{name.lower()}.{inner}, and select its class scores: wrap({name.lower()}.{inner}, output=…)."
        )
    if isinstance(value, nn.Module) or attribute is None:
        return ""
    return f"{name} contains a network and is none itself: pass its attribute {attribute}."


def _is_engine(value: nn.Module) -> bool:
    """Return whether a module of ultralytics is a wrapper: those are in its packages `models` and `engine`.

    Networks and layers are in `nn`.
    """
    modules = [cls.__module__.split(".") for cls in type(value).__mro__ if cls.__module__.startswith("ultralytics")]
    return all(len(parts) < 2 or parts[1] in ("models", "engine") for parts in modules)
