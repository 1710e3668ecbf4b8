"""Load the model that a record names: the run.json of an evaluation or of an audit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from camlucida.models import checkpoint, http_scorer, trained_run
from camlucida.models.devices import AUTO
from camlucida.models.load import load
from camlucida.models.model import Model
from camlucida.models.preprocessing import check_recorded_size
from camlucida.models.recorded import architecture_named


def load_recorded(
    spec: Any,
    arch: Any,
    *,
    labels: str | Path | None = None,
    by: str,
    instead: str,
    trust_code: bool = False,
    device: str | torch.device = AUTO,
    **preprocess: Any,
) -> Model:
    """Return the model that a record names, such as the run.json of an evaluation.

    Args:
        spec: The model in the record: the name of a registered model, or a file or folder, which is loaded with the
            same restrictions.
        arch: The architecture in the record, for a checkpoint.
        labels: A file with class names.
        by: The name of the record, for messages.
        instead: What the user can do about a model that a record may not name.
        trust_code: Whether to accept any specification, as if the user had given it; never the address of a server, to
            which images would be sent.
        device: Where the network runs, as of `load`.
        **preprocess: The parameters of `make_preprocessing` in the record, such as size and fit.

    Raises:
        ModelError: If the record may not name the model, or it cannot be loaded.
    """
    is_address = any(isinstance(name, str) and http_scorer.is_address(name) for name in (spec, arch))
    if trust_code and isinstance(spec, str) and isinstance(arch, str | None) and not is_address:
        return _checked(load(spec, arch=arch, labels=labels, trust_code=True, device=device, **preprocess))
    name = None if arch is None else architecture_named(arch, by=by, instead=instead)
    if (
        isinstance(spec, str)
        and "://" not in spec
        and (checkpoint.looks_like_file(spec) or trained_run.run_folder(spec))
    ):
        return _checked(load(Path(spec), arch=name, labels=labels, device=device, **preprocess))
    known = architecture_named(spec, by=by, instead=instead)
    return _checked(load(known, arch=name, labels=labels, device=device, **preprocess))


def _checked(model: Model) -> Model:
    """Return the model of a record. Raises `ModelError` for an input that is larger than a file may request."""
    check_recorded_size(model.preprocessing)
    return model
