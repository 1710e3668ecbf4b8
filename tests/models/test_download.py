"""Downloaded weights: found in torch hub's folder; offline, one sentence at once."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close
from torchvision import models as zoo

import camlucida as cl
from camlucida.errors import ModelError
from camlucida.models import download
from camlucida.models.torchvision_models import classifier_names, get_weights

NAMES = ("squeezenet1_1", "mobilenet_v3_small", "mnasnet0_5")


def location(name: str, expected: str = "") -> Path:
    path = download.weights_folder() / Path(get_weights(name, expected).url).name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("spec", ["{}", "torchvision:{}", "{}@DEFAULT", "{}@imagenet1k_v1"])
def test_weights_in_their_place_load_without_a_network(name: str, spec: str) -> None:
    network = zoo.get_model(name).eval()
    torch.save(network.state_dict(), location(name))
    loaded = cl.load(spec.format(name))
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert_close(loaded.network(x), network(x), rtol=0, atol=0)
    assert loaded.spec == spec.format(name)
    assert loaded.labels[207] == "golden retriever"
    assert (loaded.preprocessing.size, loaded.preprocessing.resize) == ((224, 224), 256)
    assert not loaded.network.training


def test_named_weights_bring_their_own_file_and_preprocessing() -> None:
    network = zoo.mobilenet_v2()
    torch.save(network.state_dict(), location("mobilenet_v2", "IMAGENET1K_V1"))
    assert cl.load("mobilenet_v2@IMAGENET1K_V1").preprocessing.resize == 256
    with pytest.raises(ModelError, match=r"mobilenet_v2-7ebf99e0\.pth"):
        cl.load("mobilenet_v2@IMAGENET1K_V2")
    torch.save(network.state_dict(), location("mobilenet_v2", "IMAGENET1K_V2"))
    assert cl.load("mobilenet_v2@IMAGENET1K_V2").preprocessing.resize == 232


def test_densenets_older_names() -> None:
    """torchvision's own file says denselayer1.norm.1 where the network has denselayer1.norm1."""
    network = zoo.densenet121()
    old = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))([12])\.")
    state = {old.sub(r"\1.\2.", key): value for key, value in network.state_dict().items()}
    assert set(state) != set(network.state_dict())
    torch.save(state, location("densenet121"))
    loaded = cl.load("densenet121").network
    assert_close(loaded.state_dict(), network.state_dict(), rtol=0, atol=0)


def test_vision_transformers_older_names() -> None:
    """torchvision's own file says mlp.linear_1 where the network has mlp.0; the network renames it by the version."""
    from camlucida.models.fit_weights import load_weights

    def small() -> zoo.VisionTransformer:
        return zoo.VisionTransformer(32, 16, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16, num_classes=3)

    network = small()
    renamed = {"mlp.0.": "mlp.linear_1.", "mlp.3.": "mlp.linear_2."}
    state = {}
    for key, value in network.state_dict().items():
        for new, old in renamed.items():
            key = key.replace(new, old)
        state[key] = value
    torch.save(state, "vit.pth")
    other = small()
    load_weights(other, torch.load("vit.pth", weights_only=True), source="vit.pth")
    assert_close(other.state_dict(), network.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"PK\x03\x04 half a zip"])
def test_a_corrupt_file_is_told_with_its_place(content: bytes) -> None:
    path = location("squeezenet1_1")
    path.write_bytes(content)
    with pytest.raises(ModelError, match=f"{re.escape(str(path))} is not a readable checkpoint.*again"):
        cl.load("squeezenet1_1")


def test_a_file_of_something_else_is_told_with_its_place() -> None:
    path = location("squeezenet1_1")
    torch.save(zoo.squeezenet1_0().state_dict(), path)
    with pytest.raises(ModelError, match=f"{re.escape(str(path))} does not fit SqueezeNet: .*features"):
        cl.load("squeezenet1_1")


def test_offline_is_one_sentence_at_once() -> None:
    with pytest.raises(ModelError) as caught:
        cl.load("resnet50")  # the fixture fails the test if a socket was opened
    message = str(caught.value)
    assert message == (
        "resnet50 needs its pretrained weights (resnet50-11ad3fa6.pth, 98 MB), which are not on this machine, and "
        f"download.pytorch.org cannot be reached. Put the file at {location('resnet50')}, or load weights that are on "
        "this machine: --model FILE --arch resnet50. "
        "`camlucida demo` and --model toybox need no download."
    )


@pytest.mark.network
def test_offline_is_found_out_by_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without being told: one attempt to connect, no download, no retries."""
    monkeypatch.delenv("CAMLUCIDA_OFFLINE")
    monkeypatch.setattr(download, "getproxies", dict)
    asked: list[tuple[Any, ...]] = []

    def create_connection(address: tuple[str, int], timeout: float) -> socket.socket:
        asked.append((*address, timeout))
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(socket, "create_connection", create_connection)
    with pytest.raises(ModelError, match=r"download.pytorch.org cannot be reached"):
        cl.load("resnet18")
    assert asked == [("download.pytorch.org", 443, download.CONNECT_TIMEOUT_S)]


@pytest.mark.parametrize("variable", ["CAMLUCIDA_OFFLINE", "HF_HUB_OFFLINE"])
def test_told_to_stay_offline_nothing_is_asked(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAMLUCIDA_OFFLINE")
    monkeypatch.setenv(variable, "1")
    assert not download.is_reachable("download.pytorch.org")  # the fixture fails the test if a socket was opened


def test_a_proxy_is_not_asked_beforehand_but_no_proxy_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAMLUCIDA_OFFLINE")
    monkeypatch.setattr(download, "getproxies", lambda: {"https": "http://proxy:3128"})
    assert download.is_reachable("download.pytorch.org")
    monkeypatch.setattr(download, "getproxies", lambda: {"no": "localhost"})
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: (_ for _ in ()).throw(OSError))
    assert not download.is_reachable("download.pytorch.org")


def test_a_download_that_fails_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import http.client

    monkeypatch.setattr(download, "is_reachable", lambda host: True)
    for error in (OSError("reset by peer"), RuntimeError("invalid hash value"), http.client.IncompleteRead(b"")):

        def fails(*_: Any, error: Exception = error, **__: Any) -> None:
            raise error

        monkeypatch.setattr(torch.hub, "download_url_to_file", fails)
        with pytest.raises(ModelError, match=r"resnet18-f37072fd.pth.*the download failed: .* Put the file at"):
            cl.load("resnet18")
    assert not location("resnet18").exists()


def test_a_download_is_checked_by_the_hash_in_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str | None] = []
    monkeypatch.setattr(download, "is_reachable", lambda host: True)

    def record_hash(url: str, path: str, hash_prefix: str | None, progress: bool) -> None:
        checked.append(hash_prefix)

    monkeypatch.setattr(torch.hub, "download_url_to_file", record_hash)
    urls = {weights.url for name in classifier_names() for weights in [get_weights(name)]}
    for url in urls:
        download.fetch_file(url, model_name="x")
    assert len(checked) == len(urls) > 50
    assert all(prefix and re.fullmatch("[0-9a-f]{8,}", prefix) for prefix in checked)
