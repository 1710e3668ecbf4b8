"""Reports of evaluations: self-contained, with the numbers of the run, and no winner that is not significant."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from camlucida.cli import main
from camlucida.data.datasets import ToyboxDataset, folder
from camlucida.data.toybox import Toybox
from camlucida.evaluation import Evaluation, evaluate
from camlucida.evaluation.recipes import recipe
from camlucida.evaluation.records import Summary
from camlucida.metrics import find
from camlucida.models.load import load
from camlucida.report import report
from camlucida.report.charts import mean_curve, svg_chart
from camlucida.report.formatting import format_interval, format_number, format_p_value, join_names
from camlucida.report.summary_text import TestResults as PairedTests
from camlucida.report.summary_text import _best_sentence
from camlucida.report.thumbnails import best_and_worst

DATA = ToyboxDataset(Toybox(12, seed=1))


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text; fails for tags that are not closed."""

    VOID = frozenset({"meta", "img", "br", "path", "polygon", "polyline"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    study = recipe("cam-vs-gradcam", load("toybox"))
    out = tmp_path_factory.mktemp("run")
    return evaluate(
        "toybox", DATA, methods=study.methods[:4], metrics=study.metrics, compared=study.compared_pairs, out=out / "run"
    )


@pytest.fixture(scope="module")
def text(run: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = report(run, tmp_path_factory.mktemp("page") / "deep" / "report.html", model=load("toybox"), data=DATA)
    assert path.stat().st_size < 5_000_000
    return path.read_text(encoding="utf-8")


def test_report_is_self_contained(text: str) -> None:
    page = Page(text)
    assert not page.all("script") + page.all("link") + page.all("iframe")
    assert not re.search(r"https?://", text), "no other host"
    assert "url(" not in text
    sources = [img["src"] or "" for img in page.all("img")]
    assert sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)


def test_report_is_accessible(text: str) -> None:
    page = Page(text)
    assert page.all("html")[0]["lang"] == "en"
    assert all(img["alt"] for img in page.all("img"))
    assert all(th.get("scope") in ("col", "row") for th in page.all("th"))
    assert all(svg.get("aria-label") or svg.get("aria-hidden") for svg in page.all("svg"))
    dashes = [tag.get("stroke-dasharray") for tag in page.all("polyline")]
    assert len(set(dashes)) == 4, "one dash pattern per method"
    assert "width=device-width" in text
    assert "@media screen and (prefers-color-scheme: dark)" in text, "printed in light colours"
    assert "@media print" in text


def test_numbers_are_those_of_the_run(run: Evaluation, text: str) -> None:
    page = Page(text)
    for metric in ("energy", "box_iou"):
        for method in run.methods:
            summary = run.summary(metric, method)
            if summary.n:
                assert format_number(summary.value) in page.text
                assert format_interval(summary.low, summary.high) in page.text
    plan = run.plan
    for fact in (plan["weights"], plan["data_hash"], f"torch {plan['versions']['torch']}", "12 images"):
        assert fact in page.text


def test_equal_maps_have_no_winner(run: Evaluation, text: str) -> None:
    page = Page(text)
    assert "The maps of cam and grad_cam are equal up to a positive factor on all 12 images" in page.text
    assert "Neither is better" in page.text
    rows = re.findall(r"<td class=\"text\">cam − grad_cam</td>.*?</tr>", text, flags=re.S)
    assert len(rows) == 5
    assert all("equal maps" in row for row in rows)


def test_each_method_has_its_own_value() -> None:
    """Maps that are equal up to a factor can score differently by a metric with a threshold."""
    values = {"cam": 0.556, "grad_cam": 0.528, "layer_cam": 0.4, "hires_cam": 0.556}

    def sentence(values: dict[str, float]) -> str:
        summaries = {
            ("box_iou", m): Summary(m, "box_iou", v, v - 0.1, v + 0.1, 30, 0, "high", False) for m, v in values.items()
        }
        evaluation = SimpleNamespace(
            methods=tuple(values),
            controls=frozenset(),
            values={"box_iou": find("box_iou").metric.outputs["box_iou"]},
            same_maps=lambda first, second: "layer_cam" not in (first, second),
        )
        return _best_sentence(PairedTests(evaluation, summaries, [], [], {}), "box_iou")  # type: ignore[arg-type]

    text = sentence(values)
    assert "cam and hires_cam have the best score, 0.556 (0.456 to 0.656)" in text
    assert "grad_cam 0.528 (0.428 to 0.628)" in text
    assert "not significantly better than layer_cam." in text
    del values["layer_cam"]
    assert "grad_cam 0.528 (0.428 to 0.628)" in sentence(values)


def test_only_significantly_better_methods_are_best(tmp_path: Path) -> None:
    result = evaluate(
        "toybox", ToyboxDataset(Toybox(24, objects=2)), methods=["grad_cam", "gradient"], target="true", out=tmp_path
    )
    assert result.compare("energy", "grad_cam", "gradient").winner == "grad_cam"
    path = tmp_path / "page.html"
    text = report(result, path).read_text(encoding="utf-8")
    assert text.count('class="best"') == 2, "energy and energy_lift"
    untrusted = report(result, path, untrusted={"energy": "it prefers frames"}).read_text(encoding="utf-8")
    assert untrusted.count('class="best"') == 1
    assert "energy is not reliable here: it prefers frames" in Page(untrusted).text
    assert "energy is not reliable here: it does not separate the controls" in Page(untrusted).text
    undecided = evaluate("toybox", ToyboxDataset(Toybox(4)), methods=["grad_cam", "layer_cam"], out=tmp_path / "few")
    assert 'class="best"' not in report(undecided, path).read_text(encoding="utf-8")


def test_failures_are_listed_with_reasons(tmp_path: Path) -> None:
    photos = tmp_path / "a <b>"
    photos.mkdir()
    for i in range(3):
        image = DATA[i].image
        assert isinstance(image, Image.Image)
        image.save(photos / f"{i}.png")
    (photos / "no & image.png").write_text("x")
    result = evaluate("toybox:vgg", folder(photos), methods=["cam"], out=tmp_path / "run")
    path = report(result, tmp_path / "page.html", model=load("toybox:vgg"), data=folder(photos))
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert "no & image.png" in page.text
    assert "average pooling" in page.text
    assert "No metric could be computed" in page.text
    assert "<b>&#39;" not in text
    assert "a &lt;b&gt;" in text


def test_images_of_other_data_or_weights_are_omitted(run: Evaluation, tmp_path: Path) -> None:
    other = report(run, tmp_path / "a.html", model=load("toybox"), data=ToyboxDataset(Toybox(12, seed=9)))
    assert (
        "No images are displayed: the images, labels, boxes or masks of toybox" in Page(other.read_text("utf-8")).text
    )
    model = load("toybox")
    with torch.no_grad():
        next(model.network.parameters()).mul_(1.5)
    other = report(run, tmp_path / "b.html", model=model, data=DATA)
    assert "No images are displayed: the model's weights" in Page(other.read_text("utf-8")).text


def test_report_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["evaluate", "toybox", "--limit", "6", "--recipe", "cam-vs-gradcam", "-o", "run", "--report", "page.html"]
    with pytest.raises(SystemExit) as stop:
        main([*command, "--metrics", "energy", "--no-controls"])
    assert stop.value.code == 0
    output = capsys.readouterr().out
    assert "up to a positive factor" in re.sub(r"\s+", " ", output)
    assert "grad_cam @ layer4.0.conv2" in output
    first = (tmp_path / "page.html").read_text(encoding="utf-8")
    with pytest.raises(SystemExit) as stop:
        main(["report", "run", "-o", "again.html"])
    assert stop.value.code == 0
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == first
    with pytest.raises(SystemExit) as stop:
        main(["report", "run", "-o", "plain.html", "--no-images"])
    assert "<img" not in (tmp_path / "plain.html").read_text(encoding="utf-8")
    with pytest.raises(SystemExit) as stop:
        main(["report", "nowhere"])
    assert stop.value.code == 2
    assert "contains no run" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "toybox", "--recipe", "cam-vs-gradcam", "--method", "cam"])
    assert "remove --method" in re.sub(r"\s+", " ", capsys.readouterr().err)


def test_report_modules_are_imported_lazily() -> None:
    code = "import sys, camlucida.cli.commands; sys.exit('jinja2' in sys.modules or 'camlucida.report' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_mean_curve_and_its_polyline() -> None:
    curves = np.random.default_rng(0).uniform(size=(50, 200)).cumsum(1) / 200
    curve = mean_curve("a", curves)
    half_width = 1.96 * curves[:, 3].std(ddof=1) / np.sqrt(50)
    assert curve.high[3] - curve.mean[3] == pytest.approx(half_width)
    svg = svg_chart([curve], "x & y", "score")
    assert "x &amp; y" in svg
    points = re.search(r'class="line s0" points="([^"]+)"', svg)
    assert points is not None
    assert len(points[1].split()) == 60
    assert points[1].split()[0].startswith("46.0,")
    assert points[1].split()[-1].startswith("448.0,")
    assert "-0<" not in svg


def test_best_and_worst() -> None:
    values = [(4, 0.1), (5, 0.9), (6, 0.5), (7, 0.3), (8, 0.7)]
    assert best_and_worst(values, "high", 3) == ([5, 8], [4, 7])
    assert best_and_worst(values, "low", 1) == ([4], [5])
    assert best_and_worst(values[:1], "high", 3) == ([], [])


def test_number_formats() -> None:
    assert [format_number(x) for x in (0.61349, -2, 1234.5, 0, 8e-7, float("nan"))] == [
        "0.613",
        "−2",
        "1,234",
        "0",
        "8·10⁻⁷",
        "–",
    ]
    assert (format_p_value(1e-9), format_p_value(0.0423)) == ("< 0.001", "0.042")
    assert join_names(["a"]) == "a"
    assert join_names(["a", "b", "c"]) == "a, b and c"
    assert join_names(list("abcdef")) == "a, b, c and 3 others"
