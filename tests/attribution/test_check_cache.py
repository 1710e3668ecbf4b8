"""The cache of layout checks: used for large networks only, by the hash of their weights, and never trusted."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import nn

import camlucida as cl
from camlucida.attribution import check_cache
from camlucida.attribution.check_cache import cache_folder, clear, entries
from camlucida.engine import candidates, copy_of, geometry, profile_calls
from camlucida.engine.layer_checks import LayoutCheck
from camlucida.models.weights_digest import weights_digest

IMAGE = torch.zeros(1, 3, 32, 32)


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return torchvision.models.VisionTransformer(32, 8, 3, 2, 24, 48, num_classes=5).eval()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder that is used for small networks, too."""
    monkeypatch.setenv("CAMLUCIDA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(check_cache, "MIN_PARAMETERS", 0)
    return tmp_path / "cache" / "layout-checks"


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of calls that were measured."""
    numbers: list[int] = []
    plain = geometry.measure_responses

    def measure(copy: Any, inputs: Any, module_calls: Any, *key: Any) -> Any:
        numbers.append(len(module_calls))
        return plain(copy, inputs, module_calls, *key)

    monkeypatch.setattr(geometry, "measure_responses", measure)
    return numbers


def checked(of: nn.Module, image: torch.Tensor = IMAGE) -> tuple[list[str], dict[int, LayoutCheck]]:
    copy = copy_of(of)
    return [layer.name for layer in candidates(copy, image)], profile_calls(copy, image).checks


def test_a_second_process_measures_nothing(folder: Path, measured: list[int]) -> None:
    first = checked(network())
    assert measured
    measured.clear()
    again = checked(network())  # other objects with the same weights, as in another process
    assert measured == []
    assert again == first
    assert [path.name for path in folder.iterdir()] == [f"{weights_digest(network())}.json"]


def test_other_weights_and_sizes_are_measured(folder: Path, measured: list[int]) -> None:
    checked(network())
    measured.clear()
    checked(network(seed=1))
    assert measured
    assert len(entries()) == 2


def test_small_networks_are_not_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measured: list[int]) -> None:
    monkeypatch.setenv("CAMLUCIDA_CACHE", str(tmp_path))
    assert check_cache.MIN_PARAMETERS == 50_000_000
    checked(network())
    assert measured
    assert list(tmp_path.iterdir()) == []


def _stored(folder: Path) -> Path:
    (path,) = folder.glob("*.json")
    return path


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:200]),
    "empty": lambda path: path.write_bytes(b""),
    "binary": lambda path: path.write_bytes(b"\x80\x04\x95pickle"),
    "list": lambda path: path.write_text("[]"),
    "deep": lambda path: path.write_text("[" * 100_000),
    "other format": lambda path: path.write_text(path.read_text().replace('"format": 1', '"format": 0')),
    "runs": lambda path: path.write_text('{"format": 1, "network": "x", "runs": {"a": 3}}'),
    "outcome": lambda path: path.write_text(path.read_text().replace('"verified"', '"believed"')),
    "kind": lambda path: path.write_text(path.read_text().replace('"tokens"', '"pixels"')),
    "prefix": lambda path: path.write_text(path.read_text().replace('"prefix": 1', '"prefix": true')),
    "impossible prefix": lambda path: path.write_text(path.read_text().replace('"prefix": 1', '"prefix": 1000')),
    "number": lambda path: path.write_text(path.read_text().replace('"error": 0', '"error": "0', 1)),
    "folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_ignored_and_written_again(damage: str, folder: Path, measured: list[int]) -> None:
    first = checked(network())
    path = _stored(folder)
    DAMAGES[damage](path)
    measured.clear()
    assert checked(network()) == first
    assert measured
    if damage != "folder":
        measured.clear()
        assert checked(network()) == first
        assert measured == []


def test_a_folder_that_cannot_be_written_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CAMLUCIDA_CACHE", str(tmp_path / "file"))
    assert checked(network())[0]
    assert entries() == []


def test_a_stored_check_of_another_run_is_not_used(folder: Path, measured: list[int]) -> None:
    """The weights may be the same, but not what the network does with them."""
    checked(network())
    path = _stored(folder)
    content = json.loads(path.read_text())
    (run,) = content["runs"]
    content["runs"] = {"0" * 16: content["runs"][run]}
    path.write_text(json.dumps(content))
    measured.clear()
    checked(network())
    assert measured
    assert set(json.loads(path.read_text())["runs"]) == {run, "0" * 16}


def test_entries_and_clear(folder: Path) -> None:
    checked(network())
    (folder / "notes.txt").write_text("of the user")
    (folder / "0123456789abcdef.json").write_text("{")
    damaged, entry = sorted(entries(), key=lambda entry: entry.network)
    assert (damaged.is_damaged, damaged.n_checks) == (True, 0)
    assert (entry.network, entry.weights) == ("VisionTransformer", weights_digest(network()))
    assert entry.n_checks > 3
    assert entry.nbytes == _stored_bytes(folder, entry.weights)
    assert clear() == 2
    assert entries() == []
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def _stored_bytes(folder: Path, weights: str) -> int:
    return len((folder / f"{weights}.json").read_bytes())


def test_explain_uses_the_cache(folder: Path, measured: list[int]) -> None:
    maps = cl.attribute(network(), torch.zeros(1, 3, 32, 32) + torch.linspace(-1, 1, 32), target=1)
    measured.clear()
    again = cl.attribute(network(), torch.zeros(1, 3, 32, 32) + torch.linspace(-1, 1, 32), target=1)
    assert measured == []
    assert torch.equal(maps, again)


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/caches"}, "/caches/camlucida"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "HOME/.cache/camlucida"),  # the specification ignores relative ones
        ("linux", {}, "HOME/.cache/camlucida"),
        ("darwin", {}, "HOME/Library/Caches/camlucida"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/camlucida/Cache"),
        ("linux", {"CAMLUCIDA_CACHE": "/mine", "XDG_CACHE_HOME": "/caches"}, "/mine"),
    ],
)
def test_the_folder(
    platform: str, environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "CAMLUCIDA_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert str(cache_folder()) == expected.replace("HOME", str(tmp_path))
