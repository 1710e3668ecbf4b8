"""The page of where a model errs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from camlucida.analysing.calibration import Calibration
from camlucida.analysing.confusion import Confusion
from camlucida.analysing.erring import Mistakes
from camlucida.analysing.errors_sheet import Mistake
from camlucida.evaluation.statistics import Interval
from camlucida.explanation import Explanation
from camlucida.extras import need
from camlucida.render.boxes import boxed
from camlucida.render.display import show_picture, shown_size
from camlucida.render.text import percent
from camlucida.report.gallery import Shot
from camlucida.report.numbers import counted, number, p_value, span
from camlucida.report.reliability import reliability
from camlucida.report.rendering import write_page
from camlucida.report.tables import Cell, Grid
from camlucida.report.thumbnails import as_uri

SIDE = 240
ERRORS = 12
PAIRS, CLASSES, FAILURES = 15, 60, 20
MEANINGS = {
    "entropy": "how spread out the map is, in bits",
    "energy": "the share of the map on the object",
    "energy_lift": "that share over the object's share of the picture",
}


def mistakes_report(found: Mistakes, path: str | Path, *, errors: int = ERRORS) -> Path:
    """Write the page: confusion, calibration, the surest errors with their maps, right beside wrong.

    errors   how many of the surest wrong answers are shown; none where `found` has no model and data
    Raises `MissingExtra` where jinja2 is not installed.
    """
    need("jinja2", extra="analysis", what="writing a report")
    return write_page(Path(path).expanduser(), "mistakes.html", view(found, errors))


def view(found: Mistakes, errors: int) -> dict[str, Any]:
    """Everything that the template puts on the page."""
    plan, judged = found.plan, bool(found.judged)
    calibration = found.calibration if judged else None
    explained = found.explain(errors) if judged and found.model is not None and found.data is not None else []
    return {
        "title": f"Where {plan['model']} errs on {plan['data']}",
        "facts": _facts(found),
        "sentences": sentences(found, calibration),
        "matrix": _matrix(found.confusion) if judged else None,
        "pairs": found.confusion.pairs(PAIRS) if judged else [],
        "classes": _classes(found.confusion) if judged else [],
        "more_classes": max(0, len(found.confusion.classes()) - CLASSES) if judged else 0,
        "reliability": reliability(calibration.bins) if calibration else "",
        "numbers": _numbers(calibration) if calibration else [],
        "errors": [_error(each) for each in explained],
        "contrasts": _contrasts(found),
        "failures": found.failures[:FAILURES],
        "more": max(0, len(found.failures) - FAILURES),
        "percent": percent,
    }


def _facts(found: Mistakes) -> list[tuple[str, str]]:
    plan = found.plan
    layer = "the default layer" if plan["layer"] is None else str(plan["layer"])
    return [
        ("model", f"{plan['model']} (weights {plan['weights']})"),
        ("data", f"{plan['data']} ({counted(plan['pictures'], 'picture')}, {plan['data_hash']})"),
        ("maps", f"{plan['method']} at {layer}"),
        ("seed", str(plan["seed"])),
        ("versions", ", ".join(f"{name} {version}" for name, version in plan["versions"].items())),
        ("run", str(found.path)),
    ]


def sentences(found: Mistakes, calibration: Calibration | None) -> list[str]:
    """What the numbers say, the first words of the page; `calibration` is None where nothing was judged."""
    said = []
    if calibration:
        wrong = len(found.errors())
        said.append(f"Right on {_share(found.accuracy)} of {counted(len(found.judged), 'picture')}; {wrong:,} wrong.")
        said.append(f"The true class is among the five likeliest on {_share(found.top5)}.")
        pairs = found.confusion.pairs(1)
        if pairs:
            most = pairs[0]
            said.append(f"Most often confused: {most.truth}, taken for {most.said} ({most.count} of {most.total}).")
        said.append(_on_calibration(calibration))
    differing = [each for each in found.contrasts if each.differs]
    for each in differing:
        way = "higher" if each.difference.value > 0 else "lower"
        said.append(
            f"On right answers {each.name} is {way} than on wrong ones: {number(each.right.value)} against "
            f"{number(each.wrong.value)} (p {p_value(each.corrected)})."
        )
    if found.contrasts and not differing:
        said.append("No difference was found between the maps of right and of wrong answers.")
    if found.unjudged:
        said.append(
            f"{counted(len(found.unjudged), 'picture')} without a label, or with one that the model does not have: "
            "not judged."
        )
    if found.failures:
        said.append(f"{counted(len(found.failures), 'picture')} could not be read: see below why.")
    return said


def _on_calibration(c: Calibration) -> str:
    if not c.off:
        return (
            f"Nothing says that its confidence is wrong: the calibration error is {c.ece:.1%}, and up to "
            f"{c.chance[1]:.1%} come by chance with so many pictures."
        )
    way = "too sure of itself" if c.gap > 0 else "less sure than it could be"
    return (
        f"It is {way}: the calibration error is {c.ece:.1%}, and up to {c.chance[1]:.1%} would come by chance with so "
        "many pictures."
    )


def _share(interval: Interval) -> str:
    return f"{percent(interval.value)} ({interval.low:.1%} to {interval.high:.1%})"


def _matrix(whole: Confusion) -> dict[str, Any]:
    block = whole.block()
    totals = dict(zip(whole.names, whole.counts.sum(1), strict=True))
    rows = []
    for i, name in enumerate(block.names):
        cells = []
        for j, count in enumerate(block.counts[i].tolist()):
            depth = math.sqrt(count / max(1, totals[name]))
            cells.append({"count": count, "right": i == j, "depth": f"{0.75 * depth:.2f}"})
        rows.append((name, cells, int(totals[name])))
    return {"names": block.names, "rows": rows, "of": len(whole.names)}


def _classes(confusion: Confusion) -> list[dict[str, Any]]:
    return [
        {
            "name": each.name,
            "n": each.n,
            "accuracy": percent(each.accuracy.value),
            "span": f"{each.accuracy.low:.0%} to {each.accuracy.high:.0%}",
            "precision": "–" if math.isnan(each.precision) else percent(each.precision),
        }
        for each in confusion.classes()[:CLASSES]
    ]


def _numbers(c: Calibration) -> list[tuple[str, str, str]]:
    chance = f"{c.chance[0]:.1%} on average, up to {c.chance[1]:.1%}, if it were right as often as it says"
    found = [
        ("ECE, 15 bins of equal width", f"{c.ece:.2%}", chance),
        ("ECE, 15 bins with equally many", f"{c.adaptive:.2%}", "does not depend on where bins begin"),
        ("largest gap of a bin", f"{c.largest:.1%}", "of few answers it is mostly chance"),
        ("mean confidence less accuracy", f"{c.gap:+.1%}", "above 0: too sure"),
    ]
    if c.tempered:
        t = c.tempered
        note = f"the loss would fall from {number(t.loss[0])} to {number(t.loss[1])}, the ECE become {t.ece:.2%}"
        note = "the loss has no minimum: the further, the better" if t.endless else note
        found.append(("temperature that would help", number(t.temperature), f"{note}; not applied"))
    return found


def _error(each: Mistake) -> dict[str, Any]:
    sure, missed = each.likelier
    row = each.row
    shots = [
        Shot(_small(each, None), f"{row['picture']}", ["picture"]),
        Shot(_small(each, each.said), f"map of {row['said']}", [f"saw: {row['said']}", percent(sure)]),
        Shot(_small(each, each.true), f"map of {row['label']}", [f"missed: {row['label']}", percent(missed)]),
    ]
    return {"name": row["picture"], "said": row["said"], "label": row["label"], "shots": shots}


def _small(each: Mistake, explained: Explanation | None) -> str:
    picture = each.said.picture
    image = picture if explained is None else explained.overlay()
    size = shown_size(picture.size, (SIDE, SIDE))
    small = show_picture(image, size)
    if each.boxes is None:
        return as_uri(small)
    return as_uri(boxed(small, each.boxes * ([size[0] / picture.width, size[1] / picture.height] * 2)))


def _contrasts(found: Mistakes) -> list[Grid]:
    some = [each for each in found.contrasts if min(each.n)]
    if not some:
        return []
    rows = []
    for each in some:
        cells = [
            _interval(each.right, f"{each.n[0]:,} pictures"),
            _interval(each.wrong, f"{each.n[1]:,} pictures"),
            _interval(each.difference, "differs" if each.differs else ""),
            Cell(p_value(each.corrected)),
        ]
        rows.append((f"{each.name}: {MEANINGS[each.name]}", False, cells))
    heads = [("right answers", ""), ("wrong answers", ""), ("difference", "right less wrong"), ("p", "corrected")]
    return [Grid("maps of the class that was said", heads, rows, "the map's")]


def _interval(interval: Interval, note: str) -> Cell:
    return Cell(number(interval.value), span(interval.low, interval.high), note)
