"""The state of the app: its models and its data set."""

from __future__ import annotations

import pytest

from camlucida.app.app_state import Page
from camlucida.data.dataset import subset
from camlucida.data.open import open_dataset
from camlucida.errors import DataError, ModelError
from camlucida.models.load import load


def test_unknown_model_suggests_the_nearest() -> None:
    page = Page([load("toybox")], open_dataset("toybox", count=2))
    with pytest.raises(ModelError, match=r"the app has no model 'toybx'\. Did you mean 'toybox'"):
        page.model("toybx")


def test_app_needs_a_model_and_an_image() -> None:
    with pytest.raises(ModelError, match="needs at least one model"):
        Page([], open_dataset("toybox", count=2))
    empty = subset(open_dataset("toybox", count=2), [])
    with pytest.raises(DataError, match="toybox contains no images"):
        Page([load("toybox")], empty)
