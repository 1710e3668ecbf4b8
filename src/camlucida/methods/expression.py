"""Methods by what is written: a name, a name with options, or combinators round it.

    grad_cam        ablation_cam(infill=0.5)        smooth(positive(hires_cam), n=4)

Read as a Python expression, never run as one: calls, names and plain values are all that is understood.
"""

from __future__ import annotations

import ast
import dataclasses
from typing import Any

from camlucida.errors import MethodError, nearest
from camlucida.methods import registry
from camlucida.methods.combined import Combined, combinators
from camlucida.methods.registry import Method

LONGEST = 500
"""Letters of an expression."""


def find(name: str | Method | Combined) -> Method | Combined:
    """The method of that name (`grad-cam` and `GradCAM` are understood) or expression.

    Raises `MethodError`, which offers the nearest.
    """
    if isinstance(name, Combined):
        return name
    if not isinstance(name, str) or not any(sign in name for sign in "()"):
        if isinstance(name, str) and name.strip() in combinators():
            raise _bare(name.strip())
        return registry.find(name)
    text = name.replace("++", "plusplus").strip()
    if len(text) > LONGEST:
        raise MethodError(f"a method of {len(text)} letters; the longest that is read has {LONGEST}.")
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise MethodError(
            f"cannot read the method {text[:60]!r}: it goes like smooth(positive(hires_cam), n=4)."
        ) from None
    return _read(tree, text)


def _read(node: ast.expr, text: str) -> Method | Combined:
    written = ast.get_source_segment(text, node) or ""
    if not isinstance(node, ast.Call):
        if isinstance(node, ast.Constant | ast.Starred | ast.Tuple | ast.List | ast.Dict):
            raise MethodError(f"{written} stands where a method is wanted: {text}.")
        return find(written) if "(" not in written else _refused(written)
    called = ast.get_source_segment(text, node.func) or ""
    options = _options(node, called)
    known = combinators()
    if called not in known:
        return _with_options(called, node, options)
    if len(node.args) != 1:
        raise (
            _bare(called)
            if not node.args
            else MethodError(
                f"{called} takes one method, not {len(node.args)}; options have names: {_example(called)}."
            )
        )
    return known[called](_read(node.args[0], text), **options)


def _with_options(called: str, node: ast.Call, options: dict[str, Any]) -> Method:
    """A plain method in brackets' company: ablation_cam(infill=0.5)."""
    try:
        found = registry.find(called)
    except MethodError:
        both = [*combinators(), *registry.methods()]
        raise MethodError(
            f"no combinator or method {called!r}.{nearest(called, both)} Combinators: {', '.join(combinators())}."
        ) from None
    if node.args:
        raise MethodError(f"{found.name} takes no method. Combinators do: {', '.join(combinators())}.")
    merged = found.with_options(options)
    if not options:
        return found
    shown = ", ".join(f"{k}={v!r}" for k, v in options.items())
    return dataclasses.replace(found, name=f"{found.name}({shown})", options=merged)


def _options(node: ast.Call, called: str) -> dict[str, Any]:
    options = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise MethodError(f"{called}: options are written one by one, as name=value.")
        try:
            options[keyword.arg] = ast.literal_eval(keyword.value)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            raise MethodError(f"{called}: the value of {keyword.arg} is no plain number, word or list.") from None
    return options


def _refused(written: str) -> Method:
    raise MethodError(f"{written!r} is neither a method nor a combinator of one, as smooth(hires_cam, n=4) is.")


def _bare(name: str) -> MethodError:
    return MethodError(f"{name} is put on a method: {_example(name)}.")


def _example(name: str) -> str:
    options = ", ".join(f"{k}={v!r}" for k, v in combinators()[name].options.items())
    return f"{name}(grad_cam{', ' + options if options else ''})"
