"""Files of an explanation regression test: JUnit XML for continuous integration, Markdown for a pull request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from camlucida._escaping import printable
from camlucida.audits.comparison.conditions import ConditionResult
from camlucida.audits.comparison.matching import ACCURACY
from camlucida.audits.comparison.result import ALL, Comparison, Shift

SUITE = "camlucida audit --against"
MAX_SENTENCES = 6
MAX_IMAGES = 5
TABLE_COLUMNS = (ACCURACY, "energy_in_box", "true_energy_in_box", "energy_at_border", "entropy", "confidence")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MARKUP = re.compile(r"([\\`*_{}\[\]#|<>~&])")
_MENTION = "@\N{ZERO WIDTH SPACE}"
"""An at sign that is no mention of a user; a backslash does not prevent one."""


def junit_xml(comparison: Comparison, results: Sequence[ConditionResult]) -> str:
    """Return JUnit XML with one test case per condition; a condition that holds is a failure.

    Args:
        comparison: The comparison.
        results: The tested conditions.
    """
    failures = sum(result.holds for result in results)
    counts = {"tests": str(len(results)), "failures": str(failures), "errors": "0"}
    root = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(root, "testsuite", {"name": SUITE, **counts, "skipped": "0"})
    properties = ElementTree.SubElement(suite, "properties")
    for which, described in (("old", comparison.old), ("new", comparison.new)):
        for name in ("model", "weights"):
            entry = {"name": f"{which}.{name}", "value": _xml_text(described[name])}
            ElementTree.SubElement(properties, "property", entry)
    for result in results:
        named = {"classname": "camlucida.audit", "name": _xml_text(result.condition.text), "time": "0"}
        case = ElementTree.SubElement(suite, "testcase", named)
        if result.holds:
            sentences = [_xml_text(sentence) for sentence in result.sentences()]
            failure = ElementTree.SubElement(case, "failure", {"message": sentences[0], "type": "ConditionHolds"})
            failure.text = "\n".join(sentences)
        output = ElementTree.SubElement(case, "system-out")
        output.text = "\n".join(_xml_text(test.sentence(result.condition.column)) for test in result.tests)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def markdown(comparison: Comparison, results: Sequence[ConditionResult]) -> str:
    """Return a summary for a pull request: the verdict, a small table, sentences, and the first images.

    Args:
        comparison: The comparison.
        results: The tested conditions; empty for none.
    """
    old, new = (_plain(str(model["model"])) for model in (comparison.old, comparison.new))
    holding = [result for result in results if result.holds]
    lines = [f"### Explanations of {new} against {old}", ""]
    if results:
        verdict = f"**Failed:** {len(holding)} of {len(results)} conditions hold." if holding else "**Passed.**"
        lines += [f"{verdict} {comparison.matching['n']:,} images compared.", ""]
        for result in results:
            lines.append(f"- {'✗' if result.holds else '✓'} `{result.condition.text.replace('`', '')}`")
            lines += [f"    - {_plain(sentence)}" for sentence in result.sentences()[:MAX_SENTENCES]]
        lines.append("")
    shifts = [shift for shift in comparison.shifts if shift.group == ALL and shift.column in TABLE_COLUMNS]
    shifts.sort(key=lambda shift: TABLE_COLUMNS.index(shift.column))
    lines += ["| | old | new | change (95 % interval) | corrected p | images |", "|---|--:|--:|--:|--:|--:|"]
    lines += [_table_row(shift) for shift in shifts]
    lines += ["", *(f"- {_plain(sentence)}" for sentence in comparison.sentences()[:MAX_SENTENCES])]
    if comparison.regressions:
        lines += ["", f"Regressions ({comparison.n_regressions:,}), most confident first:", ""]
        lines += [
            f"- {_plain(each.image)}: {_plain(each.old_predicted)} before, {_plain(each.new_predicted)} now"
            for each in comparison.regressions[:MAX_IMAGES]
        ]
    if comparison.different_reasons:
        lines += ["", f"Same prediction for different reasons ({comparison.n_different_reasons:,}):", ""]
        lines += [
            f"- {_plain(each.image)} ({_plain(each.new_predicted)}): rank correlation of the maps "
            f"{each.map_correlation:.2f}, energy on the object {each.old_energy_in_box:.2f} before, "
            f"{each.new_energy_in_box:.2f} now".replace(", energy on the object nan before, nan now", "")
            for each in comparison.different_reasons[:MAX_IMAGES]
        ]
    return "\n".join(lines) + "\n"


def _table_row(shift: Shift) -> str:
    change = f"{shift.difference.value:+.3f} ({shift.difference.low:+.3f} to {shift.difference.high:+.3f})"
    cells = [_plain(shift.column), f"{shift.old:.3f}", f"{shift.new:.3f}", change, f"{shift.p_corrected:.2g}"]
    return f"| {' | '.join([*cells, f'{shift.n:,}'])} |"


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is: names of files and classes are not markup, mentions or HTML."""
    return _MARKUP.sub(r"\\\1", printable(text, lines=False)).replace("@", _MENTION)


def _xml_text(text: object) -> str:
    """Return text without the characters that XML 1.0 does not allow, also not as references."""
    return _NOT_XML.sub("�", str(text))
