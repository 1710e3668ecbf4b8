"""Differences between two records of settings, as the messages of refused folders name them."""

from __future__ import annotations

from typing import Any

import pytest

from camlucida._differences import differences


@pytest.mark.parametrize(
    ("stored", "given", "text"),
    [
        ({"seed": 1}, {"seed": 1}, ""),
        ({"seed": 1, "more": 2}, {"seed": 1}, ""),  # a record of a newer version
        ({"seed": 1}, {"seed": 2}, "seed is 1, not 2"),
        ({}, {"seed": 2}, "seed is none, not 2"),
        ({"a": {"x": 1, "y": 2}}, {"a": {"x": 1, "y": 3}}, "a.y is 2, not 3"),
        ({"a": {"x": {"y": 1}}}, {"a": {"x": {"y": 2}}}, "a.x.y is 1, not 2"),
        ({"a": {"x": 1}}, {"a": {"z": 1}}, "a lacks z; a also has x"),
        ({"a": ["b", "c"]}, {"a": ["b", "d"]}, "a lacks 'd'; a also has 'c'"),
        ({"a": ["b", "c"]}, {"a": ["c", "b"]}, "a has another order: 'b', 'c', not 'c', 'b'"),
        ({"a": [1, 1]}, {"a": [1, 2]}, "a is [1, 1], not [1, 2]"),
        (
            {"methods": [{"name": "cam", "layer": None}, {"name": "lrp", "layer": None}]},
            {"methods": [{"name": "cam", "layer": "layer3"}, {"name": "lrp", "layer": None}]},
            "methods.cam.layer is none, not 'layer3'",
        ),
        ({"a": "x" * 200}, {"a": 1}, f"a is '{'x' * 78}…, not 1"),
        (dict.fromkeys("abcdef", 0), dict.fromkeys("abcdef", 1), "a is 0, not 1; b is 0, not 1; c is 0, not 1; "
         "d is 0, not 1; and 2 more"),
    ],
)  # fmt: skip
def test_only_what_differs_is_named(stored: dict[str, Any], given: dict[str, Any], text: str) -> None:
    assert differences(stored, given) == text
