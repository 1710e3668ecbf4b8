"""Methods in the app where a model has no accessible layers: which are offered, and which is the default.

The front end starts with grad_cam. For a model that cannot run it, that name stands for the model's own default; the
response names the method that was used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from camlucida.app.app_state import Page
from camlucida.app.model_entry import Served
from camlucida.attribution.method_choice import DEFAULT_METHOD, applicable, default_method
from camlucida.opaque_networks import has_layers


def offered(served: Iterable[Served]) -> frozenset[str]:
    """Return the names of the methods that run on at least one model."""
    return frozenset(name for one in served for name in applicable(one.model.network))


def method_for(served: Served, name: str) -> str:
    """Return the method that a name stands for."""
    network = served.model.network
    return default_method(network) if name == DEFAULT_METHOD and not has_layers(network) else name


def methods_for(page: Page, model: str | None, names: Sequence[str]) -> list[str]:
    """Return the methods that names stand for, without duplicates; unmodified for an unknown model."""
    if model is not None and model not in page.served:
        return list(names)
    served = page.model(model)
    return list(dict.fromkeys(method_for(served, name) for name in names))
