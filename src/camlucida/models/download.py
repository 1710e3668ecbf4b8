"""Weights from the network: fetched once, checked, with a progress bar; offline, one sentence instead of a wait."""

from __future__ import annotations

import os
import socket
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import getproxies

from camlucida.errors import ModelError

CONNECT_TIMEOUT_S = 5.0
"""Seconds after which a host counts as out of reach."""


def weights_folder() -> Path:
    """Where torchvision keeps fetched weights ($TORCH_HOME/hub/checkpoints)."""
    import torch.hub

    return Path(torch.hub.get_dir()) / "checkpoints"


def fetch_file(url: str, *, model_name: str, megabytes: float | None = None) -> Path:
    """The file behind `url` on this machine, downloading it if it is not here yet.

    The name of the file holds the beginning of its hash, as torch hub has it, and is checked.
    Raises `ModelError` when it cannot be had, with where it was looked for and what else can be done.
    """
    import torch.hub

    name = Path(urlparse(url).path).name
    path = weights_folder() / name
    if path.exists():
        return path
    size = f", {megabytes:.0f} MB" if megabytes else ""
    need = f"{model_name} needs its pretrained weights ({name}{size}), which are not on this machine"
    advice = f"Try `camlucida demo` or --model toybox, which need none, or put the file at {path}."
    host = urlparse(url).hostname or ""
    if not is_reachable(host):
        raise ModelError(f"{need}, and {host} cannot be reached. {advice}")
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = name.rpartition(".")[0].rpartition("-")[2]
    try:
        torch.hub.download_url_to_file(url, str(path), hash_prefix=prefix if "-" in name else None, progress=True)
    except (HTTPException, OSError, RuntimeError) as error:  # URLError is an OSError
        raise ModelError(f"{need}, and fetching them failed: {error}. {advice}") from None
    return path


def is_reachable(host: str) -> bool:
    """Whether `host` answers at once; behind a proxy, or when told to stay offline, that is not asked of it."""
    if os.environ.get("HF_HUB_OFFLINE") == "1" or os.environ.get("CAMLUCIDA_OFFLINE") == "1":
        return False
    proxies = getproxies()  # also holds "no", the hosts that are asked directly
    if proxies.get("https") or proxies.get("all"):
        return True
    try:
        socket.create_connection((host, 443), timeout=CONNECT_TIMEOUT_S).close()
    except OSError:
        return False
    return True
