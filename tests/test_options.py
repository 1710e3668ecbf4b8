"""The one validator of options: what it lets pass, and what it says of the rest."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
import torch

import camlucida as cl
from camlucida.errors import DataError, MethodError
from camlucida.methods import combinators
from camlucida.options import Between, Count, OneOf, Positive, Seed, check_all, checked_arguments, options_of


def example(
    *,
    n: Count = 3,
    seed: Seed = 0,
    share: Annotated[float, Between(0, 1, below=True)] = 0.5,
    above: Positive = 1.0,
    flag: bool = False,
    word: Annotated[str, OneOf(("mean", "blur"))] = "mean",
    many: tuple[Annotated[float, Between(0, 1, above=True)], ...] = (0.5,),
    words: tuple[str, ...] = (),
    free: Any = None,
) -> None:
    """A function with an option of every kind."""


def passed(**given: Any) -> dict[str, Any]:
    return check_all("example", options_of(example), given)


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("n", 1, 1),
        ("words", (), ()),
        ("words", ["a"], ("a",)),
        ("n", np.int64(7), 7),
        ("n", torch.tensor(7), 7),
        ("n", 10**6, 10**6),
        ("seed", 0, 0),
        ("seed", 2**63 - 1, 2**63 - 1),
        ("share", 0, 0),
        ("share", 0.999, 0.999),
        ("share", np.float32(0.5), 0.5),
        ("above", 1e-300, 1e-300),
        ("above", 2**70, float(2**70)),
        ("flag", True, True),
        ("word", "blur", "blur"),
        ("many", [1, 0.25], (1, 0.25)),
        ("free", {"x": object}, {"x": object}),
    ],
)
def test_what_passes(name: str, given: Any, value: Any) -> None:
    found = passed(**{name: given})[name]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("n", 0),
        ("n", True),
        ("n", 2.0),
        ("n", "3"),
        ("n", None),
        ("n", 10**6 + 1),
        ("n", np.bool_(True)),
        ("n", torch.tensor(True)),
        ("n", torch.tensor([1, 2])),
        ("seed", -1),
        ("seed", 2**63),
        ("share", 1),
        ("share", 1.0),
        ("share", math.nan),
        ("share", False),
        ("share", "0.5"),
        ("above", 0),
        ("above", math.inf),
        ("above", 10**400),
        ("flag", 1),
        ("flag", None),
        ("word", "meen"),
        ("word", ["mean"]),
        ("many", 0.5),
        ("many", ()),
        ("many", [0.5, 0]),
        ("many", [0.5, "x"]),
        ("many", "ab"),
        ("words", "ab"),
        ("words", None),
        ("words", [1]),
    ],
)
def test_what_does_not(name: str, given: Any) -> None:
    with pytest.raises(MethodError, match=rf"^example: {name} is .+\(by default .+\), not "):
        passed(**{name: given})


def test_the_words() -> None:
    def says(**given: Any) -> str:
        with pytest.raises(MethodError) as caught:
            passed(**given)
        return str(caught.value)

    assert says(n="five") == "example: n is an integer from 1 to 1000000 (by default 3), not 'five'."
    assert says(share=2) == "example: share is a number of at least 0 and below 1 (by default 0.5), not 2."
    assert says(above=-1) == "example: above is a number above 0 (by default 1.0), not -1."
    assert says(word="meen").endswith("one of mean, blur (by default 'mean'), not 'meen'. Did you mean 'mean'?")
    assert says(flag=[]) == "example: flag is True or False (by default False), not []."
    assert says(nn=1).startswith("example has no option 'nn'. Did you mean 'n'? Its options: n=3, seed=0")
    assert len(says(word="x" * 9999)) < 250


def test_arguments_of_a_function() -> None:
    @checked_arguments(DataError)
    def function(
        data: object,
        *,
        out: str | Path | None = None,
        way: Literal["a", "b"] = "a",
        tell: Callable[[], None] | None = None,
    ) -> tuple[Any, ...]:
        return data, out, way, tell

    assert function(1, out=Path("x"), way="b", tell=print) == (1, Path("x"), "b", print)
    assert function(data=None) == (None, None, "a", None)
    for wrong in (
        {"out": ""},
        {"out": 3},
        {"out": "a\0"},
        {"out": "x" * 256},
        {"way": "c"},
        {"tell": 1},
        {"way": None},
    ):
        with pytest.raises(DataError, match=f"^function: {next(iter(wrong))} is "):
            function(0, **wrong)  # type: ignore[arg-type]


def test_every_option_says_what_it_may_be() -> None:
    """A default that its own annotation refuses, a text without its words, a number without a kind: none of these."""
    entries = [*cl.list_methods().values(), *combinators().values()]
    checked = 0
    for entry in entries:
        options = options_of(entry.function)
        assert options.keys() == entry.options.keys()
        assert check_all(entry.name, options, entry.options) == dict(entry.options)
        for option in options.values():
            assert option.kind is not None, (entry.name, option.name)
            assert option.kind is not str or option.limits is not None, (entry.name, option.name)
            assert option.default is not inspect.Parameter.empty
            checked += 1
    assert checked > 80


@pytest.mark.parametrize("asked", [{"n": True}, {"n": "five"}, {"n": 2.5}, {"n": -1}, {"m": 1}])
def test_every_entry_point_says_the_same(asked: dict[str, Any]) -> None:
    image = np.zeros((20, 20, 3), dtype=np.uint8)
    model = cl.load("toybox")
    inputs = model.preprocessing(cl.load_image(image))[0][None]
    (name, value), sentences = next(iter(asked.items())), []
    calls: list[Callable[[], Any]] = [
        lambda: cl.explain(model, image, method="rise", **asked),
        lambda: cl.attribute(model, inputs, method="rise", **asked),
        lambda: cl.explain(model, image, method=f"rise({name}={value!r})"),
        lambda: cl.trust(model, image, method=f"rise({name}={value!r})"),
        lambda: cl.sanity(model, [image], methods=[f"rise({name}={value!r})"]),
    ]
    for call in calls:
        with pytest.raises(MethodError) as caught:
            call()
        sentences.append(str(caught.value).partition(" (toybox")[0])
    assert len(set(sentences)) == 1
