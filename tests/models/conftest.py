"""A folder of its own for every test: nothing cached, nothing reachable, nothing left behind."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, with empty places for fetched weights, and told to stay offline."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("CAMLUCIDA_OFFLINE", "1")
    return tmp_path
