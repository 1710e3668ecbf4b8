"""Models of timm by name or from a folder; needs the extra `timm`."""

from __future__ import annotations

import importlib.util
from typing import Any

from camlucida._optional import need
from camlucida.errors import ModelError, nearest
from camlucida.models.download import is_reachable
from camlucida.models.labels import imagenet_names
from camlucida.models.model import Model
from camlucida.models.preprocessing import make_preprocessing
from camlucida.models.quoting import printable
from camlucida.models.triton_conflict import prevent_abort

HUB = "huggingface.co"


def is_known(name: str) -> bool:
    """Return whether timm is installed and has an architecture of that name."""
    if importlib.util.find_spec("timm") is None:
        return False
    prevent_abort()
    import timm

    return name.partition(".")[0] in timm.list_models()


def is_registered(name: str) -> bool:
    """Return whether timm has an architecture of exactly that name. Raises `MissingExtra` without timm."""
    timm = need("timm", extra="timm", what=f"timm:{name}")
    return bool(timm.is_model(name))


def load(spec: str, pretrained: bool = True) -> Model:
    """Load `convnext_tiny.fb_in22k_ft_in1k`, `local-dir:/path` (as saved by timm), or `hf-hub:owner/name`."""
    prevent_abort()
    timm = need("timm", extra="timm", what=f"timm:{spec}")
    local = spec.startswith(("local-dir:", "hf-hub:", "hf_hub:"))
    if not local and spec.partition(".")[0] not in timm.list_models():
        raise ModelError(f"timm has no model {spec!r}.{nearest(spec.partition('.')[0], timm.list_models())}")
    if pretrained and not spec.startswith("local-dir:"):
        _check_weights(timm, spec)
    try:
        network = timm.create_model(spec, pretrained=pretrained)
    except Exception as error:  # timm hardly validates config.json
        raise ModelError(f"timm:{spec} cannot be loaded: {' '.join(printable(error, 400).split())[:300]}") from None
    config = timm.data.resolve_model_data_config(network)
    preprocess = make_preprocessing(timm.data.create_transform(**config, is_training=False))
    return Model(network.eval(), preprocess, _labels(network))


def _check_weights(timm: Any, spec: str) -> None:
    """Raise at once for weights that are unavailable, which timm reports only after 25 seconds of retries."""
    hub = spec.partition(":")[2].partition("@")[0] if spec.startswith("hf") else None
    if hub is None:
        try:
            config = timm.models.get_pretrained_cfg(spec)
        except RuntimeError:  # a tag that the architecture does not have
            config = None
        if config is None or not config.has_weights:
            name, _, tag = spec.partition(".")
            tags = [full.partition(".")[2] for full in timm.list_pretrained(f"{name}.*")]
            known_tags = ", ".join(tags[:6]) or "none for this architecture"
            raise ModelError(f"timm has no pretrained weights {spec!r}.{nearest(tag, tags)} Known: {known_tags}.")
        hub = config.hf_hub_id if isinstance(config.hf_hub_id, str) else None
        if hub and hub.endswith("/"):
            hub = f"{hub}{spec}"
    if hub is None or _cached(hub) or is_reachable(HUB):
        return
    raise ModelError(
        f"timm:{spec} needs its pretrained weights ({hub}), which are not on this machine, and {HUB} cannot be "
        f"reached. Load weights that are on this machine: --model FILE --arch timm:{spec.partition('.')[0]}, or "
        "timm:local-dir:/path for a folder that timm saved. `camlucida demo` and --model toybox need no download."
    )


def _cached(hub: str) -> bool:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        return any(
            isinstance(try_to_load_from_cache(hub, name), str) for name in ("model.safetensors", "pytorch_model.bin")
        )
    except HFValidationError:
        raise ModelError(f"{hub!r} is not a name on {HUB}, which has the form owner/name.") from None


def _labels(network: Any) -> tuple[str, ...]:
    config = network.pretrained_cfg
    if config.get("label_names"):
        names = config["label_names"]
        descriptions = config.get("label_descriptions") or {}
        return tuple(str(descriptions.get(name, name)) for name in names)
    return imagenet_names() if network.num_classes == 1000 else ()
