"""Image-text models of open_clip by name; needs the extra `openclip`."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from camlucida._optional import need
from camlucida.errors import ModelError, nearest
from camlucida.models.download import is_reachable
from camlucida.models.image_text_networks import image_text_model
from camlucida.models.model import Model
from camlucida.models.quoting import printable

HUB = "huggingface.co"
_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin", "open_clip_pytorch_model.safetensors")


def load(spec: str, pretrained: bool = True) -> Model:
    """Load `ViT-B-32`, `ViT-B-32@laion2b_s34b_b79k` or `ViT-B-32@/path/weights.safetensors`.

    Raises:
        ModelError: There is no such architecture, tag or file; or weights or a tokenizer are not on this machine and
            cannot be downloaded.
    """
    open_clip: Any = need("open_clip", extra="openclip", what=f"openclip:{spec}")
    name, at, weights = spec.partition("@")
    known = open_clip.list_models()
    if name not in known:
        raise ModelError(f"open_clip has no model {printable(name, 200)!r}.{nearest(name, known)}")
    config = open_clip.get_model_config(name)
    source = _weights(open_clip, name, weights if at else None, config) if pretrained else None
    _check_text_tower(name, config, weights if source is not None and Path(source).is_file() else "")
    with _quiet():
        try:
            network = open_clip.create_model(name, pretrained=source, pretrained_text=False, weights_only=True)
            tokenizer = open_clip.get_tokenizer(name)
        except Exception as error:  # damaged files, weights of another architecture
            text = " ".join(printable(error, 400).split())[:300]
            raise ModelError(f"openclip:{spec} cannot be loaded: {text}") from None
    return image_text_model(network.float().eval(), tokenizer)


def _weights(open_clip: Any, name: str, given: str | None, config: dict[str, Any]) -> str:
    """Return the tag or the file of the weights, which are on this machine or can be downloaded."""
    tags = open_clip.list_pretrained_tags_by_model(name)
    if given is not None and given not in tags:
        path = Path(given).expanduser()
        if path.is_file():
            return str(path)
        known = ", ".join(tags[:6]) or "none for this architecture"
        raise ModelError(
            f"openclip:{name} has no pretrained weights {printable(given, 200)!r}, and there is no such file."
            f"{nearest(given, tags)} Known: {known}."
        )
    if not tags:
        raise ModelError(f"openclip:{name} has no pretrained weights: give a file, openclip:{name}@/path/weights.")
    quick = bool(config.get("quick_gelu", False))
    fitting = [tag for tag in tags if bool(open_clip.get_pretrained_cfg(name, tag).get("quick_gelu", False)) == quick]
    tag = given or (fitting or tags)[0]
    other = name.removesuffix("-quickgelu") if quick else f"{name}-quickgelu"
    if tag not in fitting and other != name and other in open_clip.list_models():
        raise ModelError(
            f"the weights {tag!r} were trained with {'GELU' if quick else 'QuickGELU'}, and {name} has "
            f"{'QuickGELU' if quick else 'GELU'}: use openclip:{other}@{tag}."
        )
    hub = str(open_clip.get_pretrained_cfg(name, tag).get("hf_hub") or "")
    if not _cached(hub) and not is_reachable(HUB):
        raise ModelError(
            f"openclip:{name}@{tag} needs its pretrained weights ({hub.strip('/') or 'from the web'}), which are not "
            f"on this machine, and {HUB} cannot be reached. Copy them here, and use openclip:{name}@/path/weights."
        )
    return str(tag)


def _check_text_tower(name: str, config: dict[str, Any], path: str) -> None:
    """Raise `ModelError` if the tokenizer or the text tower needs files of the hub that cannot be had."""
    text = config.get("text_cfg", {})
    needed = [hub for key in ("hf_model_name", "hf_tokenizer_name") if (hub := text.get(key))]
    for hub in dict.fromkeys(needed):
        if not _cached(f"{hub}/", ("tokenizer.json", "tokenizer_config.json", "config.json")) and not is_reachable(HUB):
            hint = f" With the tokenizer at hand: wrap(network, tokenizer=…){' for ' + path if path else ''}."
            raise ModelError(
                f"openclip:{name} needs the tokenizer of {hub}, which is not on this machine, and {HUB} cannot be "
                f"reached.{hint}"
            )


def _cached(hub: str, files: tuple[str, ...] = _WEIGHTS) -> bool:
    """Return whether a file of a repository, written "owner/name/" or "owner/name/file", is in the cache of the hub."""
    from huggingface_hub import try_to_load_from_cache

    repository, _, file = hub.rpartition("/")
    names = (file, file.rpartition(".")[0] + ".safetensors") if file else files
    return bool(repository) and any(isinstance(try_to_load_from_cache(repository, name), str) for name in names)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what open_clip logs and warns about while a model is created."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
