"""Queries select the rows that pandas selects, execute nothing, and say what is wrong with an expression."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import camlucida as cl
from camlucida.audits.query import MAX_CHARACTERS, select
from camlucida.data.datasets import ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.errors import DataError

TABLE = pa.table(
    {
        "index": pa.array([0, 1, 2, 3, 4, 5], pa.int64()),
        "label": pa.array(["cat", "dog", "cat", None, "sea cat", "cat"], pa.string()),
        "predicted": pa.array(["cat", "cat", "dog", "dog", "sea cat", None], pa.string()),
        "correct": pa.array([True, False, False, None, True, None], pa.bool_()),
        "confidence": pa.array([0.9, 0.95, 0.5, 0.7, float("nan"), None], pa.float64()),
        "width": pa.array([10, 20, None, 40, 50, 60], pa.int64()),
        "hires_cam.energy_in_box": pa.array([0.1, 0.2, 0.3, 0.4, 0.5, None], pa.float64()),
        "grad_cam @ layer3.entropy": pa.array([1.0, 2.0, 3.0, 4.0, 5.0, None], pa.float64()),
        "metadata": pa.array(['{"site": "B", "age": 3}', '{"site": "A", "age": 5}', None, '{"site": 7}', None, None]),
        "error": pa.array([None, None, None, None, None, "cannot read 5.png"], pa.string()),
    }
)


@pytest.mark.parametrize(
    ("expression", "rows"),
    [
        ("wrong", [1, 2]),
        ("correct", [0, 4]),
        ("not correct", [1, 2, 3, 5]),
        ("not wrong", [0, 3, 4, 5]),
        ("error", [5]),
        ("not error and confidence > .6", [0, 1, 3]),
        ("wrong and confidence > .9", [1]),
        (".6 < confidence <= .9", [0, 3]),
        ("confidence != .5", [0, 1, 3, 4, 5]),
        ("confidence is none", [4, 5]),
        ("confidence is not None and width is none", [2]),
        ("none == label", [3]),
        ("correct is none", [3, 5]),
        ("correct == False", [1, 2]),
        ("correct != True", [1, 2, 3, 5]),
        ("wrong == True", [1, 2]),
        ('label == "cat"', [0, 2, 5]),
        ('label != "cat"', [1, 3, 4]),
        ("label == predicted", [0, 4]),
        ('"cat" in label', [0, 2, 4, 5]),
        ('"cat" not in label', [1, 3]),
        ('label in ["dog", "sea cat"]', [1, 4]),
        ('label not in ("cat",)', [1, 3, 4]),
        ("width in [10, 40, -1]", [0, 3]),
        ("width / 10 - 1 >= -(-3)", [3, 4, 5]),
        ("hires_cam.energy_in_box > .3", [3, 4]),
        ("`hires_cam.energy_in_box` > .3", [3, 4]),
        ('"hires_cam.energy_in_box" > .3', [3, 4]),
        ("`grad_cam@layer3.entropy` > 3", [3, 4]),
        ("grad_cam @ layer3.entropy > 3", [3, 4]),
        ('metadata.site == "A" or metadata.age < 4', [0, 1]),
        ("metadata.site is none", [2, 4, 5]),
        ('label == "`cat`"', []),
        ("1 < 2", [0, 1, 2, 3, 4, 5]),
        ("(wrong or error) and not (index == 1)", [2, 5]),
        ("error or wrong and index == 1", [1, 5]),
        ("not wrong and index < 2", [0]),
        ("index >= 0 and wrong and index < 3", [1, 2]),
        ("error or wrong or correct", [0, 1, 2, 4, 5]),
    ],
)
def test_expressions(expression: str, rows: list[int]) -> None:
    assert np.flatnonzero(select(TABLE, expression)).tolist() == rows


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("confidense > .9", r"no column 'confidense'\. Did you mean 'confidence'\?"),
        ("wron", r"no column 'wron'\. Did you mean 'wrong'"),
        ("metadata.sit == 'A'", r"no 'sit'\. Did you mean 'site'\?"),
        ("metadata.sit", "no 'sit'"),
        ("confidence", "confidence is no condition"),
        ("label", "label is no condition"),
        ("1", "1 is no condition"),
        ("confidence = .9", "Equality is written =="),
        ("wrong AND error", "lower case"),
        ("(wrong) & (error)", "Write and, or, not"),
        ("label > 3", "< and > compare numbers"),
        ("label == 3", r"label \(a text\) and 3 \(a number\) cannot be compared"),
        ("correct == 1", "cannot be compared"),
        ("label + 1 > 2", "label is no number"),
        ("label is 3", "is` compares with none only"),
        ("label < none", "COLUMN is none"),
        ("width in [index]", "write COLUMN in"),
        ("label in 'cat'", "write COLUMN in"),
        ("__import__('os').system('true')", "a query holds columns"),
        ("confidence.__class__ == 1", "no column 'confidence.__class__'"),
        ("(lambda: 1)() == 1", "a query holds columns"),
        ("[x for x in (1,)] == 1", "a query holds columns"),
        ("width ** width > 1", "a query holds columns"),
        ("1j == 1", "a query holds columns"),
        ("label[0] == 'c'", "a query holds columns"),
        ("f'{width}' == label", "a query holds columns"),
        ("(a := 1) == 1", "a query holds columns"),
        ("wrong and", "cannot read the query"),
        ("(" * 900 + "wrong" + ")" * 900, "too complex|cannot read"),
        ("9" * 400 + " > width", "too complex"),
        ("wrong\0", "cannot read"),
        ("", "1 to 2,000 characters"),
        ("w" * (MAX_CHARACTERS + 1), "1 to 2,000 characters"),
        ("`no such` > 1", "no column 'no such'"),
    ],
)
def test_invalid_expressions(expression: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        select(TABLE, expression)


def test_what_is_no_text_is_refused() -> None:
    for value in (None, 3, ["wrong"], b"wrong"):
        with pytest.raises(DataError, match="a query is a text"):
            select(TABLE, value)  # type: ignore[arg-type]


NUMBERS = ("a", "b", "n")
WORDS = ("cat", "dog", "")
numbers = st.sampled_from([0.0, 0.25, 0.5, 1.0, -2.0])
literals = numbers.map(lambda value: f"({value})" if value < 0 else f"{value}")


def _joined(parts: Any) -> Any:
    return parts.map(lambda words: " ".join(words))


operand = st.one_of(
    st.sampled_from(NUMBERS),
    literals,
    _joined(st.tuples(st.just("("), st.sampled_from(NUMBERS), st.sampled_from("+-*/"), literals, st.just(")"))),
)
comparison = st.one_of(
    _joined(st.tuples(operand, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), st.sampled_from(NUMBERS))),
    _joined(st.tuples(literals, st.just("<"), st.sampled_from(NUMBERS), st.just("<="), literals)),
    _joined(st.tuples(st.just("s"), st.sampled_from(["==", "!="]), st.sampled_from([f"'{word}'" for word in WORDS]))),
    _joined(st.tuples(st.just("s"), st.sampled_from(["in", "not in"]), st.sampled_from(["['cat', '']", "['dog']"]))),
    _joined(st.tuples(st.just("n"), st.sampled_from(["in", "not in"]), st.sampled_from(["[1, 0.5]", "[-2.0]"]))),
    st.sampled_from(["t", "not t", "t == True", "t != True"]),
)
expressions = st.recursive(
    comparison,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" and ", " or "]), inner).map(lambda parts: f"({''.join(parts)})"),
        inner.map(lambda text: f"(not {text})"),
    ),
    max_leaves=6,
)
rows = st.lists(
    st.tuples(
        st.one_of(st.none(), numbers),
        numbers,
        st.one_of(st.none(), st.integers(-2, 2)),
        st.one_of(st.none(), st.sampled_from(WORDS)),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(expression=expressions, content=rows)
def test_queries_equal_those_of_pandas(expression: str, content: list[tuple[Any, ...]]) -> None:
    kinds = (pa.float64(), pa.float64(), pa.int64(), pa.string(), pa.bool_())
    columns = zip(zip(*content, strict=True), kinds, strict=True)
    table = pa.table(dict(zip("abnst", [pa.array(values, kind) for values, kind in columns], strict=True)))
    frame = table.to_pandas().astype({"s": object})
    expected = frame.query(expression, engine="python")
    assert np.flatnonzero(select(table, expression)).tolist() == expected.index.tolist()


def test_query_of_an_audit(tmp_path: Path) -> None:
    result = cl.audit("toybox", ToyboxDataset(Toybox(6)), tmp_path, chunk_images=4)
    found = result.query("correct and confidence > .5")
    assert found.tolist() == [i for i, row in enumerate(result.rows) if row["correct"] and row["confidence"] > 0.5]
    for i in (0, 5):
        assert np.array_equal(result.map_of(i, explained="competing"), result.maps(explained="competing")[i])
    with pytest.raises(DataError, match="no method 'gradcam'"):
        result.maps("gradcam")
