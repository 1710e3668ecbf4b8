"""Expressions that select rows of an audit: "wrong and confidence > .9 and energy_in_box < .2".

An expression is parsed by Python's `ast` and evaluated column by column. Only columns, numbers, texts, and, or, not,
comparisons, `in`, `is none` and the four arithmetic operations exist; nothing else is executed.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from camlucida._optional import need
from camlucida.audits.query_columns import (
    METADATA,
    Mask,
    Numbers,
    Texts,
    Truths,
    as_mask,
    column_value,
    is_one_number,
    kind_of,
    metadata_value,
)
from camlucida.errors import DataError, nearest
from camlucida.options import shown

MAX_CHARACTERS = 2000
"""Maximum length of an expression."""

_OUTCOMES = ("missed", "false", "ignored")
"""Values of the column `outcome` that are conditions by themselves, where rows are the targets of images."""

_ORDER = {ast.Lt: np.less, ast.LtE: np.less_equal, ast.Gt: np.greater, ast.GtE: np.greater_equal}
_ARITHMETIC = {ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.Div: np.divide}


def select(table: Any, expression: str) -> Mask:
    """Return which rows of an Arrow table fulfil an expression.

    A missing value equals nothing: comparisons with it are false, except `!=` and `not in`, as in pandas.

    Args:
        table: The table.
        expression: The expression. Names are columns; names that are no identifiers, such as those of further methods,
            may be written in backticks: `hires_cam @ layer3.energy_in_box`. In addition, `wrong` is a prediction that
            is known to be wrong, `error` alone is an image with an error, and metadata.NAME is a column of the data
            set's table. `size` is `box_area`; where rows are the targets of images, `missed`, `false` and `ignored`
            are those with this outcome.

    Returns:
        `(n,)`, one truth value per row.

    Raises:
        DataError: If the expression is invalid, or names a column that does not exist.
    """
    if not isinstance(expression, str):
        raise DataError(f"a query is a text, such as 'wrong and confidence > .9', not {shown(expression)}.")
    text, quoted = _without_backticks(expression.strip())
    if not text or len(text) > MAX_CHARACTERS:
        raise DataError(f"a query has 1 to {MAX_CHARACTERS:,} characters, such as 'wrong and confidence > .9'.")
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # about escapes such as "\\d" in a text
            tree = ast.parse(text, mode="eval").body
            return _Evaluator(table, text, quoted).condition(tree)
    except SyntaxError as error:
        raise DataError(f"cannot read the query {shown(expression)}: {error.msg}{_hint(text)}.") from None
    except (ValueError, RecursionError, MemoryError, OverflowError):
        raise DataError(
            f"cannot read the query {shown(expression)}: it is too complex, or holds odd characters."
        ) from None


class _Evaluator:
    """Evaluates one expression on one table."""

    def __init__(self, table: Any, text: str, quoted: Sequence[str]) -> None:
        self._table, self._text, self._quoted = table, text, quoted
        self._n = int(table.num_rows)
        self._names = {_normal(name): name for name in table.column_names}

    def condition(self, node: ast.expr) -> Mask:
        """Return where an expression is true."""
        if isinstance(node, ast.BoolOp):
            masks = [self.condition(value) for value in node.values]
            combine = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            mask: Mask = combine.reduce(masks)
            return mask
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ~self.condition(node.operand)
        if isinstance(node, ast.Compare):
            return self._comparison(node)
        if self._column_name(node) == "error":
            missing: Mask = self._column("error").missing
            return ~missing
        value = self.value(node)
        if isinstance(value, Truths):
            return np.broadcast_to(value.values & ~value.missing, (self._n,)).copy()
        return self._no_condition(node)

    def value(self, node: ast.expr) -> Any:
        """Return the value of a column, a constant, a list of constants, or an arithmetic expression."""
        if (name := self._column_name(node)) is not None:
            if isinstance(node, ast.Name) and name.lower() in ("none", "null") and name not in self._names:
                return None
            if name == "wrong" and name not in self._names:
                correct = self._column("correct")
                return Truths(~correct.values & ~correct.missing, name=name)
            if name in _OUTCOMES and name not in self._names and "outcome" in self._names:
                return Truths(self._outcome(name), name=name)
            if name == "size" and name not in self._names:
                return self._column("box_area")
            return self._column(name)
        if isinstance(node, ast.Constant):
            return self._constant(node)
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            return [self.value(element) for element in node.elts]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            operand = self._numbers(node.operand)
            return Numbers(-operand.values if isinstance(node.op, ast.USub) else operand.values)
        if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
            left, right = self._numbers(node.left), self._numbers(node.right)
            return Numbers(_ARITHMETIC[type(node.op)](left.values, right.values))
        if isinstance(node, ast.Compare | ast.BoolOp) or (
            isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
        ):
            return Truths(self.condition(node))
        raise self._unsupported(node)

    def _outcome(self, name: str) -> Mask:
        """Return which rows have an outcome: `missed`, `false`, `ignored`."""
        compute = need("pyarrow.compute", extra="analysis", what="a query")
        return self._full(as_mask(compute.equal(self._column("outcome").values, name)))

    def _constant(self, node: ast.Constant) -> Any:
        value = node.value
        if value is None or isinstance(value, bool | str):
            return value
        if isinstance(value, int | float):
            return Numbers(np.array(float(value)))
        raise self._unsupported(node)

    def _numbers(self, node: ast.expr) -> Numbers:
        value = self.value(node)
        if not isinstance(value, Numbers):
            raise DataError(f"{self._source(node)} is no number, and arithmetic is done with numbers.")
        return value

    def _comparison(self, node: ast.Compare) -> Mask:
        """Return the conjunction of a chain of comparisons: .1 < confidence < .9."""
        result = np.ones(self._n, dtype=np.bool_)
        left = node.left
        for operator, right in zip(node.ops, node.comparators, strict=True):
            result &= self._pair(left, operator, right)
            left = right
        return result

    def _pair(self, left: ast.expr, operator: ast.cmpop, right: ast.expr) -> Mask:
        a, b = self._side(left), self._side(right)
        if a is None and b is not None:
            a, b = b, a
        if b is None:
            return self._is_none(a, operator, left)
        if isinstance(operator, ast.Is | ast.IsNot):
            raise DataError(f"{self._source(left)}: `is` compares with none only; use == for values.")
        if isinstance(operator, ast.In | ast.NotIn):
            inside = self._inside(a, b, left, right)
            return ~inside if isinstance(operator, ast.NotIn) else inside
        if isinstance(operator, ast.Eq | ast.NotEq):
            equal = self._equal(a, b, left, right)
            return ~equal if isinstance(operator, ast.NotEq) else equal
        if not isinstance(a, Numbers) or not isinstance(b, Numbers):
            raise DataError(
                f"{self._source(left)} and {self._source(right)}: < and > compare numbers; texts and truth values are "
                "compared with == and !=."
            )
        return self._full(_ORDER[type(operator)](a.values, b.values))

    def _side(self, node: ast.expr) -> Any:
        """Return one side of a comparison; a quoted name of a column that is no identifier is that column."""
        value = self.value(node)
        if isinstance(value, str) and not value.isidentifier() and _normal(value) in self._names:
            return self._column(value)
        return value

    def _is_none(self, value: Any, operator: ast.cmpop, node: ast.expr) -> Mask:
        if not isinstance(value, Numbers | Texts | Truths) or not isinstance(
            operator, ast.Is | ast.IsNot | ast.Eq | ast.NotEq
        ):
            raise DataError(f"{self._source(node)}: write COLUMN is none, or COLUMN is not none.")
        missing = self._full(value.missing)
        return ~missing if isinstance(operator, ast.IsNot | ast.NotEq) else missing

    def _equal(self, a: Any, b: Any, left: ast.expr, right: ast.expr) -> Mask:
        """Return where two values are equal and not missing."""
        if isinstance(a, Numbers) and isinstance(b, Numbers):
            return self._full(a.values == b.values)
        compute = need("pyarrow.compute", extra="analysis", what="a query")
        if isinstance(a, str) and isinstance(b, Texts):
            a, b = b, a
        if isinstance(a, Texts) and isinstance(b, str | Texts):
            return self._full(as_mask(compute.equal(a.values, b if isinstance(b, str) else b.values)))
        if isinstance(a, bool) and isinstance(b, Truths):
            a, b = b, a
        if isinstance(a, Truths) and isinstance(b, bool):
            return self._full((a.values == b) & ~a.missing)
        if isinstance(a, Truths) and isinstance(b, Truths):
            return self._full((a.values == b.values) & ~a.missing & ~b.missing)
        raise DataError(
            f"{self._source(left)} ({kind_of(a)}) and {self._source(right)} ({kind_of(b)}) cannot be compared."
        )

    def _inside(self, a: Any, b: Any, left: ast.expr, right: ast.expr) -> Mask:
        """Return where a value is in a list, or a text contains another one."""
        compute = need("pyarrow.compute", extra="analysis", what="a query")
        if isinstance(a, str) and isinstance(b, Texts):
            return self._full(as_mask(compute.match_substring(b.values, a)))
        if isinstance(b, list) and isinstance(a, Numbers) and all(is_one_number(one) for one in b):
            return self._full(np.isin(a.values, [float(one.values) for one in b]))
        if isinstance(b, list) and isinstance(a, Texts) and all(isinstance(one, str) for one in b):
            arrow = need("pyarrow", extra="analysis", what="a query")
            return self._full(as_mask(compute.is_in(a.values, value_set=arrow.array(b, type=arrow.string()))))
        raise DataError(
            f'{self._source(left)} in {self._source(right)}: write COLUMN in ["a", "b"], COLUMN in [1, 2], or "text" '
            "in COLUMN."
        )

    def _full(self, mask: Any) -> Mask:
        """Return a mask of all rows; a comparison of two constants is the same in every row."""
        return np.broadcast_to(np.asarray(mask, dtype=np.bool_), (self._n,)).copy()

    def _column_name(self, node: ast.expr) -> str | None:
        """Return the name that an expression spells, such as hires_cam.energy_in_box; None if it is no name."""
        if isinstance(node, ast.Name):
            index = node.id.removeprefix(_PLACEHOLDER)
            return self._quoted[int(index)] if node.id.startswith(_PLACEHOLDER) and index.isdigit() else node.id
        if isinstance(node, ast.Attribute) and (name := self._column_name(node.value)) is not None:
            return f"{name}.{node.attr}"
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            left, right = self._column_name(node.left), self._column_name(node.right)
            return None if left is None or right is None else f"{left} @ {right}"
        return None

    def _column(self, name: str) -> Any:
        """Return a column of the table, or one in `metadata`."""
        stored = self._names.get(_normal(name))
        if stored is None and name.startswith(f"{METADATA}.") and METADATA in self._names:
            return metadata_value(self._table[METADATA], name.removeprefix(f"{METADATA}."))
        if stored is None:
            raise DataError(
                f"there is no column {shown(name)}.{nearest(name, [*self._conditions(), *self._table.column_names])}"
                f" Columns: {', '.join(_short(self._table.column_names))}."
            )
        return column_value(self._table[stored], stored)

    def _conditions(self) -> list[str]:
        """Return the names that are no columns."""
        return ["wrong", "size", *(_OUTCOMES if "outcome" in self._names else ())]

    def _source(self, node: ast.expr) -> str:
        """Return the text of a part of the expression, as the user wrote it."""
        if (name := self._column_name(node)) is not None:
            return name
        text = ast.get_source_segment(self._text, node) or "this"
        for number, name in enumerate(self._quoted):
            text = text.replace(f"{_PLACEHOLDER}{number}", f"`{name}`")
        return text

    def _no_condition(self, node: ast.expr) -> Mask:
        raise DataError(f'{self._source(node)} is no condition: compare it, as in confidence > .9 or label == "cat".')

    def _unsupported(self, node: ast.expr) -> DataError:
        hint = ""
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr):
            hint = " Write and, or, not in place of &, |, ~."
        return DataError(
            f"{self._source(node)}: a query holds columns, numbers, texts, comparisons, and, or, not, in, is none, and "
            f"+ - * / only.{hint}"
        )


_PLACEHOLDER = "quoted_name_"
"""Begins the identifiers that stand for names in backticks."""


def _without_backticks(text: str) -> tuple[str, list[str]]:
    """Return an expression with identifiers in place of names in backticks, and these names."""
    names: list[str] = []

    def replace(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0]  # a text in quotes, whose backticks are its own
        names.append(match[1].strip())
        return f"{_PLACEHOLDER}{len(names) - 1}"

    return re.sub(r"""'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*"|`([^`]*)`""", replace, text), names


def _normal(name: str) -> str:
    """Return a name without spaces around @ and after commas, so that both spellings are found."""
    return re.sub(r"\s*([@,])\s*", r"\1", name.strip())


def _short(names: Sequence[str], most: int = 22) -> list[str]:
    return [*names[:most], *(["…"] if len(names) > most else [])]


def _hint(text: str) -> str:
    if re.search(r"(?<![=!<>])=(?!=)", text):
        return ". Equality is written =="
    if re.search(r"\b(AND|OR|NOT)\b", text):
        return ". Write and, or, not in lower case"
    return ""
