"""results.csv of `explain FOLDER` and `trust FOLDER`: kept after Ctrl-C, resumed, not mixed with other settings."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from camlucida.attribution import explain_many
from camlucida.data import toybox

LINE = ("explain", "shots", "--model", "toybox")


def rows(path: str = "camlucida-out/results.csv") -> dict[str, dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as stream:
        return {Path(row["image"]).name: row for row in csv.DictReader(stream)}


@pytest.fixture
def shots(run: Callable[..., Any]) -> Path:
    folder = Path("shots")
    folder.mkdir()
    for number in range(4):
        toybox.scene(number, size=64).picture().save(folder / f"{number}.png")
    return folder


@pytest.fixture
def explained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the images that are explained; the run is stopped before the third one if `stop` was appended."""
    names: list[str] = []
    plain = explain_many.explain_requests

    def recorded(model: Any, images: Any, request: Any, *others: Any) -> Any:
        for image in images:
            if "stop" in names and len(names) == 3:
                raise KeyboardInterrupt
            names.append(Path(image).name)
            yield from plain(model, [image], request, *others)

    monkeypatch.setattr(explain_many, "explain_requests", recorded)
    return names


def test_ctrl_c_keeps_the_table_and_the_same_command_resumes(
    run: Callable[..., Any], shots: Path, explained: list[str]
) -> None:
    explained.append("stop")
    code, _, err = run(*LINE)
    assert (code, err.strip()) == (130, "camlucida: stopped.")
    assert set(rows()) == {"0.png", "1.png"}
    first = {path: path.read_bytes() for path in Path("camlucida-out").glob("*.png")}
    explained.clear()
    code, out, _ = run(*LINE)
    assert code == 0
    assert explained == ["2.png", "3.png"]
    assert "2 of 4 images are in camlucida-out/results.csv already." in out
    assert "4 explained, 0 failed" in out
    assert list(rows()) == ["0.png", "1.png", "2.png", "3.png"]
    assert all(path.read_bytes() == content for path, content in first.items())
    explained.clear()
    resumed = Path("camlucida-out/results.csv").read_bytes()
    run(*LINE, "--overwrite")
    assert len(explained) == 4
    assert Path("camlucida-out/results.csv").read_bytes() == resumed  # a resumed table is that of a whole run


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_in_a_process(tmp_path: Path) -> None:
    (tmp_path / "shots").mkdir()
    for number in range(40):
        toybox.scene(number, size=64).picture().save(tmp_path / "shots" / f"{number:02}.png")
    line = [sys.executable, "-m", "camlucida", *LINE, "--method", "rise", "--option", "n=400"]
    with subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while len(list((tmp_path / "camlucida-out").glob("*.png"))) < 3 and process.poll() is None:
            time.sleep(0.02)  # by the third panel, the row of the first one is in the table
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert b"Traceback" not in err
    kept = rows(str(tmp_path / "camlucida-out" / "results.csv"))
    assert 0 < len(kept) < 40
    assert all((tmp_path / row["file"]).is_file() for row in kept.values())


@pytest.mark.parametrize(
    "change", ["image", "missing panel", "failed", "damaged table", "damaged record", "new image", "cut table"]
)
def test_only_valid_rows_are_resumed(change: str, run: Callable[..., Any], shots: Path, explained: list[str]) -> None:
    if change == "failed":
        (shots / "1.png").write_text("no image")
    run(*LINE)
    explained.clear()
    table, record = Path("camlucida-out/results.csv"), Path("camlucida-out/results.run.json")
    again = {"1.png"}
    if change in ("image", "failed"):
        toybox.scene(9, size=64).picture().save(shots / "1.png")
    elif change == "missing panel":
        Path("camlucida-out/1.png").unlink()
    elif change == "damaged table":
        table.write_bytes(b"image,file\n\xff\xfe")
        again = {f"{number}.png" for number in range(4)}
    elif change == "damaged record":
        record.write_text("{")
        again = {f"{number}.png" for number in range(4)}
    elif change == "cut table":
        lines = table.read_text().splitlines(keepends=True)
        table.write_text("".join([*lines[:2], lines[2][:20]]))
        again = {"1.png", "2.png", "3.png"}
    else:
        toybox.scene(9, size=64).picture().save(shots / "9.png")
        again = {"9.png"}
    code, _, _ = run(*LINE)
    assert code == 0
    assert set(explained) == again
    if change == "damaged record":  # whose table it is cannot be known: it is left alone
        assert Path("camlucida-out/results-2.csv").is_file()
    else:
        assert len(rows()) == (5 if change == "new image" else 4)
        assert not any(row["error"] for row in rows().values())


@pytest.mark.parametrize("words", ["--layer layer3", "--target cat", "--opacity 0.3", "--maps", "--model toybox:vgg"])
def test_other_settings_begin_another_table(words: str, run: Callable[..., Any], shots: Path) -> None:
    run(*LINE)
    before = {path: path.read_bytes() for path in Path("camlucida-out").iterdir()}
    line = [*LINE[:2], *(() if "--model" in words else LINE[2:]), *words.split()]
    code, out, _ = run(*line)
    assert code == 0
    assert "4 explained, 0 failed: camlucida-out/results-2.csv" in out
    assert all(path.read_bytes() == content for path, content in before.items())
    assert {Path(row["file"]).name for row in rows("camlucida-out/results-2.csv").values()} == {
        f"{number}-2.png" for number in range(4)
    }
    assert "4 of 4 images are in camlucida-out/results-2.csv already" in run(*line).out  # and is resumed, too


def test_trust_resumes_and_leaves_the_table_of_explain(run: Callable[..., Any], shots: Path) -> None:
    for number in (1, 2, 3):
        (shots / f"{number}.png").unlink()
    toybox.scene(1, size=64).picture().save(shots / "1.png")
    run(*LINE)
    line = ("trust", *LINE[1:], "--windows", "16")
    code, out, _ = run(*line)
    assert code == 0
    assert "camlucida-out/results-2.csv" in out
    first = rows("camlucida-out/results-2.csv")
    out = run(*line, "--json").out
    document = json.loads(out)
    assert (document["n_resumed"], document["images"]) == (2, [])
    assert rows("camlucida-out/results-2.csv") == first


def test_results_do_not_depend_on_the_batch_size(run: Callable[..., Any], shots: Path, explained: list[str]) -> None:
    """The batch size does not change the results, so that it may change when a run is resumed."""
    run(*LINE)
    explained.clear()
    run(*LINE, "--batch-size", "2")
    assert explained == []
