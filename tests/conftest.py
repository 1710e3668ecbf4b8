"""Shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Real photographs and weights: the folder CAMLUCIDA_TEST_DATA, or ../shared/data. Skips without it."""
    folder = Path(os.environ.get("CAMLUCIDA_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder} (set CAMLUCIDA_TEST_DATA)")
    return folder
