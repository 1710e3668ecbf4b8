"""Download of pretrained weights: cached and verified, with a progress bar; fails at once when offline."""

from __future__ import annotations

import os
import socket
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import getproxies

from camlucida.errors import ModelError

CONNECT_TIMEOUT_S = 5.0
"""Seconds after which a host counts as unreachable."""


def weights_folder() -> Path:
    """Return the folder in which torchvision caches weights ($TORCH_HOME/hub/checkpoints)."""
    import torch.hub

    return Path(torch.hub.get_dir()) / "checkpoints"


def fetch_file(url: str, *, model_name: str, megabytes: float | None = None) -> Path:
    """Return the local path of the file at `url`, downloading it if it is not cached.

    The file name contains the beginning of the file's hash, as in torch.hub, which is verified. Raises `ModelError` if
    the file cannot be downloaded; the message names alternatives.
    """
    import torch.hub

    name = Path(urlparse(url).path).name
    path = weights_folder() / name
    if path.exists():
        return path
    size = f", {megabytes:.0f} MB" if megabytes else ""
    need = f"{model_name} needs its pretrained weights ({name}{size}), which are not on this machine"
    advice = (
        f"Put the file at {path}, or load weights that are on this machine: --model FILE --arch "
        f"{model_name.partition('@')[0]}. `camlucida demo` and --model toybox need no download."
    )
    host = urlparse(url).hostname or ""
    if not is_reachable(host):
        raise ModelError(f"{need}, and {host} cannot be reached. {advice}")
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = name.rpartition(".")[0].rpartition("-")[2]
    try:
        torch.hub.download_url_to_file(url, str(path), hash_prefix=prefix if "-" in name else None, progress=True)
    except (HTTPException, OSError, RuntimeError) as error:  # URLError is an OSError
        raise ModelError(f"{need}, and the download failed: {error}. {advice}") from None
    return path


def is_reachable(host: str) -> bool:
    """Return whether `host` accepts a connection.

    Without a test, the result is False if an environment variable requests offline mode, and True behind a proxy.
    """
    if os.environ.get("HF_HUB_OFFLINE") == "1" or os.environ.get("CAMLUCIDA_OFFLINE") == "1":
        return False
    proxies = getproxies()  # also has the key "no", for hosts without a proxy
    if proxies.get("https") or proxies.get("all"):
        return True
    try:
        socket.create_connection((host, 443), timeout=CONNECT_TIMEOUT_S).close()
    except OSError:
        return False
    return True
