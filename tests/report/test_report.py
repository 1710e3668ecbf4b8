"""The page: everything on it is in the run, nothing comes from elsewhere, and no winner is invented."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from camlucida.cli import main
from camlucida.data.datasets import ToyboxDataset, folder
from camlucida.data.toybox import Toybox
from camlucida.evaluation import Evaluation, evaluate
from camlucida.evaluation.recipes import recipe
from camlucida.models.load import load
from camlucida.report import report
from camlucida.report.charts import mean_curve, svg_chart
from camlucida.report.formatting import format_interval, format_number, format_p_value, join_names
from camlucida.report.thumbnails import best_and_worst

DATA = ToyboxDataset(Toybox(12, seed=1))


class Page(HTMLParser):
    """Tags with their attributes, and the text; complains about tags that are not closed."""

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
    file = tmp_path_factory.mktemp("page") / "deep" / "report.html"
    made = report(run, file, model=load("toybox"), data=DATA)
    assert made.stat().st_size < 5_000_000
    return made.read_text(encoding="utf-8")


def test_it_stands_for_itself(text: str) -> None:
    page = Page(text)
    assert not page.all("script") + page.all("link") + page.all("iframe")
    assert not re.search(r"https?://", text), "no other host"
    assert "url(" not in text
    sources = [img["src"] or "" for img in page.all("img")]
    assert sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)


def test_it_can_be_read_without_eyes_and_without_colours(text: str) -> None:
    page = Page(text)
    assert page.all("html")[0]["lang"] == "en"
    assert all(img["alt"] for img in page.all("img"))
    assert all(th.get("scope") in ("col", "row") for th in page.all("th"))
    assert all(svg.get("aria-label") or svg.get("aria-hidden") for svg in page.all("svg"))
    dashes = [tag.get("stroke-dasharray") for tag in page.all("polyline")]
    assert len(set(dashes)) == 4, "four methods, four kinds of line"
    assert "width=device-width" in text
    assert "@media screen and (prefers-color-scheme: dark)" in text, "paper is white"
    assert "@media print" in text


def test_every_number_is_that_of_the_run(run: Evaluation, text: str) -> None:
    page = Page(text)
    for metric in ("energy", "box_iou"):
        for method in run.methods:
            found = run.summary(metric, method)
            if found.n:
                assert format_number(found.value) in page.text
                assert format_interval(found.low, found.high) in page.text
    plan = run.plan
    for said in (plan["weights"], plan["data_hash"], f"torch {plan['versions']['torch']}", "12 pictures"):
        assert said in page.text


def test_one_map_has_no_winner(run: Evaluation, text: str) -> None:
    page = Page(text)
    assert "cam and grad_cam are the same map up to a positive factor on all 12 pictures" in page.text
    assert "Between them there is no winner" in page.text
    rows = re.findall(r"<td class=\"text\">cam − grad_cam</td>.*?</tr>", text, flags=re.S)
    assert len(rows) == 5
    assert all("the same map" in row for row in rows)


def test_best_is_only_who_is_tested_to_be(tmp_path: Path) -> None:
    found = evaluate(
        "toybox", ToyboxDataset(Toybox(24, objects=2)), methods=["grad_cam", "gradient"], target="label", out=tmp_path
    )
    assert found.compare("energy", "grad_cam", "gradient").winner == "grad_cam"
    text = report(found, tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.count('class="best"') == 2, "energy and its lift"
    doubted = report(found, tmp_path / "page.html", untrusted={"energy": "it likes frames"}).read_text(encoding="utf-8")
    assert doubted.count('class="best"') == 1
    assert "energy is not trusted here: it likes frames" in Page(doubted).text
    assert "energy cannot tell the controls apart" in Page(doubted).text
    even = evaluate("toybox", ToyboxDataset(Toybox(4)), methods=["grad_cam", "layer_cam"], out=tmp_path / "few")
    assert 'class="best"' not in report(even, tmp_path / "page.html").read_text(encoding="utf-8")


def test_failures_have_their_reason(tmp_path: Path) -> None:
    photos = tmp_path / "a <b>"
    photos.mkdir()
    for i in range(3):
        image = DATA[i].image
        assert isinstance(image, Image.Image)
        image.save(photos / f"{i}.png")
    (photos / "no & picture.png").write_text("x")
    found = evaluate("toybox:vgg", folder(photos), methods=["cam"], out=tmp_path / "run")
    text = report(found, tmp_path / "page.html", model=load("toybox:vgg"), data=folder(photos)).read_text(
        encoding="utf-8"
    )
    page = Page(text)
    assert "no & picture.png" in page.text
    assert "average pooling" in page.text
    assert "Nothing could be measured" in page.text
    assert "<b>&#39;" not in text
    assert "a &lt;b&gt;" in text


def test_other_data_or_weights_are_not_shown(run: Evaluation, tmp_path: Path) -> None:
    other = report(run, tmp_path / "a.html", model=load("toybox"), data=ToyboxDataset(Toybox(12, seed=9)))
    assert "No picture is shown: toybox has other pictures, labels or boxes now" in Page(other.read_text("utf-8")).text
    model = load("toybox")
    with torch.no_grad():
        next(model.network.parameters()).mul_(1.5)
    assert (
        "No picture is shown: the model's weights"
        in Page(report(run, tmp_path / "b.html", model=model, data=DATA).read_text("utf-8")).text
    )


def test_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ["evaluate", "toybox", "--limit", "6", "--recipe", "cam-vs-gradcam", "-o", "run", "--report", "page.html"]
    with pytest.raises(SystemExit) as stop:
        main([*asked, "--metrics", "energy", "--no-controls"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert "same map up to a positive factor" in re.sub(r"\s+", " ", said)
    assert "grad_cam @ layer4.0.conv2" in said
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
    assert "holds no run" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "toybox", "--recipe", "cam-vs-gradcam", "--method", "cam"])
    assert "leave --method out" in re.sub(r"\s+", " ", capsys.readouterr().err)


def test_reports_are_loaded_when_they_are_wanted() -> None:
    code = "import sys, camlucida.cli.commands; sys.exit('jinja2' in sys.modules or 'camlucida.report' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_band_holds_the_mean_and_ends_where_it_should() -> None:
    curves = np.random.default_rng(0).uniform(size=(50, 200)).cumsum(1) / 200
    drawn = mean_curve("a", curves)
    half = 1.96 * curves[:, 3].std(ddof=1) / np.sqrt(50)
    assert drawn.high[3] - drawn.mean[3] == pytest.approx(half)
    svg = svg_chart([drawn], "x & y", "up")
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


def test_numbers_in_words() -> None:
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
