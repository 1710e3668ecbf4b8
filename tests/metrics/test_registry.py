"""The registry of metrics: names, aliases, and errors of registration."""

from __future__ import annotations

import pytest
from torch import Tensor

from camlucida.errors import MetricError
from camlucida.metrics import MetricOutput, find, metric, metrics
from camlucida.metrics import registry as metric_registry

ALIASES = {
    "pointing_game": "pointing",
    "energy_pointing_game": "energy",
    "gridpg": "grid_pointing",
    "relevance_rank_accuracy": "relevance_rank",
    "sparseness": "gini",
    "complexity": "entropy",
    "center_of_mass_distance": "centre_offset",
}


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_aliases_find_the_metric_under_its_name(alias: str, name: str) -> None:
    preset = find(alias)
    assert (preset.name, preset.metric) == (name, metrics()[name])
    assert find(alias.upper().replace("_", "-")) == preset
    assert alias not in metrics()


def test_all_aliases_are_listed() -> None:
    assert {alias: entry.name for entry in metrics().values() for alias in entry.aliases} == ALIASES


def test_errors_suggest_aliases() -> None:
    with pytest.raises(MetricError, match="Did you mean 'gridpg'"):
        find("gridgp")


@pytest.mark.parametrize(("name", "aliases"), [("another", ["GridPG"]), ("gridpg", []), ("pointing", [])])
def test_names_and_aliases_are_unique(name: str, aliases: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def function(raw: Tensor) -> float:
        return 0.0

    function.__name__ = name
    monkeypatch.setattr(metric_registry, "_metrics", dict(metric_registry._metrics))
    with pytest.raises(MetricError, match=f"metric {name}: registered twice"):
        metric(paper="none", outputs=MetricOutput("neither"), aliases=aliases)(function)
