"""Formatting of numbers."""

from __future__ import annotations

import math

SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def format_number(value: float) -> str:
    """Return a number with three significant digits, such as 0.613, 12.3 or 1,240; a dash if it is not finite."""
    if not math.isfinite(value):
        return "–"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if value and abs(value) < 0.001:
        digit, power = f"{value:.0e}".split("e")
        return f"{digit}·10{str(int(power)).translate(SUPERSCRIPT)}".replace("-", "−")
    return f"{value:.3g}".replace("-", "−")


def format_interval(low: float, high: float) -> str:
    """Return an interval, such as "0.58 to 0.64"; a dash if there is none."""
    return f"{format_number(low)} to {format_number(high)}" if math.isfinite(low) and math.isfinite(high) else "–"


def format_p_value(value: float) -> str:
    """Return a p-value; small values as "< 0.001", never as 0."""
    if not math.isfinite(value):
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def join_names(names: list[str], max_names: int = 4) -> str:
    """Return names as a list in a sentence, such as "a, b and c"; of many names only the first ones."""
    if len(names) > max_names:
        return f"{', '.join(names[: max_names - 1])} and {len(names) - max_names + 1} others"
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def count_noun(count: int, noun: str) -> str:
    """Return a count with its noun, such as "1 image" or "3 images"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
