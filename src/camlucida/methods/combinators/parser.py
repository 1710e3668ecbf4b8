"""Parse the text of a method: a name, a name with options, or combinators applied to it.

    grad_cam        ablation_cam(infill=0.5)        smooth(positive(hires_cam), n=4)

The text is parsed as a Python expression and never executed; only calls, names and plain values are accepted.
"""

from __future__ import annotations

import ast
import dataclasses
from typing import Any

from camlucida.errors import MethodError, nearest
from camlucida.methods import registry
from camlucida.methods.combinators.base import Combined, combinators
from camlucida.methods.registry import Method

MAX_EXPRESSION_CHARS = 500
"""Maximum length of an expression."""


def find(name: str | Method | Combined) -> Method | Combined:
    """Return the method for a name or an expression; `grad-cam` and `GradCAM` are accepted spellings of `grad_cam`.

    Args:
        name: Name or expression; a method or combined method is returned as it is.

    Raises:
        MethodError: The text is not a method; the message suggests similar names.
    """
    if isinstance(name, Combined):
        return name
    if not isinstance(name, str) or not any(char in name for char in "()"):
        if isinstance(name, str) and name.strip() in combinators():
            raise _missing_method_error(name.strip())
        return registry.find(name)
    text = name.replace("++", "plusplus").strip()
    if len(text) > MAX_EXPRESSION_CHARS:
        raise MethodError(f"the method has {len(text)} characters; at most {MAX_EXPRESSION_CHARS} are allowed.")
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise MethodError(
            f"cannot parse the method {text[:60]!r}: an expression looks like smooth(positive(hires_cam), n=4)."
        ) from None
    return _evaluate(tree, text)


def _evaluate(node: ast.expr, text: str) -> Method | Combined:
    source = ast.get_source_segment(text, node) or ""
    if not isinstance(node, ast.Call):
        if isinstance(node, ast.Constant | ast.Starred | ast.Tuple | ast.List | ast.Dict):
            raise MethodError(f"expected a method instead of {source}: {text}.")
        return find(source) if "(" not in source else _not_a_method(source)
    name = ast.get_source_segment(text, node.func) or ""
    options = _parse_options(node, name)
    table = combinators()
    if name not in table:
        return _with_options(name, node, options)
    if len(node.args) != 1:
        raise (
            _missing_method_error(name)
            if not node.args
            else MethodError(f"{name} takes one method, not {len(node.args)}; pass options by name: {_example(name)}.")
        )
    return table[name](_evaluate(node.args[0], text), **options)


def _with_options(name: str, node: ast.Call, options: dict[str, Any]) -> Method:
    """Return a plain method with options: ablation_cam(infill=0.5)."""
    try:
        method = registry.find(name)
    except MethodError:
        known_names = [*combinators(), *registry.methods()]
        raise MethodError(
            f"no combinator or method {name!r}.{nearest(name, known_names)} Combinators: {', '.join(combinators())}."
        ) from None
    if node.args:
        raise MethodError(f"{method.name} takes no method. Combinators do: {', '.join(combinators())}.")
    merged = method.with_options(options)
    if not options:
        return method
    formatted = ", ".join(f"{k}={v!r}" for k, v in options.items())
    return dataclasses.replace(method, name=f"{method.name}({formatted})", options=merged)


def _parse_options(node: ast.Call, name: str) -> dict[str, Any]:
    options = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise MethodError(f"{name}: options are passed as name=value, not with **.")
        try:
            options[keyword.arg] = ast.literal_eval(keyword.value)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            raise MethodError(f"{name}: the value of {keyword.arg} is not a number, a string or a list.") from None
    return options


def _not_a_method(source: str) -> Method:
    raise MethodError(f"{source!r} is neither a method nor a combinator of one, such as smooth(hires_cam, n=4).")


def _missing_method_error(name: str) -> MethodError:
    return MethodError(f"{name} requires a method: {_example(name)}.")


def _example(name: str) -> str:
    options = ", ".join(f"{k}={v!r}" for k, v in combinators()[name].options.items())
    return f"{name}(grad_cam{', ' + options if options else ''})"
