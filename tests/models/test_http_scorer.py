"""Servers as models, on this machine: the protocol, its errors, and that only the user can name a server."""

from __future__ import annotations

import base64
import io
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import camlucida as cl
from camlucida.errors import CamlucidaError, MethodError, ModelError
from camlucida.models import http_scorer
from camlucida.models.load_recorded import load_recorded
from camlucida.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from camlucida.models.sources import SpecificationLoader

from .opaque import SIZE, network, photo

Answer = Callable[[list[np.ndarray[Any, Any]]], tuple[int, bytes, dict[str, str]]]


@contextmanager
def serving(answer: Answer) -> Iterator[tuple[str, list[int]]]:
    """Serve `answer` on loopback; yields the address and the numbers of images of all requests."""
    sizes: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            images = [np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) for text in body["images"]]
            sizes.append(len(images))
            status, content, headers = answer(images)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/score", sizes
        finally:
            server.shutdown()
            thread.join()


def scores(images: list[np.ndarray[Any, Any]]) -> list[list[float]]:
    """Return the scores of `network()` for pixels of 8 bits."""
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 255
    mean, std = torch.tensor(IMAGENET_MEAN)[:, None, None], torch.tensor(IMAGENET_STD)[:, None, None]
    found: list[list[float]] = network()((pixels - mean) / std).tolist()
    return found


def ok(**content: Any) -> tuple[int, bytes, dict[str, str]]:
    return 200, json.dumps(content).encode(), {}


def network_answer(images: list[np.ndarray[Any, Any]]) -> tuple[int, bytes, dict[str, str]]:
    assert all(image.dtype == np.uint8 and image.shape[2] == 3 for image in images)
    if images[0].shape[0] != SIZE:
        return 400, b"wrong size", {}
    return ok(scores=scores(images))


def test_maps_of_a_server_are_those_of_its_network() -> None:
    with serving(network_answer) as (address, sizes):
        model = cl.load(address, size=SIZE)
        assert model.name == address
        found = cl.explain(model, photo(), method="occlusion", target=1)
        assert max(sizes) == 8
        assert cl.load(address, size=SIZE).weights_hash == model.weights_hash
        with pytest.raises(MethodError, match=r"the model is a server at http://127.0.0.1"):
            cl.explain(model, photo(), method="grad_cam")
        with pytest.raises(ModelError, match="mean= does not apply to a server at"):
            cl.load(address, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    known = cl.explain(cl.wrap(network(), size=SIZE), photo(), method="occlusion", target=1)
    assert (found.raw - known.raw).abs().max() <= 0.05 * known.raw.abs().max()  # colours are rounded to 8 bits
    assert found.score == pytest.approx(known.score, abs=1e-4)


def test_labels_and_probabilities_are_those_of_the_server() -> None:
    def answer(images: list[np.ndarray[Any, Any]]) -> tuple[int, bytes, dict[str, str]]:
        rows = [[0.7, 0.2] for _ in images]
        return ok(scores=rows, labels=["cat", "dog"], probabilities=True)

    with serving(answer) as (address, _):
        model = cl.load(address, size=SIZE)
        assert model.labels == ("cat", "dog")
        explanation = cl.explain(model, photo(), method="occlusion")
        assert explanation.target == "cat"
        assert explanation.predictions[0].probability == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("response", "sentence"),
    [
        ((200, b"<html>", {}), r"answered with no JSON: '<html>'"),
        ((200, b"[1]", {}), r'must answer with {"scores": \[\[…\], …\]}'),
        ((200, b'{"scores": [["a"]]}', {}), r'must answer with {"scores"'),
        ((200, b'{"scores": [[1, 2], [3, 4]]}', {}), r"rows of \[2, 2\] scores for 1 image: one row per image"),
        ((200, b'{"scores": [[1, 2]], "labels": ["a"]}', {}), r"returned 1 labels for 2 scores per image"),
        ((404, b"nothing here", {}), r"answered with status 404 Not Found: nothing here"),
        ((307, b"", {"Location": "http://example.org/"}), r"redirects to http://example.org/: type that address"),
        ((302, b"", {"Location": "http://example.org/"}), r"redirects to http://example.org/: type that address"),
    ],
)
def test_wrong_answers_are_described(response: tuple[int, bytes, dict[str, str]], sentence: str) -> None:
    with serving(lambda _: response) as (address, sizes):
        with pytest.raises(ModelError, match=sentence):
            cl.load(address)
        assert len(sizes) == 1


def test_requests_are_repeated_while_the_server_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_scorer, "RETRY_DELAYS_S", (0.0, 0.0))
    responses = [(503, b"busy", {}), (429, b"busy", {}), ok(scores=[[1, 2]])]
    with serving(lambda _: responses.pop(0)) as (address, sizes):
        cl.load(address)
        assert len(sizes) == 3
    with (
        serving(lambda _: (503, b"busy", {})) as (address, sizes),
        pytest.raises(ModelError, match="status 503 Service Unavailable: busy"),
    ):
        cl.load(address)
    assert len(sizes) == 3


def test_a_server_that_is_not_there_is_described() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # nobody listens, and nobody else can take the port meanwhile
        port = silent.getsockname()[1]
        with pytest.raises(ModelError, match=r"the server at http://127.0.0.1:\d+/ cannot be reached: .*refused"):
            cl.load(f"http://127.0.0.1:{port}/")


def test_proxies_are_not_used_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/")
    with serving(lambda images: ok(scores=[[1, 2] for _ in images])) as (address, _):
        cl.load(address)


@pytest.mark.parametrize("address", ["http://", "http://:80/x", "https://host:port/", "http://a b/", "http://h:0/"])
def test_invalid_addresses_are_described(address: str) -> None:
    with pytest.raises(ModelError, match=r"is no address of a server, such as http://127.0.0.1:8000/score"):
        cl.load(address)


def test_passwords_are_not_accepted_in_addresses() -> None:
    with pytest.raises(ModelError, match="a user name or password would be written into records"):
        cl.load("http://me:secret@127.0.0.1/")


READERS: dict[str, Callable[[str, bool], Any]] = {
    "arch": lambda name, trust: load_recorded("w.pth", name, by="run.json", instead="Name it.", trust_code=trust),
    "run": lambda name, trust: SpecificationLoader(trust)._recorded_by_run(name, "runs/dogs", "Name it."),
    "spec": lambda name, trust: load_recorded(name, None, by="run.json", instead="Name it.", trust_code=trust),
}


@pytest.mark.parametrize("trust_code", [False, True])
@pytest.mark.parametrize("place", sorted(READERS))
def test_a_record_cannot_name_a_server(trust_code: bool, place: str) -> None:
    with serving(lambda images: ok(scores=[[1, 2] for _ in images])) as (address, sizes):
        with pytest.raises(CamlucidaError, match="A file may only name"):
            READERS[place](address, trust_code)
        assert not sizes
