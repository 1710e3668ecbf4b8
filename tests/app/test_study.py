"""A blind study over HTTP: method names stay hidden, answers are stored, results equal those of the library."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from camlucida.app.app_state import Page
from camlucida.data.datasets import ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.evaluation import evaluate
from camlucida.models.load import load
from camlucida.user_study import Study, answers_csv, make_study, results
from camlucida.user_study import sqlite as database_

METHODS = ["grad_cam", "eigen_cam", "random_cam"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a study that is copied for every test: its maps are rendered once."""
    images = [sample.image for sample in Toybox(4, seed=5)]
    folder = tmp_path_factory.mktemp("made") / "study"
    make_study(folder, load("toybox"), images, methods=METHODS, seed=3)
    return folder


@pytest.fixture
def study(page: Page, made: Path) -> Study:
    """Return a study of four images with sixteen questions in pairs and ratings."""
    assert page.study is not None
    shutil.copytree(made, page.study)
    return Study(page.study / "study.sqlite")


def whose(study: Study) -> dict[str, str]:
    """Return the method of every map by its id, which participants must not learn."""
    with sqlite3.connect(study.path) as data:
        return dict(data.execute("select id, method from maps"))


def ask(client: TestClient, person: str, **more: Any) -> dict[str, Any]:
    answer = client.get("/api/study/next", params={"person": person, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def send_answer(client: TestClient, person: str, trial: dict[str, Any], answer: Any, **more: Any) -> Any:
    body = {"person": person, "position": trial["position"], "maps": trial["maps"], "answer": answer, **more}
    return client.post("/api/study/answer", json=body)


def answer_all(client: TestClient, study: Study, person: str, choose: Callable[[list[str]], int]) -> None:
    """Answer all questions; `choose` gets the methods of the maps from left to right."""
    known = whose(study)
    while (trial := ask(client, person)["trial"]) is not None:
        assert (
            send_answer(client, person, trial, choose([known[m] for m in trial["maps"]]), seconds=1.5).status_code
            == 200
        )


def best_first(methods: list[str]) -> int:
    """Prefer and rate methods in the order of METHODS."""
    if len(methods) == 1:
        return 5 - METHODS.index(methods[0])
    return 1 if METHODS.index(methods[0]) < METHODS.index(methods[1]) else 2


class TestCreate:
    def test_no_study_at_first(self, client: TestClient) -> None:
        assert client.get("/api/study").json() == {"study": None, "can_be_created": True}
        for path in ("next?person=ann", "results", "results.csv", "answers.csv", "images/" + 16 * "a"):
            answer = client.get(f"/api/study/{path}")
            assert answer.status_code == 404, path
            assert "no study in the app" in answer.json()["detail"]

    def test_created_study_equals_library(self, client: TestClient, page: Page, tmp_path: Path) -> None:
        body = {"methods": METHODS, "n_images": 5, "pairs": 2, "ratings": 1, "seed": 11, "model": "toybox:vgg"}
        answer = client.post("/api/study/create", json=body, headers={"accept": "text/event-stream"})
        events = [line.removeprefix("event: ") for line in answer.text.splitlines() if line.startswith("event: ")]
        assert events[-1] == "result"
        assert events.count("progress") >= 5
        response = json.loads(answer.text.rsplit("data: ", 1)[1])
        assert response == client.get("/api/study").json()
        info = response["study"]
        assert (info["model"], info["n_images"], info["pairs"], info["ratings"]) == ("toybox:vgg", 5, 10, 5)
        chosen = np.random.default_rng(11).choice(len(page.data), 5, replace=False)
        images = [page.images.sample(int(i)).image for i in chosen]
        same = make_study(tmp_path / "same", page.models[1], images, methods=METHODS, pairs=2, ratings=1, seed=11)
        assert page.study is not None
        for table in ("maps", "trials"):
            one, other = (
                sqlite3.connect(file).execute(f"select * from {table}").fetchall()
                for file in (page.study / "study.sqlite", same.path)
            )
            assert one == other
        for file in (same.folder / "images").iterdir():
            assert (page.study / "images" / file.name).read_bytes() == file.read_bytes()

    def test_existing_answers_are_not_overwritten(self, client: TestClient, study: Study) -> None:
        before = study.path.read_bytes()
        answer = client.post("/api/study/create", json={"methods": METHODS})
        assert answer.status_code == 422
        assert "perhaps with answers" in answer.json()["detail"]
        assert study.path.read_bytes() == before

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            ({"methods": ["grad_cam"]}, "at least 2"),
            ({"methods": ["grad_cam", "eigencm"]}, "Did you mean"),
            ({"methods": ["grad_cam", "grad_cam"]}, "given twice"),
            ({"methods": ["grad_cam"] * 9}, "at most 8"),
            ({"methods": METHODS, "n_images": 100_000}, "200"),
            ({"methods": METHODS, "pairs": 0, "ratings": 0}, "at least"),
            ({"methods": METHODS, "layer": "nowhere"}, "nowhere"),
            ({"methods": METHODS, "model": "other"}, "no model 'other'"),
            ({"methods": METHODS, "study": "/tmp"}, "Extra"),
        ],
    )
    def test_invalid_plans_are_refused(self, client: TestClient, page: Page, body: dict[str, Any], words: str) -> None:
        answer = client.post("/api/study/create", json={"n_images": 2, **body})
        assert answer.status_code == 422
        assert words in answer.json()["detail"]
        assert page.study is not None
        assert not list(page.study.rglob("*.*")), "a failed creation leaves no files"


class TestBlindness:
    def test_nothing_reveals_the_method(self, client: TestClient, study: Study) -> None:
        """Neither bodies nor headers nor image bytes contain a method name before the results are requested."""
        seen: list[bytes] = [client.get("/api/study").content]
        sides: list[tuple[str, ...]] = []
        known = whose(study)
        while True:
            answer = client.get("/api/study/next", params={"person": "ann"})
            seen.append(answer.content + repr(answer.headers).encode())
            trial = answer.json()["trial"]
            if trial is None:
                break
            sides.append(tuple(known[m] for m in trial["maps"]))
            for id in (trial["original"], *trial["maps"]):
                image = client.get(f"/api/study/images/{id}")
                assert image.status_code == 200
                assert not {"last-modified", "etag"} & set(image.headers), "files are written method by method"
                assert image.headers["cache-control"] == "no-store"
                seen.append(image.content + repr(image.headers).encode())
            response = send_answer(client, "ann", trial, 1)
            seen.append(response.content)
            assert set(trial) == {"position", "kind", "question", "original", "maps", "answer"}
        assert not [text for text in seen for method in METHODS if method.encode() in text.lower()]
        assert len({pair for pair in sides if len(pair) == 2}) > 3, "both sides occur"

    def test_images_equal_the_files_of_the_study(self, client: TestClient, study: Study) -> None:
        trial = ask(client, "ann")["trial"]
        for id in (trial["original"], *trial["maps"]):
            found = client.get(f"/api/study/images/{id}")
            file = next((study.folder / "images").glob(f"{id}.*"))
            assert found.content == file.read_bytes()
            assert found.headers["content-type"] == "image/png"
            with Image.open(file) as image:
                assert image.size == (96, 96)

    @pytest.mark.parametrize("id", ["study", "..%2fstudy.sqlite", "%2e%2e", 16 * "0", 65 * "a", "deadbeef%00"])
    def test_no_other_file_is_served(self, client: TestClient, study: Study, id: str) -> None:
        assert client.get(f"/api/study/images/{id}").status_code in (404, 422)

    def test_files_outside_the_study_are_not_served(self, client: TestClient, study: Study, tmp_path: Path) -> None:
        for name in ("deadbeefdeadbeef.png", "secret"):
            (tmp_path / name).write_bytes(b"secret")
        with sqlite3.connect(study.path) as data:
            data.execute("update maps set file = ? where rowid = 1", ("../deadbeefdeadbeef.png",))
            data.execute("update maps set file = ? where rowid = 2", (str(tmp_path / "deadbeefdeadbee1.png"),))
        (study.folder / "images" / "deadbeefdeadbee2.png").symlink_to(tmp_path / "secret")
        with sqlite3.connect(study.path) as data:
            data.execute("update maps set file = ? where rowid = 3", ("images/deadbeefdeadbee2.png",))
        for id in ("deadbeefdeadbeef", "deadbeefdeadbee1", "deadbeefdeadbee2"):
            assert client.get(f"/api/study/images/{id}").status_code == 404


class TestAnswers:
    def test_answers_are_stored_by_displayed_maps(self, client: TestClient, study: Study) -> None:
        """Answers refer to the displayed maps, whatever their order."""
        for person in ("ann", "bob", "7"):
            answer_all(client, study, person, best_first)
        given = study.answers()
        assert len(given) == 3 * 16
        assert all(METHODS.index(a.winner) < METHODS.index(a.loser) for a in given if a.kind == "pair")
        assert all(a.rating == 5 - METHODS.index(a.winner) for a in given if a.kind == "rating")
        assert {a.seconds for a in given} == {1.5}
        people = client.get("/api/study").json()["study"]["people"]
        assert people == [{"name": name, "answered": 16} for name in ("ann", "bob", "7")]

    def test_participant_resumes_at_the_next_question(self, client: TestClient, study: Study) -> None:
        first = ask(client, "ann")
        assert (first["answered"], first["total"], first["trial"]["position"]) == (0, 16, 0)
        assert send_answer(client, "ann", first["trial"], 1).json() == {"answered": 1, "total": 16}
        again = ask(client, "  ann ")
        assert (again["person"], again["answered"], again["trial"]["position"]) == ("ann", 1, 1)
        assert ask(client, "bob")["trial"]["position"] == 0

    def test_answer_can_be_replaced(self, client: TestClient, study: Study) -> None:
        trial = ask(client, "ann")["trial"]
        most = 2 if trial["kind"] == "pair" else 5
        for answer in (1, most):
            assert send_answer(client, "ann", trial, answer).status_code == 200
            assert ask(client, "ann", position=0)["trial"] == {**trial, "answer": answer}
        assert len(study.answers()) == 1

    def test_position_after_the_last_question(self, client: TestClient, study: Study) -> None:
        assert ask(client, "ann", position=15)["trial"] is not None
        assert ask(client, "ann", position=16)["trial"] is None

    def test_names_are_normalised(self, client: TestClient, study: Study) -> None:
        for person in ("Zoe\u0301  M", "Zo\u00e9 M"):
            send_answer(client, person, ask(client, person)["trial"], 1)
        assert study.people() == {"Zo\u00e9 M": 2}

    @pytest.mark.parametrize("person", ["", "   ", "=1+1", "@x", "-3", "a\u0007", "a\u202eb", 61 * "a", "\u200b"])
    def test_invalid_names_are_refused(self, client: TestClient, study: Study, person: str) -> None:
        assert client.get("/api/study/next", params={"person": person}).status_code == 422
        trial = ask(client, "ann")["trial"]
        assert send_answer(client, person, trial, 1).status_code == 422
        assert study.answers() == []

    @pytest.mark.parametrize("answer", [0, 3, 6, -1, 1.5, "left", True, None])
    def test_invalid_answers_to_a_pair_are_refused(self, client: TestClient, study: Study, answer: Any) -> None:
        pair = next(t for i in range(16) if (t := ask(client, "ann", position=i)["trial"])["kind"] == "pair")
        refused = send_answer(client, "ann", pair, answer)
        assert refused.status_code == 422
        assert "Traceback" not in refused.text
        assert study.answers() == []

    @pytest.mark.parametrize("seconds", [-1, 1e9, "NaN", "Infinity"])
    def test_seconds_are_bounded(self, client: TestClient, study: Study, seconds: Any) -> None:
        assert send_answer(client, "ann", ask(client, "ann")["trial"], 1, seconds=seconds).status_code == 422

    def test_an_answer_to_other_maps_is_refused(self, client: TestClient, study: Study) -> None:
        trial = ask(client, "ann")["trial"]
        for wrong in ({"maps": ["0123456789abcdef"]}, {"position": 1}, {"position": 99}):
            refused = send_answer(client, "ann", {**trial, **wrong}, 1)
            assert refused.status_code == 404
            assert "created again" in refused.json()["detail"]
        if len(trial["maps"]) == 2:
            assert send_answer(client, "ann", {**trial, "maps": trial["maps"][::-1]}, 1).status_code == 404
        assert study.answers() == []


class TestResults:
    def test_results_equal_library(self, client: TestClient, page: Page, study: Study, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        answer_all(client, study, "ann", best_first)
        answer_all(client, study, "bob", lambda methods: int(rng.integers(1, 3 if len(methods) == 2 else 6)))
        send_answer(client, "cleo", ask(client, "cleo")["trial"], 1)
        run = evaluate(
            "toybox", ToyboxDataset(Toybox(6)), methods=METHODS, metrics=["energy"], out=tmp_path / "evaluation"
        )
        other = tmp_path / "mistakes"
        other.mkdir()
        (other / "run.json").write_text('{"plan": {"model": "x"}}')
        broken = tmp_path / "broken"
        broken.mkdir()
        (broken / "run.json").write_text("{")
        page.runs = (run.path, other, broken)

        found = client.get("/api/study/results").json()
        wanted = results(study, run)
        assert [one["method"] for one in found["ranking"]] == [s.method for s in wanted.ranking]
        for one, s in zip(found["ranking"], wanted.ranking, strict=True):
            for key, interval in (("strength", s.strength), ("rating", s.rating)):
                numbers = [np.nan if (x := one[key][end]) is None else x for end in ("value", "low", "high")]
                assert numbers == pytest.approx([interval.value, interval.low, interval.high], nan_ok=True)
            assert (one["n_won"], one["n_compared"], one["n_rated"]) == (s.n_won, s.n_compared, s.n_rated)
        assert (found["answers"], found["total"]) == (33, 16)
        assert found["agreement"] == pytest.approx(wanted.agreement)
        assert [(p["name"], p["answered"]) for p in found["people"]] == [("ann", 16), ("bob", 16), ("cleo", 1)]
        measured, unread = found["metrics"]
        assert (measured["run"], set(measured["methods"])) == ("evaluation", set(METHODS))
        assert measured["taus"] == pytest.approx(dict(wanted.metric_agreement))
        assert unread["run"] == "broken"
        assert "cannot be read" in unread["problem"]

    def test_tables_equal_library(self, client: TestClient, study: Study) -> None:
        answer_all(client, study, "ann", best_first)
        for name, wanted in (("results", results(study).csv()), ("answers", answers_csv(study))):
            answer = client.get(f"/api/study/{name}.csv")
            assert answer.text == wanted
            assert answer.headers["content-type"] == "text/csv; charset=utf-8"
            assert answer.headers["content-disposition"] == f'attachment; filename="study-{name}.csv"'

    def test_no_answers_yet(self, client: TestClient, study: Study) -> None:
        answer = client.get("/api/study/results")
        assert answer.status_code == 422
        assert "no answers yet" in answer.json()["detail"]
        assert client.get("/api/study/answers.csv").text.count("\n") == 1

    def test_a_run_of_other_methods(self, client: TestClient, page: Page, study: Study, tmp_path: Path) -> None:
        answer_all(client, study, "ann", best_first)
        page.runs = (evaluate("toybox", ToyboxDataset(Toybox(2)), methods=["layer_cam"], out=tmp_path / "few").path,)
        (few,) = client.get("/api/study/results").json()["metrics"]
        assert few["taus"] == {}
        assert "fewer than two" in few["problem"]


class TestFile:
    def test_locked_by_another_program(self, client: TestClient, study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(database_, "TIMEOUT_S", 0.05)
        trial = ask(client, "ann")["trial"]
        holding = sqlite3.connect(study.path, isolation_level=None)
        holding.execute("begin exclusive")
        refused = send_answer(client, "ann", trial, 1)
        assert refused.status_code == 422
        assert "locked by another program" in refused.json()["detail"]
        holding.execute("rollback")
        holding.close()
        assert send_answer(client, "ann", trial, 1).status_code == 200

    def test_deleted_study(self, client: TestClient, study: Study) -> None:
        trial = ask(client, "ann")["trial"]
        study.path.unlink()
        refused = send_answer(client, "ann", trial, 1)
        assert refused.status_code == 404
        assert not study.path.exists(), "no empty file replaces it"

    def test_deleted_image(self, client: TestClient, study: Study) -> None:
        id = ask(client, "ann")["trial"]["original"]
        next((study.folder / "images").glob(f"{id}.*")).unlink()
        answer = client.get(f"/api/study/images/{id}")
        assert answer.status_code == 404
        assert "cannot be read" in answer.json()["detail"]

    def test_damaged(self, client: TestClient, study: Study) -> None:
        study.path.write_bytes(b"not a database, whatever its name says" * 40)
        answer = client.get("/api/study")
        assert answer.status_code == 422
        assert "is not an SQLite file" in answer.json()["detail"]
