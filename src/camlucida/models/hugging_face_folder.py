"""Folder of a model of transformers: given by the user, in the cache of the Hugging Face hub, or downloaded into it.

Whatever is loaded is loaded from a folder, so that transformers itself never accesses the network. Its own errors
without a connection come after 25 seconds of retries.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from camlucida._optional import need
from camlucida.errors import ModelError
from camlucida.models.download import is_reachable
from camlucida.models.quoting import printable

CONFIG = "config.json"
TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    *("vocab.json", "merges.txt", "vocab.txt", "spiece.model"),
)
"""Files of tokenizers, which image-text models need."""
PROCESSOR_CONFIGS = ("preprocessor_config.json", "processor_config.json")
SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
"""Files with weights in the order in which they are looked for; an index names the files of a checkpoint in parts."""

_REPOSITORY = re.compile(r"([\w-][\w.-]*/[\w.-]+)(?:@([\w./-]+))?", re.ASCII)


def model_folder(spec: str, pretrained: bool) -> Path:
    """Return the folder with the files of a model.

    Args:
        spec: A folder, or `owner/name` of a repository of the Hugging Face hub, optionally with `@revision`.
        pretrained: Whether the weights are needed as well as the configuration.

    Raises:
        ModelError: If there is no such folder, or the files of the repository are neither cached nor can be downloaded.
    """
    path = _path(spec)
    if path is not None and path.is_dir():
        _check_folder(path, spec, pretrained)
        return path.absolute()
    match = _REPOSITORY.fullmatch(spec)
    if match is None or spec.startswith((".", "~")):
        raise ModelError(_no_folder_message(spec, path))
    repository, revision = match[1], match[2]
    return _cached(repository, revision, pretrained) or _downloaded(repository, revision, pretrained, spec)


def add_files(folder: Path, spec: str, names: Sequence[str]) -> None:
    """Download further files of a repository into its folder in the cache, where they are missing and it is reachable.

    Args:
        folder: The folder, as of `model_folder`.
        spec: The specification of the model. Nothing is done for a folder of the user's own.
        names: Names of the files; those that the repository does not have are passed over.
    """
    path, match = _path(spec), _REPOSITORY.fullmatch(spec)
    if match is None or (path is not None and path.is_dir()) or all((folder / name).is_file() for name in names):
        return
    if any((folder / name).is_file() for name in names):  # they were downloaded before, as far as they exist
        return
    hub: Any = need("huggingface_hub", extra="hf", what=f"hf:{spec}")
    host = urlparse(hub.constants.ENDPOINT).hostname or "huggingface.co"
    if hub.constants.HF_HUB_OFFLINE or not is_reachable(host):
        return
    for name in names:
        try:
            _if_there(hub, lambda n: Path(hub.hf_hub_download(match[1], n, revision=match[2])), name)
        except Exception as error:  # of the hub, of HTTP, or of the operating system
            raise ModelError(f"hf:{spec}: {name} cannot be downloaded: {_download_problem(error)}") from None


def weights_file(folder: Path) -> str | None:
    """Return the name of the file with weights, or of their index; None if a file is missing."""
    for name in (*SAFETENSORS, *PICKLES):
        if (folder / name).is_file() and all((folder / part).is_file() for part in _parts(folder / name)):
            return name
    return None


def _path(spec: str) -> Path | None:
    try:
        path = Path(spec).expanduser()
        path.is_dir()
    except (OSError, RuntimeError, ValueError):  # name too long, unknown user after "~", null byte
        return None
    return path if spec else None


def _check_folder(path: Path, spec: str, pretrained: bool) -> None:
    if not (path / CONFIG).is_file():
        inside = sorted(child.name for child in path.iterdir() if (child / CONFIG).is_file())
        hint = f" Its folder {printable(inside[-1])} has one: hf:{path / inside[-1]}." if inside else ""
        raise ModelError(
            f"hf:{spec} has no {CONFIG}, which save_pretrained of transformers writes beside the weights.{hint}"
        )
    if (path / "adapter_config.json").is_file() and weights_file(path) is None:
        raise ModelError(
            f"hf:{spec} contains an adapter (PEFT), which modifies another network. Merge them (merge_and_unload()) "
            "and save the result with save_pretrained."
        )
    if pretrained and weights_file(path) is None:
        missing = next((part for name in SAFETENSORS + PICKLES for part in _parts(path / name)), "model.safetensors")
        raise ModelError(
            f"hf:{spec} has a {CONFIG} but not its weights: {printable(missing)} is missing. Copy it there, or load "
            "random weights with pretrained=False."
        )


def _no_folder_message(spec: str, path: Path | None) -> str:
    siblings: list[str] = []
    if path is not None and path.parent.is_dir():
        siblings = sorted(child.name for child in path.absolute().parent.iterdir() if child.is_dir())
    close = get_close_matches(path.name if path else spec, siblings, n=1)
    hint = f" Did you mean {str(path.parent / close[0])!r}?" if path is not None and close else ""
    return (
        f"hf:{printable(spec, 200)}: there is no such folder in {Path.cwd()}.{hint} A repository of the Hugging Face "
        "hub has the form owner/name, such as hf:google/vit-base-patch16-224."
    )


def _parts(index: Path) -> list[str]:
    """Return the files that an index names; none for other files."""
    if index.suffix != ".json" or not index.is_file():
        return []
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return sorted({str(part) for part in weight_map.values()})
    except (OSError, ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return []


def _cached(repository: str, revision: str | None, pretrained: bool) -> Path | None:
    """Return the folder of a repository in the cache, if all that is needed is there."""
    hub: Any = need("huggingface_hub", extra="hf", what=f"hf:{repository}")
    try:
        config = hub.try_to_load_from_cache(repository, CONFIG, revision=revision)
    except Exception as error:  # the name is not one
        raise ModelError(f"hf:{repository} is not a repository: {printable(error, 200)}") from None
    folder = Path(config).parent if isinstance(config, str) else None
    if folder is None or (pretrained and weights_file(folder) is None):
        return None
    return folder


def _downloaded(repository: str, revision: str | None, pretrained: bool, spec: str) -> Path:
    """Download the files of a repository into the cache and return their folder."""
    hub: Any = need("huggingface_hub", extra="hf", what=f"hf:{repository}")
    host = urlparse(hub.constants.ENDPOINT).hostname or "huggingface.co"
    if hub.constants.HF_HUB_OFFLINE or not is_reachable(host):
        local = repository.rpartition("/")[2]
        version = f" --revision {revision}" if revision else ""
        raise ModelError(
            f"hf:{spec} is neither a folder in {Path.cwd()} nor in the cache ({hub.constants.HF_HUB_CACHE}), and "
            f"{host} cannot be reached. On a computer with a connection: hf download {repository}{version} --local-dir "
            f"{local}; copy that folder here, and use hf:/path/{local}."
        )

    def fetch(name: str) -> Path:
        return Path(hub.hf_hub_download(repository, name, revision=revision))

    try:
        folder = fetch(CONFIG).parent
        for name in PROCESSOR_CONFIGS:
            _if_there(hub, fetch, name)
        if '"text_config' in (folder / CONFIG).read_text(encoding="utf-8", errors="replace"):
            for name in TOKENIZER_FILES:
                _if_there(hub, fetch, name)
        if pretrained and weights_file(folder) is None:
            found = next(
                (path for name in (*SAFETENSORS, *PICKLES) if (path := _if_there(hub, fetch, name)) is not None), None
            )
            for part in [] if found is None else _parts(found):
                fetch(part)
    except Exception as error:  # of the hub, of HTTP, or of the operating system
        raise ModelError(f"hf:{spec} cannot be downloaded: {_download_problem(error)}") from None
    if pretrained and weights_file(folder) is None:
        raise ModelError(f"hf:{spec} has no weights for PyTorch: none of {', '.join(SAFETENSORS + PICKLES)}.")
    return folder


def _if_there(hub: Any, fetch: Any, name: str) -> Path | None:
    """Return the path of a downloaded file; None if the repository has no such file."""
    try:
        path: Path = fetch(name)
    except hub.errors.EntryNotFoundError:
        return None
    return path


def _download_problem(error: Exception) -> str:
    name = type(error).__name__
    if name == "GatedRepoError":
        return "its owner asks for a login. Accept the conditions on its page, then: hf auth login."
    if name == "RepositoryNotFoundError":
        return "the hub has no such repository, or it is private (then: hf auth login)."
    if name == "RevisionNotFoundError":
        return "the repository has no such revision."
    if name in ("EntryNotFoundError", "RemoteEntryNotFoundError"):
        return f"the repository has no {CONFIG}, so it is not a model of transformers."
    return " ".join(printable(error, 300).split()) or name
