"""Explanations as PDF, SVG and HTML: what is in the files, and that names in them are only text."""

from __future__ import annotations

import base64
import io
import json
import re
import shlex
import xml.etree.ElementTree as ET
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import camlucida as cl
from camlucida.attribution.explanation import Explanation
from camlucida.attribution.explanation_set import ExplanationSet
from camlucida.attribution.reproduction import reproduction_lines
from camlucida.errors import MissingExtra
from camlucida.types import Prediction

IMAGE = Image.fromarray((np.arange(40 * 56 * 3) % 251).astype(np.uint8).reshape(40, 56, 3))
HOSTILE = "</script><script>alert(1)</script> & \"quoted\" 'name' <!--"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def single() -> Explanation:
    return cl.explain("toybox", IMAGE)


@pytest.fixture(scope="module")
def several() -> ExplanationSet:
    return cl.explain("toybox", IMAGE, target=["top2", "cat rather than dog"], layer=["layer3", "layer4"])


@pytest.fixture(scope="module")
def hostile(single: Explanation) -> Explanation:
    predictions = (Prediction(0, HOSTILE, 0.5, 1.0), *single.predictions[1:])
    return replace(single, target=HOSTILE, index=0, source=HOSTILE, predictions=predictions, model="m\u202eodel")


def pdf_streams(file: bytes) -> list[bytes]:
    streams = []
    for match in re.finditer(rb"stream\r?\n(.*?)\r?\nendstream", file, re.DOTALL):
        try:
            streams.append(zlib.decompress(match[1]))
        except zlib.error:
            streams.append(match[1])
    return streams


def pdf_text(file: bytes) -> list[str]:
    """Return the strings of the pages of a PDF with one embedded font, decoded with its map to Unicode."""
    streams = pdf_streams(file)
    (cmap,) = (stream for stream in streams if b"beginbfchar" in stream)
    letters = {
        int(code, 16): bytes.fromhex(unicode.decode()).decode("utf-16-be")
        for code, unicode in re.findall(rb"<([0-9A-F]{4})> <([0-9A-F]+)>", cmap)
    }
    lines = []
    for stream in streams:
        for text in re.findall(rb"Td [^(]*\(((?:[^\\)]|\\.)*)\) Tj", stream, re.DOTALL):
            plain = re.sub(rb"\\(.)", lambda m: {b"r": b"\r", b"n": b"\n"}.get(m[1], m[1]), text, flags=re.DOTALL)
            codes = np.frombuffer(plain, ">u2")
            lines.append("".join(letters[int(code)] for code in codes))
    return lines


def view_data(file: bytes) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', file.decode(), re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_pdf_has_text_and_images_with_300_dpi(single: Explanation, tmp_path: Path) -> None:
    pytest.importorskip("fpdf", reason="no fpdf2")
    (path,) = single.save(tmp_path / "figure.pdf")
    file = path.read_bytes()
    assert file.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type /Page\b", file)) == 1
    text = pdf_text(file)
    for words in (single.target, single.score_label, "Predictions", "Overlay", single.predictions[1].name):
        assert words in text
    assert any(line.startswith("toybox · ") for line in text)
    placed = re.findall(rb"q ([\d.]+) 0 0 ([\d.]+) [\d.]+ [\d.]+ cm /I\d+ Do", b"".join(pdf_streams(file)))
    pixels = re.findall(rb"/Height (\d+).{0,200}?/Width (\d+)", file, re.DOTALL)
    assert len(placed) == len(pixels) == 4  # image, heatmap, overlay, colour scale
    for (width, _), (_, columns) in zip(placed, pixels, strict=True):
        assert int(columns) / (float(width) / 72) == pytest.approx(300, rel=0.01)


def test_pdf_of_a_set_has_each_label(several: ExplanationSet) -> None:
    pytest.importorskip("fpdf", reason="no fpdf2")
    text = pdf_text(several.pdf(opacity=0.7))
    assert {"layer3", "layer4", *several.axis("target")} <= set(text)


def test_pdf_without_fpdf2_names_the_extra(single: Explanation, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fpdf", None)
    with pytest.raises(MissingExtra, match=r"camlucida\[pdf\]"):
        single.save(tmp_path / "figure.pdf")
    assert not (tmp_path / "figure.pdf").exists()


def test_pdf_draws_other_scripts_as_images(single: Explanation) -> None:
    """Hebrew is written from right to left, which the text operators of PDF do not do."""
    pytest.importorskip("fpdf", reason="no fpdf2")
    plain, hebrew = single.pdf(), replace(single, target="חתול").pdf()
    assert hebrew.count(b"/Subtype /Image") == plain.count(b"/Subtype /Image") + 1
    assert single.score_label in pdf_text(hebrew)


def test_svg_has_text_and_embedded_images(single: Explanation, tmp_path: Path) -> None:
    (path,) = single.save(tmp_path / "figure.svg", opacity=0.3)
    root = ET.parse(path).getroot()
    text = [node.text for node in root.iter(f"{SVG}text")]
    for words in (single.target, single.score_label, "Predictions", "Overlay", single.predictions[1].name):
        assert words in text
    images = list(root.iter(f"{SVG}image"))
    assert len(images) == 4
    for node in images:
        kind, _, data = node.attrib["href"].partition(",")
        assert kind == "data:image/png;base64"
        image = Image.open(io.BytesIO(base64.b64decode(data)))
        assert image.width / (float(node.attrib["width"]) / 72) == pytest.approx(300, rel=0.01)
    panel = single.panel(opacity=0.3, density=1)
    assert root.attrib["viewBox"].split()[2] == str(panel.width)


def test_svg_and_panel_have_the_same_overlay(single: Explanation) -> None:
    """The image of the file is that of the raster at the same density."""
    density = 300 / 72
    panel = single.panel(density=density)
    node = list(ET.fromstring(single.svg()).iter(f"{SVG}image"))[2]
    image = Image.open(io.BytesIO(base64.b64decode(node.attrib["href"].partition(",")[2])))
    left, top = (round(float(node.attrib[key]) * density) for key in ("x", "y"))
    cut = panel.crop((left, top, left + image.width, top + image.height))
    assert np.array_equal(np.asarray(cut), np.asarray(image))


def test_recording_ends_with_the_file(single: Explanation) -> None:
    first = single.svg()
    single.panel()
    assert single.svg() == first


def test_html_holds_maps_that_decode_to_the_numbers(several: ExplanationSet) -> None:
    data = view_data(several.html(opacity=0.8, colormap="jet"))
    assert data["style"] == {"opacity": 0.8, "colormap": "jet", "blend": "saliency", "contour": None}
    assert len(data["maps"]) == len(several)
    assert len(data["images"]) == 1
    for e, kept in zip(several, data["maps"], strict=True):
        steps = np.frombuffer(zlib.decompress(base64.b64decode(kept["values"])), "<i2").reshape(e.landed.shape)
        levels = np.cumsum(steps, axis=1, dtype=np.int16)
        values = np.where(levels == -32768, np.nan, levels / 32767 * kept["largest"])
        np.testing.assert_allclose(values, e.landed, atol=float(np.nanmax(np.abs(e.landed))) / 32767)
        assert kept["peak"] == e.peak
        assert kept["axes"] == {"method": e.method, "target": e.target, "layer": e.layer}


def test_html_allows_no_request_and_names_no_host(single: Explanation) -> None:
    text = single.html().decode()
    assert "default-src 'none'" in text
    assert "https:" not in re.sub(r'(?s)<script type="application/json".*?</script>', "", text)
    assert set(re.findall(r'(?:src|href)="([^"]*)"', text)) == set()


def test_hostile_names_are_text_in_every_file(hostile: Explanation) -> None:
    html = hostile.html().decode()
    assert html.count("<script") == 2
    assert "alert(1)</script>" not in html
    assert "\u202e" not in html
    assert view_data(hostile.html())["maps"][0]["title"] == HOSTILE
    svg = hostile.svg()
    assert "\u202e" not in svg.decode()
    root = ET.fromstring(svg)
    assert not list(root.iter(f"{SVG}script"))
    assert any((node.text or "").startswith("</script><script>") for node in root.iter(f"{SVG}text"))


def test_hostile_names_are_text_in_a_pdf(hostile: Explanation) -> None:
    pytest.importorskip("fpdf", reason="no fpdf2")
    assert any(line.startswith("</script><script>") for line in pdf_text(hostile.pdf()))
    assert "\u202e" not in "".join(pdf_text(hostile.pdf()))


def test_lines_reproduce_the_map(single: Explanation, tmp_path: Path) -> None:
    file = tmp_path / "- a 'b'.png"
    IMAGE.save(file)
    e = cl.explain("toybox", file, method="ablation_cam", infill=0.5, target="dog", score="probability")
    (_, python), (_, command) = reproduction_lines([e], "figure.html")
    again = eval(python.partition("\n\n")[2].rpartition(".save(")[0].replace(repr(e.source), repr(str(file))))
    assert np.array_equal(again.raw, e.raw)
    assert again.record()["options"] == {"infill": 0.5}
    words = shlex.split(command)
    assert words[:3] == ["camlucida", "explain", f"./{e.source}"]
    assert words[3:] == [
        *("--model", "toybox", "--target", "dog", "--layer", e.layer, "--method", "ablation_cam"),
        *("--score", "probability", "--option", "infill=0.5", "--output", "figure.html"),
    ]
