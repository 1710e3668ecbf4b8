"""The public names and their signatures: no name disappears and no parameter changes by accident.

`python tests/cli/test_api_surface.py --regenerate` writes api_surface.json again; check the difference.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

import camlucida

STORED = Path(__file__).with_name("api_surface.json")


def surface() -> dict[str, Any]:
    """Every public name with its signature; of a class also its fields, properties and methods."""
    return {name: _described(getattr(camlucida, name)) for name in sorted(camlucida.__all__)}


def _described(thing: Any) -> Any:
    if not inspect.isclass(thing):
        return _signature(thing)
    members: dict[str, str] = {f.name: f"field: {f.type}" for f in fields(thing)} if is_dataclass(thing) else {}
    for name, member in sorted(vars(thing).items()):
        if name.startswith("_") or name in members:
            continue
        members[name] = _signature(member) if inspect.isfunction(member) else "property"
    return {"bases": [base.__name__ for base in thing.__bases__], **members}


def _signature(function: Any) -> str:
    """Return the parameters with their defaults, without types, which may become more exact."""
    parameters = inspect.signature(function).parameters.values()
    return str(inspect.Signature([p.replace(annotation=inspect.Parameter.empty) for p in parameters]))


def test_api_matches_the_snapshot() -> None:
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    assert surface() == stored, f"If the change is intended: python {__file__} --regenerate, and a line in CHANGELOG.md"


def test_every_public_name_is_importable_and_documented() -> None:
    assert set(camlucida.__all__) == set(camlucida._HOME)
    assert len(camlucida.__all__) == len(set(camlucida.__all__))
    assert set(camlucida.__all__) <= set(dir(camlucida))
    for name in camlucida.__all__:
        assert getattr(camlucida, name).__doc__, f"{name} has no docstring"
    with pytest.raises(AttributeError, match="module 'camlucida' has no attribute 'explane'"):
        _ = camlucida.explane  # type: ignore[attr-defined]


def test_star_import_provides_all_names() -> None:
    inputs: dict[str, Any] = {}
    exec("from camlucida import *", inputs)
    assert set(camlucida.__all__) <= set(inputs)


def test_version_matches_the_package_metadata() -> None:
    assert importlib.import_module("importlib.metadata").version("camlucida") == camlucida.__version__


if __name__ == "__main__" and sys.argv[1:] == ["--regenerate"]:
    STORED.write_text(json.dumps(surface(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
