"""A resumed run detects changed data, measures damaged parts again, and locks its folder."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import camlucida as cl
from camlucida._locks import locked
from camlucida.analysis import embed, film, mistakes
from camlucida.analysis.embedding_files import PROJECTION_FILE, PROJECTION_RECORD, StoredFeatures, read_projection
from camlucida.app.app_state import Page
from camlucida.data import toybox
from camlucida.data.folders import folder
from camlucida.data.identity import DATA_CHANGED
from camlucida.errors import DataError
from camlucida.evaluation import Evaluation, evaluate
from camlucida.evaluation.evaluate import PART_IMAGES
from camlucida.evaluation.store import Store
from camlucida.sanity_checks import sanity
from camlucida.training import state

Run = Callable[[Any, Path], Any]
COUNT = 5


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five scenes of each of two classes, and a table with their boxes."""
    root, lines = tmp_path / "photos", ["file,x0,y0,x1,y1"]
    for kind in ("cat", "dog"):
        (root / kind).mkdir(parents=True)
        for number in range(COUNT):
            toybox.scene(seed=number, kinds=[kind], size=64).picture().save(root / kind / f"{number}.png")
            lines.append(f"{kind}/{number}.png,10,12,50,40")
    (tmp_path / "boxes.csv").write_text("\n".join(lines) + "\n")
    return root


def trained(data: Any, out: Path) -> Any:
    return cl.train(data, out=out, arch="small", size=32, epochs=1, batch_size=4)


RUNS: dict[str, Run] = {
    "evaluate": lambda data, out: evaluate("toybox", data, metrics=["entropy"], out=out),
    "mistakes": lambda data, out: mistakes("toybox", data, maps=False, out=out),
    "embed": lambda data, out: embed("toybox", data, way="pca", out=out),
    "train": trained,
}


def replaced(root: Path) -> None:
    shutil.copy(root / "dog/1.png", root / "cat/0.png")


def relabelled(root: Path) -> None:
    (root / "cat/0.png").rename(root / "dog/9.png")


def reboxed(root: Path) -> None:
    table = root.parent / "boxes.csv"
    table.write_text(table.read_text().replace("cat/0.png,10", "cat/0.png,11"))


@pytest.mark.parametrize("change", [replaced, relabelled, reboxed])
@pytest.mark.parametrize("name", RUNS)
def test_a_change_of_the_data_is_reported(
    name: str, change: Callable[[Path], None], photos: Path, tmp_path: Path
) -> None:
    run, boxes = RUNS[name], photos.parent / "boxes.csv"
    run(folder(photos, boxes), tmp_path / "run")
    run(folder(photos, boxes), tmp_path / "run")  # nothing changed: resumes
    change(photos)
    with pytest.raises(DataError, match=re.escape(DATA_CHANGED)):
        run(folder(photos, boxes), tmp_path / "run")


def test_stateless_functions_read_changed_data(photos: Path) -> None:
    def frames() -> Any:
        return film(["toybox"], folder(photos), layer="layer4").takes

    def steps() -> Any:
        return sanity("toybox", sorted(photos.rglob("*.png"))[:2], checks=["random_logit"]).steps

    before = frames(), steps()
    assert (frames(), steps()) == before
    replaced(photos)
    assert frames() != before[0]
    assert steps() != before[1]


def test_the_page_rereads_changed_data(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camlucida.app.analysis_runs.MIN_WAIT_S", 0.0)
    monkeypatch.setattr("camlucida.app.analysis_runs.WAIT_RATIO", 0.0)
    evaluate("toybox", folder(photos), metrics=["entropy"], out=photos.parent / "given")
    page = Page([cl.load("toybox")], folder(photos), (photos.parent / "given",))

    def made() -> Any:
        return page.analysis_runs.analyse(page.model(None), 100, 0, False, lambda done, total: None)

    first = made()
    assert made() is first
    assert [run.has_images for run in page.analysis_runs.all()] == [True, True]
    replaced(photos)
    given, old = page.analysis_runs.all()
    assert not given.has_images
    assert not old.has_images
    assert "of photos have changed" in " ".join(old.notes)
    second = made()
    assert second.id != first.id
    assert second.has_images
    assert second.mistakes.rows != first.mistakes.rows


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def empty(content: bytes) -> bytes:
    return b""


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGE = [truncated, empty, flipped]


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["evaluate", "mistakes", "embed"])
def test_a_damaged_part_is_measured_again(
    name: str, damage: Callable[[bytes], bytes], photos: Path, tmp_path: Path
) -> None:
    def rows(run: Path) -> list[dict[str, Any]]:
        table_rows = [row for table in Store(run).tables() for row in table.to_pylist()]
        return [{key: value for key, value in row.items() if key != "seconds"} for row in table_rows]

    RUNS[name](folder(photos), tmp_path / "run")
    complete = rows(tmp_path / "run")
    part = sorted((tmp_path / "run/parts").iterdir())[-1]
    part.write_bytes(damage(part.read_bytes()))
    with pytest.raises(DataError, match=f"{part.name} is damaged .*Run the same command again"):
        rows(tmp_path / "run")
    RUNS[name](folder(photos), tmp_path / "run")
    assert rows(tmp_path / "run") == complete
    (tmp_path / "run/digests" / f"{part.stem}.json").unlink()
    assert not Store(tmp_path / "run").has(int(part.stem[-1]))


def test_no_flipped_bit_is_read(photos: Path, tmp_path: Path) -> None:
    """Parquet has checksums of its pages, but not of what says which columns they are: our digests do."""
    RUNS["evaluate"](folder(photos), tmp_path / "run")
    part = tmp_path / "run/parts/part-00000.parquet"
    content = part.read_bytes()
    for at in range(0, len(content), max(1, len(content) // 150)):
        damaged = bytearray(content)
        damaged[at] ^= 4
        part.write_bytes(damaged)
        with pytest.raises(DataError, match="is damaged"):
            _ = Evaluation(tmp_path / "run").table()


@pytest.mark.parametrize(
    "damage", [*DAMAGE, lambda _: b"[]", lambda _: b"{}", lambda _: b'{"plan": 3}', lambda _: b"\xff"]
)
@pytest.mark.parametrize("name", RUNS)
def test_a_damaged_record_is_reported(
    name: str, damage: Callable[[bytes], bytes], photos: Path, tmp_path: Path
) -> None:
    RUNS[name](folder(photos), tmp_path / "run")
    record = tmp_path / "run/run.json"
    record.write_bytes(damage(record.read_bytes()))
    with pytest.raises(DataError, match=r"damaged|another training|another run"):
        RUNS[name](folder(photos), tmp_path / "run")


def test_a_changed_number_in_the_record_is_damage(photos: Path, tmp_path: Path) -> None:
    RUNS["evaluate"](folder(photos), tmp_path / "run")
    record = tmp_path / "run/run.json"
    for before, after in (('"seed": 0', '"seed": 1'), ('"source": {}', '"source": {"data": "x"}')):
        complete = record.read_text()
        record.write_text(complete.replace(before, after))
        assert record.read_text() != complete
        with pytest.raises(DataError, match="its digest does not match its content"):
            _ = Evaluation(tmp_path / "run").plan
        record.write_text(complete)


def test_parts_without_a_record_are_refused(photos: Path, tmp_path: Path) -> None:
    RUNS["evaluate"](folder(photos), tmp_path / "run")
    (tmp_path / "run/run.json").unlink()
    with pytest.raises(DataError, match=r"but no run\.json"):
        RUNS["evaluate"](folder(photos), tmp_path / "run")


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", [PROJECTION_FILE, PROJECTION_RECORD])
def test_damaged_projection_is_none(name: str, damage: Callable[[bytes], bytes], photos: Path, tmp_path: Path) -> None:
    RUNS["embed"](folder(photos), tmp_path / "run")
    rows = StoredFeatures.read(tmp_path / "run").rows
    assert read_projection(tmp_path / "run", rows) is not None
    file = tmp_path / "run" / name
    file.write_bytes(damage(file.read_bytes()) if name == PROJECTION_FILE else truncated(file.read_bytes()))
    assert read_projection(tmp_path / "run", rows) is None


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_reported(
    damage: Callable[[bytes], bytes], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stop(Exception):
        pass

    def stop(*_: Any) -> None:
        raise Stop

    with pytest.raises(Stop):
        cl.train(photos, out=tmp_path / "run", arch="small", size=32, epochs=2, batch_size=4, progress=_second(stop))
    checkpoint = tmp_path / "run/checkpoint.pt"
    checkpoint.write_bytes(damage(checkpoint.read_bytes()))
    with pytest.raises(DataError, match=r"checkpoint\.pt .*Delete it"):
        cl.train(photos, out=tmp_path / "run", arch="small", size=32, epochs=2, batch_size=4)
    assert state.MAGIC in (tmp_path / "run/checkpoint.pt").read_bytes() or damage is not flipped


def _second(stop: Callable[..., None]) -> Callable[..., None]:
    return lambda epoch, *rest: stop() if epoch == 2 else None


@pytest.mark.parametrize("name", RUNS)
def test_a_run_locks_its_folder(name: str, photos: Path, tmp_path: Path) -> None:
    with locked(tmp_path / "run"), pytest.raises(DataError, match="is being written to by"):
        RUNS[name](folder(photos), tmp_path / "run")
    RUNS[name](folder(photos), tmp_path / "run")
    assert not list((tmp_path / "run").glob(".camlucida*"))


def test_only_missing_parts_are_measured(photos: Path, tmp_path: Path) -> None:
    RUNS["evaluate"](folder(photos), tmp_path / "run")
    parts = sorted((tmp_path / "run/parts").iterdir())
    assert len(parts) == -(-2 * COUNT // PART_IMAGES)
    written = [part.stat().st_mtime_ns for part in parts]
    parts[0].unlink()
    RUNS["evaluate"](folder(photos), tmp_path / "run")
    rewritten = [part.stat().st_mtime_ns for part in parts]
    assert rewritten[0] != written[0]
    assert rewritten[1:] == written[1:]
    assert json.loads((tmp_path / "run/run.json").read_text())["plan"]["n_images"] == 2 * COUNT
    assert np.isfinite(Evaluation(tmp_path / "run").summary("entropy", "grad_cam").value)
