"""The report of an audit: its content, its data blocks, names that try to inject markup, and its size."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from camlucida.audits.audit_result import Audit
from camlucida.audits.run import audit as run
from camlucida.cli import main
from camlucida.data.open import open_dataset
from camlucida.errors import DataError
from camlucida.report.audit_maps import quantise
from camlucida.report.audit_page import audit_report, content_policy, page_content

from .audit_folders import NASTY, invented_audit, picture

N = 60
BROKEN = 7


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    return invented_audit(tmp_path_factory.mktemp("audit"), N, broken=(BROKEN,))


@pytest.fixture(scope="module")
def text(audit: Audit) -> str:
    return audit_report(audit, audit.path / "audit.html").read_text(encoding="utf-8")


def block(text: str, name: str) -> bytes:
    """Return the decompressed content of a data block of the page."""
    match = re.search(f'id="block-{name}">([^<]*)<', text)
    assert match, name
    content = base64.b64decode(match[1])
    return content if name.startswith("sheet") else gzip.decompress(content)


def table(text: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(block(text, "table"))
    return content


def test_page_needs_nothing_else(text: str) -> None:
    assert not re.search(r"https?://", text)
    assert "<link" not in text
    assert not re.search(r"<[^>]* on[a-z]+=", text), "no inline event handler"
    assert not re.search(r'<[^>]* style="', text), "no inline style, which the policy forbids"
    assert content_policy().replace("'", "&#39;") in text
    assert "default-src &#39;none&#39;" in text


def test_sections_have_the_numbers_of_the_findings(text: str) -> None:
    visible = re.sub(r"<[^>]+>", " ", text.split("<script")[0])
    for expected in (
        "Audit of resnet18 on photos", "lose the class when the lower left is covered", "the same region elsewhere",
        "class boat", "AUC 0.71 (0.66 to 0.76)", "Likely label errors", "Near duplicates", "grad_cam and layer_cam",
        "12.5", "0123456789abcdef", "it is empty",
    ):  # fmt: skip
        assert expected in visible, expected
    assert text.index('id="overview"') < text.index('id="hypotheses"') < text.index('id="images"')


def test_missing_findings_leave_their_sections_out(tmp_path: Path) -> None:
    bare = invented_audit(tmp_path, 20, findings=False)
    text = audit_report(bare, tmp_path / "audit.html").read_text(encoding="utf-8")
    for id_ in ("hypotheses", "slices", "differences", "comparison"):
        assert f'id="{id_}"' not in text
        assert f'href="#{id_}"' not in text
    assert 'id="images"' in text


def test_columns_equal_those_of_the_audit(audit: Audit, text: str) -> None:
    content = table(text)
    positions = [i for i in range(N) if i != BROKEN]
    assert content["n"] == N - 1
    assert content["positions"] == positions
    numbers = np.frombuffer(block(text, "numbers"), dtype="<f4").reshape(-1, N - 1)
    assert len(numbers) == len(content["numbers"])
    for name in ("confidence", "energy_in_box", "competing_entropy", "brightness"):
        expected = audit.column(name)[positions]
        assert numbers[content["numbers"].index(name)] == pytest.approx(expected, rel=1e-4)
    assert "layer_cam.entropy" not in content["numbers"]
    rows = [audit.rows[i] for i in positions]
    assert [content["classes"][code] for code in content["predicted"]] == [row["predicted"] for row in rows]
    assert content["correct"] == [int(row["correct"]) for row in rows]


def test_metadata_become_columns(text: str) -> None:
    content = table(text)
    assert content["categories"]["site"]["values"] == ["north", "south"]
    assert content["categories"]["split"]["values"] == ["test", "val"]
    assert "age" in content["numbers"]


def test_maps_are_the_stored_ones(audit: Audit, text: str) -> None:
    content = table(text)
    assert [(entry["method"], entry["of"]) for entry in content["maps"]] == [
        (method, of) for method in ("grad_cam", "layer_cam") for of in ("predicted", "competing", "true")
    ]
    positions = [i for i in range(N) if i != BROKEN]
    maps = np.frombuffer(block(text, "map-1"), dtype=np.uint8).reshape(N - 1, 7, 7)
    stored = audit.maps("grad_cam", "competing")[positions].astype(np.float64)
    assert (maps - 1.0) / 254 == pytest.approx(np.clip(stored, 0, 1), abs=0.5 / 254 + 1e-6)


def test_negative_evidence_is_not_drawn() -> None:
    maps = np.array([[[-1.0, 0.0], [0.5, 1.0]], [[np.nan] * 2] * 2], dtype=np.float16)
    assert quantise(maps).tolist() == [[[1, 1], [128, 255]], [[0, 0], [0, 0]]]


def test_visible_part_is_the_crop_of_the_preprocessing(text: str) -> None:
    content = table(text)  # 96 x 72, resized to 341 x 256, of which the middle 224 x 224 are the network input
    assert content["parts"] == [[pytest.approx(v, abs=1e-3) for v in (58 / 341, 16 / 256, 282 / 341, 240 / 256)]]
    assert set(content["part"]) == {0}


def test_thumbnails_are_those_of_the_rows(text: str) -> None:
    content = table(text)
    per_sheet, cell = content["perRow"] ** 2, content["cell"]
    assert content["sizes"][:2] == [96, 72]
    for i in (0, 8, 40, N - 2):
        sheet = Image.open(io.BytesIO(block(text, f"sheet-{i // per_sheet}"))).convert("RGB")
        k = i % per_sheet
        left, top = k % content["perRow"] * cell, k // content["perRow"] * cell
        middle = sheet.getpixel((left + 48, top + 36))
        expected = picture(content["positions"][i]).getpixel((0, 0))
        assert middle == pytest.approx(expected, abs=6)


def test_boxes_are_fractions_of_the_image(text: str) -> None:
    assert table(text)["boxes"]["0"] == [0.25, 0.25, 0.75, 0.75]


def test_groups_hold_indices_of_the_page(text: str) -> None:
    content = table(text)
    group = content["groups"]["hypothesis-1"]
    assert [content["positions"][i] for i in group["rows"]] == list(range(0, N, 5))
    assert group["n"] == len(range(0, N, 5))
    assert content["groups"]["slice-1"]["n"] == N // 5


def test_untrusted_names_are_escaped(tmp_path: Path) -> None:
    nasty = invented_audit(tmp_path, 12, nasty=True)
    text = audit_report(nasty, tmp_path / "audit.html").read_text(encoding="utf-8")
    assert "onerror=alert" not in text.replace("&lt;img src=x onerror=alert(1)&gt;", "")
    assert "\u202e" not in text
    assert text.count("</script>") == text.count("<script")
    content = table(text)
    assert content["names"][0].startswith("</script>"), "the data are compressed, and written as text by the page"
    assert "\u202e" not in content["names"][0]
    assert NASTY.replace("\u202e", "\\u202e") in content["classes"]


def test_evidence_is_read_from_its_folder_only(audit: Audit) -> None:
    card = page_content(audit, 100)["hypotheses"]["cards"][0]
    assert len(card["images"]) == 1, "../../plan.json is no image"
    assert card["images"][0].startswith("data:image/jpeg;base64,")


def test_files_beside_the_report(audit: Audit, text: str, tmp_path: Path) -> None:
    content = json.loads((audit.path / "audit.json").read_text())
    assert set(content["findings"]) == {"hypotheses", "slices", "differences", "label_errors", "duplicates"}
    lines = (audit.path / "images.csv").read_text().splitlines()
    assert len(lines) == N + 1
    assert lines[0].startswith("index,image,")
    audit_report(audit, tmp_path / "page.html")
    assert {file.name for file in tmp_path.iterdir()} == {"page.html", "page.json", "page-images.csv"}


def test_large_audits_are_sampled(audit: Audit) -> None:
    content = page_content(audit, 20)
    assert content["n"] == 20
    assert content["left_out"] == N - 1 - 20
    packed = json.loads(gzip.decompress(base64.b64decode(content["blocks"]["table"])))
    errors = [i for i, row in enumerate(audit.rows) if row["correct"] is False]
    confident = sorted(errors, key=lambda i: -audit.rows[i]["confidence"])
    assert set(confident[:5]) <= set(packed["positions"]), "what sections display is in the page"
    assert content["overview"]["tiles"][0][0] == str(N), "the figures are of all images"


def test_without_data_there_are_no_thumbnails(audit: Audit, tmp_path: Path) -> None:
    text = audit_report(Audit(audit.path), tmp_path / "audit.html").read_text(encoding="utf-8")
    assert "written without the images" in text
    assert "block-sheet-0" not in text


def test_changed_data_are_not_displayed(audit: Audit, tmp_path: Path) -> None:
    other = invented_audit(tmp_path / "other", N - 1, findings=False)
    text = audit_report(Audit(audit.path, None, other.data), tmp_path / "audit.html").read_text(encoding="utf-8")
    assert "have changed since the audit" in text
    assert "block-sheet-0" not in text


def test_damaged_findings_are_reported(tmp_path: Path) -> None:
    bare = invented_audit(tmp_path, 10, findings=False)
    bare.write_finding("slices", {"slices": [{"name": "x"}]})
    with pytest.raises(DataError, match=r"slices\.json is damaged"):
        audit_report(bare, tmp_path / "audit.html")


def test_reasons_and_effects_are_listed(audit: Audit) -> None:
    content = page_content(audit, 100)
    strips = {strip["group"]: strip for strip in content["doubtful"]}
    assert strips["label-errors"]["reasons"][0] == "0.jpg: its neighbours are dogs"
    assert strips["duplicates"]["reasons"] == ["a, b: crosses splits"]
    effects = content["hypotheses"]["cards"][0]["effects"]
    assert [name for name, _ in effects] == ["change in log-probability", "drop of the log-odds"]


def test_comparison_has_its_lists_and_shifts(tmp_path: Path) -> None:
    bare = invented_audit(tmp_path, 20, findings=False)
    shift = {"column": "energy_in_box", "group": "boat", "n": 4, "differs": True, "p_corrected": 0.01}
    change = {"row": 3, "image": "c.jpg", "label": "dog", "old_predicted": "dog", "new_predicted": "<b>cat</b>"}
    bare.write_finding(
        "comparison",
        {
            "sentences": ["1 regression."],
            "regressions": [change],
            "fixes": [],
            "shifts": [shift | {"difference": {"value": -0.2, "low": -0.3, "high": -0.1}}],
        },
    )
    text = audit_report(bare, tmp_path / "audit.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;cat&lt;/b&gt;" in text
    assert "energy_in_box: boat" in text
    assert "−0.2" in text
    assert table(text)["groups"]["comparison-regressions"]["rows"] == [3]


def test_size_per_image_is_small(audit: Audit, text: str) -> None:
    blocks = sum(len(each) for each in re.findall(r'id="block-[a-z]*-?[0-9]*">([^<]*)<', text))
    assert len(text) - blocks < 130_000
    assert blocks < 4_000 * N


def test_report_command_recognises_an_audit(audit: Audit, capsys: pytest.CaptureFixture[str]) -> None:
    (audit.path / "audit.html").unlink(missing_ok=True)
    with pytest.raises(SystemExit) as ended:
        main(["report", str(audit.path), "--no-images"])
    assert ended.value.code == 0
    assert "audit.html" in capsys.readouterr().out
    assert "Audit of resnet18 on photos" in (audit.path / "audit.html").read_text(encoding="utf-8")


def test_report_command_reads_the_recorded_data(tmp_path: Path) -> None:
    source = {"data": "toybox", "model": "toybox", "count": 3}
    run("toybox", open_dataset("toybox", count=3), tmp_path, source=source)
    with pytest.raises(SystemExit):
        main(["report", str(tmp_path), "-o", str(tmp_path / "page.html")])
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert table(text)["n"] == 3
    assert Image.open(io.BytesIO(block(text, "sheet-0"))).format == "WEBP"


def test_unlabelled_audit_has_no_accuracy(tmp_path: Path) -> None:
    unlabelled = invented_audit(tmp_path, 12, labelled=False, findings=False)
    content = page_content(unlabelled, 100)
    assert content["confusion"] is None
    assert not content["overview"]["reliability"]
    assert "accuracy" not in [name for _, name, _ in content["overview"]["tiles"]]
