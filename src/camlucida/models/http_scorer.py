"""Servers that score images: an address that the user typed as a model.

One POST request per batch: JSON {"images": [PNG files of 8-bit RGB in base64]}, answered with JSON {"scores": one
list of numbers per image}, and optionally "labels" (class names) and "probabilities" (true). Images have the size of
the preprocessing and are not normalised; perturbed ones are clipped to [0, 1] and rounded to 8 bits.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import ipaddress
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from camlucida.errors import ModelError
from camlucida.models.black_box import BlackBox
from camlucida.models.input_preprocessing import DEFAULT_SIZE, input_preprocessing
from camlucida.models.labels import check_names
from camlucida.models.model import Model
from camlucida.models.preprocessing import IMAGENET_MEAN
from camlucida.models.quoting import printable

SCHEMES = ("http", "https")
TIMEOUT_S = 60.0
"""Maximum time without a byte from the server."""
RETRY_DELAYS_S = (0.5, 1.0, 2.0)
"""Delays before a request is repeated that the server could not answer at the time."""
RETRY_STATUS = (429, 500, 502, 503, 504)
MAX_RESPONSE_BYTES = 64 * 2**20


def is_address(spec: str) -> bool:
    """Return whether a specification is the address of a server."""
    return spec.partition("://")[0].lower() in SCHEMES and "://" in spec


class HttpScorer(BlackBox):
    """A server as a network without layers and gradients.

    Args:
        address: The address as the user typed it, http://host:port/path.

    Raises:
        ModelError: The address is invalid.
    """

    def __init__(self, address: str) -> None:
        client = Client(_checked(address))
        super().__init__(client, reason=f"a server at {client.endpoint}", title=client.endpoint)
        self.is_fixed, self.takes_pixels = True, True
        self._client = client

    def digest(self) -> str:
        """Return digits for the address; a server whose network changes needs another one."""
        return hashlib.sha256(self._client.address.encode()).hexdigest()[:16]

    def first_answer(self) -> dict[str, Any]:
        """Return the answer for one grey image, to learn of class names; empty if the server refuses its size."""
        return self._client.answer(torch.zeros(1, 3, *DEFAULT_SIZE), refusable=True)


def load(address: str) -> Model:
    """Return the model at an address, with the class names that the server returns.

    Raises:
        ModelError: There is no server, or it answers otherwise than documented.
    """
    network = HttpScorer(address)
    answer = network.first_answer()
    names = answer.get("labels")
    labels = () if names is None else check_names(names, source=network.title)
    scores = answer.get("scores") or [[]]
    if labels and len(labels) != len(scores[0]):
        raise ModelError(f"{network.reason} returned {len(labels)} labels for {len(scores[0])} scores per image.")
    return Model(
        network,
        input_preprocessing(network, None, {}),
        labels,
        spec=network.title,
        probabilities=True if answer.get("probabilities") is True else None,
    )


class Client:
    """Sends batches of images to an address. Redirects are not followed, and no proxy is used for this machine."""

    def __init__(self, address: str) -> None:
        self.address = address
        parts = urllib.parse.urlsplit(address)
        self.endpoint = f"{parts.scheme}://{parts.netloc}{parts.path}"  # a query may hold a key
        proxies: dict[str, str] | None = {} if _is_loopback(parts.hostname or "") else None
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies), _NoRedirects())

    def __call__(self, images: Tensor) -> list[list[float]]:
        scores: list[list[float]] = self.answer(images)["scores"]
        return scores

    def answer(self, images: Tensor, *, refusable: bool = False) -> dict[str, Any]:
        """Return the server's answer for images `(b, 3, H, W)`, pixels minus the mean colour.

        Args:
            images: The images.
            refusable: Whether to return an empty answer if the server refuses these images (status 400 to 422).

        Raises:
            ModelError: The server cannot be reached, or its answer is not as documented.
        """
        body = json.dumps({"images": [_png(image) for image in images]}).encode()
        for delay in (*RETRY_DELAYS_S, None):
            try:
                content = self._post(body)
                break
            except urllib.error.HTTPError as error:
                if error.code in RETRY_STATUS and delay is not None:
                    time.sleep(delay)
                    continue
                if refusable and error.code in (400, 413, 415, 422):
                    return {}
                raise ModelError(self._status_message(error)) from None
            except (OSError, http.client.HTTPException) as error:
                reason = getattr(error, "reason", error)
                raise ModelError(
                    f"the server at {self.endpoint} cannot be reached: {printable(reason) or type(reason).__name__}. "
                    f"Is it "
                    "running, and is the address right?"
                ) from None
        return self._parsed(content, len(images))

    def _post(self, body: bytes) -> bytes:
        request = urllib.request.Request(self.address, body, {"Content-Type": "application/json"}, method="POST")
        with self._opener.open(request, timeout=TIMEOUT_S) as response:
            content: bytes = response.read(MAX_RESPONSE_BYTES + 1)
        return content

    def _status_message(self, error: urllib.error.HTTPError) -> str:
        if 300 <= error.code < 400:
            target = printable(error.headers.get("Location", "elsewhere"))
            return f"the server at {self.endpoint} redirects to {target}: type that address if it is the right one."
        text = printable(error.read(1000).decode("utf-8", "replace").strip(), 200)
        status = f"{error.code} {printable(error.reason)}"
        return f"the server at {self.endpoint} answered with status {status}: {text or 'no text'}."

    def _parsed(self, content: bytes, n_images: int) -> dict[str, Any]:
        if len(content) > MAX_RESPONSE_BYTES:
            raise ModelError(
                f"the server at {self.endpoint} answered with more than {MAX_RESPONSE_BYTES // 2**20} MiB."
            )
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError):
            text = printable(content[:200].decode("utf-8", "replace"))
            raise ModelError(f"the server at {self.endpoint} answered with no JSON: {text!r}.") from None
        scores = answer.get("scores") if isinstance(answer, dict) else None
        if not isinstance(scores, list) or not all(
            isinstance(row, list) and all(map(_is_number, row)) for row in scores
        ):
            raise ModelError(
                f'the server at {self.endpoint} must answer with {{"scores": [[…], …]}}, '
                "one list of numbers per image; "
                f"it answered {printable(content[:200].decode('utf-8', 'replace'))!r}."
            )
        if len(scores) != n_images or len({len(row) for row in scores}) > 1 or not scores[0]:
            raise ModelError(
                f"the server at {self.endpoint} answered with rows of {[len(row) for row in scores][:8]} scores for "
                f"{n_images} image{'s' * (n_images != 1)}: one row per image is needed, all of the same length."
            )
        return dict(answer)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect, so that images are sent to no other address than the one that was typed."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _png(image: Tensor) -> str:
    """Return an image `(3, H, W)`, pixels minus the mean colour, as a PNG file in base64."""
    pixels = ((image + torch.tensor(IMAGENET_MEAN)[:, None, None]) * 255).round().clamp(0, 255)
    sink = io.BytesIO()
    array = np.ascontiguousarray(pixels.permute(1, 2, 0).numpy().astype(np.uint8))
    Image.fromarray(array).save(sink, "png", compress_level=1)
    return base64.b64encode(sink.getvalue()).decode()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _checked(address: str) -> str:
    try:
        parts = urllib.parse.urlsplit(address)
        valid = is_address(address) and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid or any(not "!" <= letter <= "~" for letter in address):
        raise ModelError(f"{printable(address)!r} is no address of a server, such as http://127.0.0.1:8000/score.")
    if parts.username is not None or parts.password is not None:
        raise ModelError("an address with a user name or password would be written into records: leave them out.")
    return address


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
