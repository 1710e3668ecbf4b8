"""`camlucida audit`: summary, errors, shards, Ctrl-C and resuming; `camlucida query` on what it wrote."""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import camlucida as cl
from camlucida.audits import engines
from camlucida.audits import run as audit_run
from camlucida.audits.findings import registry
from camlucida.data import toybox

KINDS = ("cat", "dog", "key", "boat", "car")
LINE = ("audit", "shots", "--model", "toybox", "--findings", "none", "-o", "audited")


@pytest.fixture
def shots(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five images in class folders, which are audited in chunks of two."""
    for number, kind in enumerate(KINDS):
        (Path("shots") / kind).mkdir(parents=True)
        toybox.scene(number, kinds=[kind], size=64).picture().save(Path("shots") / kind / f"{number}.png")
    monkeypatch.setattr(audit_run, "audit", functools.partial(audit_run.audit, chunk_images=2))
    return Path("shots")


def content(folder: str) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted((Path(folder) / "parts").iterdir())}


def test_the_summary(run: Callable[..., Any], shots: Path) -> None:
    code, out, err = run(*LINE)
    assert (code, err) == (0, "")
    assert "5 images of shots · toybox · no errors" in out
    assert "accuracy 100.0% (56.6% to 100.0%) on 5 labelled images" in out
    assert "→ audited/images.parquet" in out
    assert json.loads(Path("audited/run.json").read_text())["summary"]["n_images"] == 5
    source = json.loads(Path("audited/plan.json").read_text())["source"]
    assert Path(source["data"]) == shots.absolute()


def test_energy_in_the_box(run: Callable[..., Any]) -> None:
    code, out, _ = run("audit", "toybox", "--limit", "5", "--findings", "none", "--json")
    document = json.loads(out)
    energy, rows = document["energy_in_box"], cl.Audit("camlucida-out/audit").rows
    assert code == 0
    assert energy["value"] == pytest.approx(sum(row["energy_in_box"] for row in rows) / 5)
    assert energy["low"] < energy["value"] < energy["high"]
    assert document["box_area"] == pytest.approx(sum(row["box_area"] for row in rows) / 5)


def test_a_typo_in_the_data(run: Callable[..., Any]) -> None:
    code, out, err = run("audit", "shotz", "--model", "toybox", "-o", "audited")
    assert (code, out) == (2, "")
    assert err.startswith("camlucida: no file 'shotz'")
    assert not Path("audited").exists()


def test_wrong_options_create_no_folder(run: Callable[..., Any], shots: Path) -> None:
    for words, message in (
        (("--layer", "layer9"), "no layer 'layer9'"),
        (("--findings", "slises"), "there is no finding 'slises'"),
        (("--max-memory", "much"), "--max-memory much: must be an amount of memory"),
        (("--max-memory", "2GB", "--batch-size", "3"), "give one of them"),
        (("--workers", "2"), "workers are processes of Ray"),
        (("--shard", "2/2"), "shard 2/2 does not exist"),
    ):
        code, _, err = run("audit", "shots", "--model", "toybox", "-o", "audited", *words)
        assert code == 2
        assert message in err
        assert not Path("audited").exists(), words


def test_broken_images_are_reported(run: Callable[..., Any], shots: Path) -> None:
    (shots / "cat" / "broken.png").write_bytes(b"no image")
    code, out, _ = run(*LINE)
    assert code == 1
    assert "6 images of shots · toybox · 1 could not be read or explained" in out
    assert "cat/broken.png: cannot read" in out
    assert [row["image"] for row in cl.Audit("audited").error_rows()] == ["cat/broken.png"]


def test_only_broken_images(run: Callable[..., Any]) -> None:
    Path("broken").mkdir()
    for number in range(7):
        (Path("broken") / f"{number}.png").write_bytes(b"no image")
    code, out, _ = run("audit", "broken", "--model", "toybox", "--findings", "none")
    assert code == 2
    assert "7 could not be read or explained" in out
    assert "… and 2 more, in the column error of images.parquet." in out


def test_ctrl_c_and_resume(run: Callable[..., Any], shots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(*LINE[:-1], "whole")
    measured: list[int] = []
    plain = engines.process_chunk

    def stopped(plan: Any, indices: Any, *rest: Any) -> Any:
        if len(measured) == 2:
            raise KeyboardInterrupt
        measured.append(indices[0])
        return plain(plan, indices, *rest)

    monkeypatch.setattr(engines, "process_chunk", stopped)
    code, _, err = run(*LINE)
    assert code == 130
    assert "The results of 4 images are kept in audited. The same command resumes there." in err
    assert err.endswith("camlucida: stopped.\n")
    assert not Path("audited/run.json").exists()
    code, out, _ = run("query", "audited", "correct")
    assert (code, out.splitlines()[0]) == (0, "4 of 4 images")
    measured.clear()
    code, out, _ = run(*LINE)
    assert code == 0
    assert measured == [4]
    assert "4 of 5 images are in audited already." in out
    assert content("audited") == content("whole")
    assert Path("audited/images.parquet").read_bytes() == Path("whole/images.parquet").read_bytes()


def test_another_plan_is_refused(run: Callable[..., Any], shots: Path) -> None:
    run(*LINE)
    before = content("audited")
    code, _, err = run(*LINE, "--method", "hires_cam")
    assert code == 2
    assert "audited holds another audit" in err
    toybox.scene(9, kinds=["cat"], size=64).picture().save(shots / "cat" / "9.png")
    code, _, err = run(*LINE)
    assert code == 2
    assert "have changed" in err
    assert content("audited") == before


def test_shards_complete_together(run: Callable[..., Any], shots: Path) -> None:
    run(*LINE[:-1], "whole")
    code, out, _ = run(*LINE, "--shard", "1/2")
    assert code == 0
    assert "This shard is complete; 2 chunks of other shards are missing." in out
    code, out, _ = run(*LINE, "--shard", "0/2")
    assert code == 0
    assert "5 images of shots" in out
    assert content("audited") == content("whole")


def test_several_methods_and_layers(run: Callable[..., Any], shots: Path) -> None:
    code, *_ = run(*LINE, "--method", "grad_cam,gradient", "--layer", "layer3,layer4", "--max-memory", "1MB")
    result = cl.Audit("audited")
    assert code == 0
    assert result.store.method_names == ("grad_cam @ layer3", "grad_cam @ layer4", "gradient")
    assert result.plan["batch_size"] == 1
    assert result.features().shape == (5, result.channel_relevance().shape[1])
    code, out, _ = run("query", "audited", "`grad_cam @ layer4.entropy` >= 0 and gradient.entropy >= 0")
    assert (code, out.splitlines()[0]) == (0, "5 of 5 images")


def test_lines_of_progress(run: Callable[..., Any], shots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camlucida.cli.progress.LINE_INTERVAL_S", 0.0)
    monkeypatch.setattr("camlucida.cli.audit_progress.ERROR_INTERVAL_S", 0.0)
    (shots / "boat" / "a.png").write_bytes(b"no image")
    _, _, err = run(*LINE)
    lines = [line for line in err.splitlines() if line.startswith("auditing")]
    assert "images/s" in lines[0]
    assert "2 of 6 (33%)" in lines[0]
    assert any("1 error:" in line for line in lines)


def test_findings_are_computed_once(run: Callable[..., Any], shots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    class Fake(registry.Finding):
        def __call__(self, audit: Any, seed: int, progress: Any) -> dict[str, Any]:
            made.append(self.name)
            progress(1, 2)
            if self.name == "record":
                raise cl.CamlucidaError("there is nothing to record.")
            if self.name == "hypotheses":
                return {"hypotheses": [{"verified": True, "sentence": "A tag decides."}, {"verified": False}]}
            part = {"name": "key", "accuracy": 0.5, "n": 4, "rest_accuracy": 0.75}
            return {
                "slices": [
                    part | {"differs": False, "accuracy": 0.1, "is_worse": False},
                    part | {"differs": True, "is_worse": True},
                ]
            }

    fakes = [
        Fake("hypotheses", "", True, "searching"),
        Fake("slices", "", False, "slicing"),
        Fake("record", "", False, "writing"),
    ]
    monkeypatch.setattr(registry, "FINDINGS", {fake.name: fake for fake in fakes})
    monkeypatch.setattr("camlucida.cli.audit._write_report", lambda audit: [])  # the records are not complete
    line = (*LINE[:4], "-o", "audited")
    code, out, _ = run(*line)
    assert code == 1
    assert "1 of 2 hypotheses about spurious cues verified\n  A tag decides." in out
    assert "worst slice: key, accuracy 50.0% on 4 images, 75.0% on the rest" in out
    assert "record: there is nothing to record." in out
    assert made == ["hypotheses", "slices", "record"]
    made.clear()
    code, out, _ = run(*line, "--json")
    assert made == ["record"]
    document = json.loads(out)
    assert [failure["name"] for failure in document["failures"]] == ["record"]
    assert document["findings"]["hypotheses"]["hypotheses"][0]["sentence"] == "A tag decides."
    made.clear()
    assert run(*line, "--findings", "slices").code == 0
    Path("audited/findings/slices.json").write_text("damaged")
    assert run(*line, "--findings", "slices,hypotheses").code == 0
    assert made == ["slices"]
    made.clear()
    stored = json.loads(Path("audited/findings/hypotheses.json").read_text())
    stored["computed_from"]["rows"] = "other rows"
    Path("audited/findings/hypotheses.json").write_text(json.dumps(stored))
    assert run(*line, "--findings", "slices,hypotheses").code == 0
    assert made == ["hypotheses"]


@pytest.fixture
def audited(run: Callable[..., Any], shots: Path) -> Callable[..., Any]:
    (shots / "cat" / "broken.png").write_bytes(b"no image")
    run(*LINE)
    return run


def names(out: str) -> list[str]:
    return [line.split()[0] for line in out.splitlines() if "/" in line.split("→")[0].partition(" ")[0]]


def test_query_prints_rows_in_order(audited: Callable[..., Any]) -> None:
    rows = [row for row in cl.Audit("audited").rows if not row["error"]]
    expected = [row["image"] for row in sorted(rows, key=lambda row: -row["confidence"])]
    _, out, _ = audited("query", "audited", "--sort-by", "confidence")
    assert names(out) == [*expected, "cat/broken.png"]
    _, out, _ = audited("query", "audited", "--sort-by", "confidence", "--ascending", "--top", "2")
    assert names(out) == expected[::-1][:2]
    _, out, _ = audited("query", "audited", "error")
    assert names(out) == ["cat/broken.png"]
    assert "1 of 6 images" in out


def test_query_writes_csv_and_json(audited: Callable[..., Any]) -> None:
    code, out, _ = audited("query", "audited", 'label in ["cat", "key"]', "--csv", "out.csv", "--json")
    document = json.loads(out)
    assert (code, document["n_matches"], document["files"]) == (0, 3, ["out.csv"])
    with open("out.csv", encoding="utf-8", newline="") as stream:
        written = list(csv.DictReader(stream))
    assert [row["image"] for row in written] == [row["image"] for row in document["rows"]]
    assert float(written[0]["confidence"]) == document["rows"][0]["confidence"]
    assert set(written[0]) == set(cl.Audit("audited").table.column_names)
    _, out, _ = audited("query", "audited", "correct", "--csv", "out.csv")
    assert "→ out-2.csv" in out


def test_query_draws_without_the_model(audited: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camlucida.models.load_recorded.load_recorded", lambda *_, **__: pytest.fail("loads the model"))
    code, out, _ = audited("query", "audited", "not error", "--panel", "out.png", "--top", "3")
    assert (code, out.splitlines()[-1]) == (0, "→ out.png")
    with Image.open("out.png") as drawn:
        assert drawn.width > 400
    code, _, err = audited("query", "audited", "error", "--panel", "out.png")
    assert code == 2
    assert "none of these rows can be drawn" in err
    assert "cannot read shots/cat/broken.png" in err


def test_query_trusts_no_record(audited: Callable[..., Any]) -> None:
    file = Path("audited/plan.json")
    plan = json.loads(file.read_text())
    file.write_text(json.dumps(plan | {"source": plan["source"] | {"data": "https://example.org/x.csv"}}))
    code, _, err = audited("query", "audited", "not error", "--panel", "out.png")
    assert code == 2
    assert "a URL" in err
    assert "--trust-code" in err
    file.write_text(json.dumps(plan | {"source": {}}))
    code, _, err = audited("query", "audited", "not error", "--panel", "out.png")
    assert code == 2
    assert "does not record where the data are" in err


def test_query_errors(audited: Callable[..., Any]) -> None:
    for words, message in (
        (("confidense > .9",), "there is no column 'confidense'. Did you mean 'confidence'"),
        (("wrong", "--sort-by", "energi"), "has no column 'energi'"),
        (("wrong", "--ascending"), "--ascending needs --sort-by"),
        (("wrong", "--top", "0"), "--top 0: must be at least 1"),
        (("wrong", "--panel", "out.txt"), "out.txt"),
    ):
        code, _, err = audited("query", "audited", *words)
        assert code == 2, words
        assert message in err
    code, _, err = audited("query", "nothing", "wrong")
    assert (code, err) == (2, "camlucida: nothing contains no audit: there is no plan.json.\n")
