"""Numbers as they are printed."""

from __future__ import annotations

import math

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float) -> str:
    """Three digits: 0.613, 12.3, 1,240; a dash for what is not there."""
    if not math.isfinite(value):
        return "–"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if value and abs(value) < 0.001:
        digit, power = f"{value:.0e}".split("e")
        return f"{digit}·10{str(int(power)).translate(RAISED)}".replace("-", "−")
    return f"{value:.3g}".replace("-", "−")


def span(low: float, high: float) -> str:
    """An interval: "0.58 to 0.64"."""
    return f"{number(low)} to {number(high)}" if math.isfinite(low) and math.isfinite(high) else ""


def p_value(value: float) -> str:
    """A p-value, never 0."""
    if not math.isfinite(value):
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def listed(names: list[str], most: int = 4) -> str:
    """Names in a sentence: "a, b and c"; of many the first ones."""
    if len(names) > most:
        return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} others"
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def counted(count: int, thing: str) -> str:
    """ "1 picture", "3 pictures"."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
