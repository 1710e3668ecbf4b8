"""A blind study: methods are not disclosed, answers are never lost, and strengths follow the Bradley-Terry model."""

from __future__ import annotations

import csv
import io
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.optimize import minimize
from scipy.stats import kendalltau

from camlucida.attribution.explain import explain
from camlucida.cli.terminal import interval_text
from camlucida.data.datasets import ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.errors import DataError, MethodError
from camlucida.evaluation import evaluate
from camlucida.render.palettes import DEFAULT_COLORMAP
from camlucida.user_study import Study, answers_csv, bradley_terry_strengths, make_study, results, sqlite
from camlucida.user_study.bradley_terry import PRIOR
from camlucida.user_study.results import kendall_tau

METHODS = ["grad_cam", "eigen_cam", "random_cam"]
SCENES = [sample.image for sample in Toybox(6, seed=2)]


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return make_study(tmp_path / "study", "toybox", SCENES, methods=METHODS)


def answer_all(study: Study, person: str, better: Callable[[str, str], bool], rating: int = 3) -> None:
    """Answer all trials of a participant who knows the methods."""
    methods = {m[0]: m[1] for m in sqlite3.connect(study.path).execute("select file, method from maps")}
    while (trial := study.next_trial(person)) is not None:
        if trial.kind == "rating":
            study.record_answer(trial.id, person, rating, 1.5)
        else:
            left, right = (methods[file] for file in trial.files)
            study.record_answer(trial.id, person, 1 if better(left, right) else 2, 2.0)


def test_every_person_answers_everything_once(study: Study) -> None:
    observed = []
    while (trial := study.next_trial("ann")) is not None:
        observed.append(trial.id)
        study.record_answer(trial.id, "ann", 1)
    assert sorted(observed) == list(range(1, 6 * (3 + 1) + 1))
    assert observed != sorted(observed), "in the participant's order"
    assert study.progress("ann") == (24, 24)
    assert study.progress("bob") == (0, 24)


def test_stopping_loses_nothing(study: Study) -> None:
    first = study.next_trial("ann")
    assert first is not None
    reopened = Study(study.path).next_trial("ann")
    assert reopened == first
    study.record_answer(first.id, "ann", 1)
    second = Study(study.path).next_trial("ann")
    assert second is not None
    assert second.id != first.id


def test_sides_are_random(study: Study) -> None:
    """A pair is displayed in both orders, and an answer refers to the map, not to the side."""
    sides = Counter()
    for person in map(str, range(60)):
        trial = next(t for t in _trials(study, person) if t.kind == "pair")
        sides[trial.swapped] += 1
    assert 15 < sides[True] < 45
    for person in ("ann", "bob"):
        answer_all(study, person, lambda left, right: METHODS.index(left) < METHODS.index(right))
    assert all(
        METHODS.index(a.winner) < METHODS.index(a.loser)
        for a in study.answers()
        if a.kind == "pair" and a.person in ("ann", "bob")
    )


def _trials(study: Study, person: str) -> list:
    result = []
    while (trial := study.next_trial(person)) is not None:
        result.append(trial)
        study.record_answer(trial.id, person, 1)
    return result


def test_file_names_are_anonymous(study: Study) -> None:
    trials = _trials(study, "ann")
    for trial in trials:
        for file in (*trial.files, trial.original):
            assert not any(method in file for method in METHODS)
            with Image.open(study.folder / file) as image:
                assert image.size == SCENES[0].size


def test_seed_determines_the_trials(tmp_path: Path) -> None:
    def trials_of(seed: int, folder: str) -> list:
        result = make_study(tmp_path / folder, "toybox", SCENES, methods=METHODS, pairs=2, seed=seed)
        return list(sqlite3.connect(result.path).execute("select * from trials"))

    assert trials_of(1, "a") == trials_of(1, "b")
    assert trials_of(1, "c") != trials_of(2, "d")


def test_strengths_maximise_the_likelihood() -> None:
    """Bradley-Terry by its likelihood and a general minimiser."""
    wins = np.array([[0, 8, 9, 7], [3, 0, 6, 8], [2, 4, 0, 9], [1, 2, 3, 0]], dtype=float)

    def unlikely(s: np.ndarray) -> float:
        return float((wins * np.log1p(np.exp(s[None] - s[:, None]))).sum())

    expected = minimize(unlikely, np.zeros(4), tol=1e-12).x
    assert bradley_terry_strengths(wins, prior=0) == pytest.approx(expected - expected.mean(), abs=1e-5)


def test_two_methods_in_closed_form() -> None:
    result = bradley_terry_strengths(np.array([[0.0, 30.0], [10.0, 0.0]]), prior=0)
    assert result[0] - result[1] == pytest.approx(np.log(3))


def test_a_chain_of_80_in_closed_form() -> None:
    """Each method is compared with the next one only and wins 3 of 4 times: the strengths are log 3 apart."""
    wins = np.diag(np.full(79, 3.0), 1) + np.diag(np.ones(79), -1)
    strengths = bradley_terry_strengths(wins, prior=0)
    assert -np.diff(strengths) == pytest.approx(np.full(79, np.log(3)), abs=1e-8)
    assert strengths.mean() == pytest.approx(0, abs=1e-9)


def test_a_chain_with_a_prior_against_scipy() -> None:
    """Strengths from several tables at once, each against SciPy's optimiser with the exact gradient."""
    rng = np.random.default_rng(0)
    chains = np.zeros((3, 40, 40))
    for chain in chains:
        i = np.arange(39)
        chain[i, i + 1], chain[i + 1, i] = rng.integers(0, 30, 39), rng.integers(0, 3, 39)
    for chain, strengths in zip(chains, bradley_terry_strengths(chains), strict=True):
        wins = chain + PRIOR * (1 - np.eye(40))

        def loss(s: np.ndarray, wins: np.ndarray = wins) -> tuple[float, np.ndarray]:
            behind = s[None] - s[:, None]
            by_pair = wins / (1 + np.exp(-behind))
            return float((wins * np.logaddexp(0, behind)).sum()), by_pair.sum(0) - by_pair.sum(1)

        found = minimize(loss, np.zeros(40), jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 5000}).x
        assert strengths == pytest.approx(found - found.mean(), abs=1e-6)


def test_no_finite_strength_warns() -> None:
    with pytest.warns(RuntimeWarning, match="did not converge"):
        bradley_terry_strengths(np.array([[0.0, 5.0], [0.0, 0.0]]), prior=0)


def test_a_single_rating_has_no_interval(study: Study) -> None:
    trial = next(trial for trial in _unanswered(study) if trial.kind == "rating")
    study.record_answer(trial.id, "ann", 4)
    (rated,) = (r for r in results(study).ranking if r.n_rated)
    assert rated.rating.value == 4
    assert np.isnan([rated.rating.low, rated.rating.high]).all()
    assert interval_text(rated.rating, ".2f") == "4.00 –"
    for person in ("bob", "cat", "dan"):
        study.record_answer(trial.id, person, 3)
    (rated,) = (r for r in results(study).ranking if r.n_rated)
    assert rated.rating.low <= 3.25 <= rated.rating.high


def _unanswered(study: Study) -> list:
    return [study.trial(number, "ann") for number in study.trial_order("ann")]


def test_strength_of_an_undefeated_method_is_finite() -> None:
    assert np.isfinite(bradley_terry_strengths(np.array([[0.0, 5.0], [0.0, 0.0]]))).all()


def test_recovers_known_strengths(study: Study) -> None:
    rng = np.random.default_rng(0)
    expected = dict(zip(METHODS, (1.5, 0.0, -1.5), strict=True))

    def at_random(left: str, right: str) -> bool:
        return bool(rng.random() < 1 / (1 + np.exp(expected[right] - expected[left])))

    for person in map(str, range(12)):
        answer_all(study, person, at_random, rating=4)
    result = results(study)
    assert [s.method for s in result.ranking] == METHODS
    for s in result.ranking:
        assert s.strength.low < expected[s.method] < s.strength.high
        assert s.strength.value == pytest.approx(expected[s.method], abs=0.5)
        assert s.rating.value == pytest.approx(4) or s.n_rated == 0
    assert (result.people, result.answers) == (12, 12 * 24)
    assert 0.5 < result.agreement < 1


def test_agreement_with_metrics(study: Study, tmp_path: Path) -> None:
    answer_all(study, "ann", lambda left, right: METHODS.index(left) < METHODS.index(right))
    run = evaluate("toybox", ToyboxDataset(Toybox(8)), methods=METHODS, metrics=["energy"], out=tmp_path / "run")
    result = results(study, run)
    energies = [run.summary("energy", m).value for m in METHODS]
    assert result.metric_agreement["energy"] == pytest.approx(kendalltau(energies, [3, 2, 1]).statistic)


def test_kendall_matches_scipy() -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        first, second = rng.integers(0, 4, 9), rng.normal(size=9)
        assert kendall_tau(list(first), list(second)) == pytest.approx(kendalltau(first, second).statistic)


def test_results_are_saved(study: Study, tmp_path: Path) -> None:
    answer_all(study, "ann", lambda left, right: left == "grad_cam")
    file = results(study).save(tmp_path / "table.csv")
    assert file.read_text().splitlines()[1].startswith("grad_cam,")


def test_unreadable_images_are_skipped(tmp_path: Path) -> None:
    result = make_study(tmp_path, "toybox", [SCENES[0], b"not an image"], methods=METHODS)
    assert result.metadata["n_images"] == 1
    assert len(result.metadata["left_out"]) == 1


def test_answers_are_returned_as_displayed(study: Study) -> None:
    for person in ("ann", "bob"):
        answers = {}
        for i, number in enumerate(study.trial_order(person)):
            trial = study.trial(number, person)
            answers[number] = 1 + i % (2 if trial.kind == "pair" else 5)
            study.record_answer(number, person, answers[number])
        assert study.answers_of(person) == answers
        assert study.people()[person] == len(answers) == sum(study.n_trials().values())
    assert study.trial_order("ann") != study.trial_order("bob")


def test_trial_order_matches_next_trial(study: Study) -> None:
    order = study.trial_order("ann")
    assert [trial.id for trial in _trials(study, "ann")] == list(order)


def test_colormaps_are_the_same_for_all_methods(tmp_path: Path) -> None:
    """A signed map has its own colour map only if all maps of the study are signed."""
    both = make_study(tmp_path / "both", "toybox", SCENES[:1], methods=["grad_cam", "input_x_gradient"])
    same_style = make_study(tmp_path / "alike", "toybox", SCENES[:1], methods=["grad_cam", "layer_cam"])

    def overlay(study: Study, method: str) -> np.ndarray:
        (file,) = sqlite3.connect(study.path).execute("select file from maps where method = ?", (method,)).fetchone()
        return np.asarray(Image.open(study.folder / file).convert("RGB"), dtype=float)

    assert np.array_equal(overlay(both, "grad_cam"), overlay(same_style, "grad_cam"))
    own = explain("toybox", SCENES[0], method="input_x_gradient")
    assert own.shows_signs
    assert np.array_equal(
        overlay(both, "input_x_gradient"), np.asarray(own.overlay(colormap=DEFAULT_COLORMAP), dtype=float)
    )


def test_interrupted_creation_leaves_no_files(tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    reported = []

    def stop(done: int, total: int) -> None:
        reported.append(done)
        if done == 2:
            assert list((tmp_path / "study").rglob("*.png")), "files exist that must be removed"
            raise Stopped

    with pytest.raises(Stopped):
        make_study(tmp_path / "study", "toybox", SCENES, methods=METHODS, progress=stop)
    assert not [file for file in (tmp_path / "study").rglob("*") if file.is_file()]
    assert make_study(tmp_path / "study", "toybox", SCENES, methods=METHODS).metadata["n_images"] == 6


def test_slow_methods_report_progress(tmp_path: Path) -> None:
    reported: list[tuple[int, int]] = []
    make_study(
        tmp_path, "toybox", SCENES[:2], methods=["grad_cam", "occlusion"], progress=lambda *n: reported.append(n)
    )
    assert {total for _, total in reported} == {2}
    assert sorted(done for done, _ in reported) == [done for done, _ in reported]
    assert [done for done, _ in reported].count(1) > 2
    assert reported[-1] == (2, 2)


def test_answers_as_a_table(study: Study) -> None:
    answer_all(study, "ann, the first", lambda left, right: left == "grad_cam", rating=4)
    rows = list(csv.DictReader(io.StringIO(answers_csv(study))))
    assert len(rows) == 24
    for row, a in zip(rows, study.answers(), strict=True):
        assert (row["person"], row["kind"], row["winner"], row["loser"]) == (a.person, a.kind, a.winner, a.loser)
        assert (row["rating"], row["image"]) == ("4" if a.kind == "rating" else "", a.image)
        assert float(row["seconds"]) == a.seconds


class TestDatabaseErrors:
    def test_locked_by_another_program(self, study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sqlite, "TIMEOUT_S", 0.05)
        lock = sqlite3.connect(study.path, isolation_level=None)
        lock.execute("begin exclusive")
        with pytest.raises(DataError, match="locked by another program"):
            study.record_answer(1, "ann", 1)
        lock.execute("rollback")
        lock.close()
        study.record_answer(1, "ann", 1)

    def test_read_only(self, study: Study) -> None:
        """The header of a file written by a newer SQLite is read-only, also for root."""
        content = bytearray(study.path.read_bytes())
        content[18] = 9
        study.path.write_bytes(content)
        assert study.next_trial("ann") is not None
        with pytest.raises(DataError, match="is read-only"):
            study.record_answer(1, "ann", 1)

    def test_a_deleted_file_is_not_replaced(self, study: Study) -> None:
        study.path.unlink()
        with pytest.raises(DataError, match="Check that the file exists"):
            study.record_answer(1, "ann", 1)
        assert not study.path.exists()

    def test_not_a_study(self, study: Study, tmp_path: Path) -> None:
        (tmp_path / "no.sqlite").write_bytes(b"not a database" * 100)
        with pytest.raises(DataError, match="not an SQLite file"):
            Study(tmp_path / "no.sqlite").progress("ann")
        sqlite3.connect(tmp_path / "other.sqlite").execute("create table x (y)")
        with pytest.raises(DataError, match="is not a study: no such table"):
            Study(tmp_path / "other.sqlite").progress("ann")


class TestInvalidArguments:
    def test_invalid_answers(self, study: Study) -> None:
        pair = next(t for t in _trials(study, "ann") if t.kind == "pair")
        with pytest.raises(DataError, match="a pair is an integer from 1 to 2, not 3"):
            study.record_answer(pair.id, "bob", 3)
        with pytest.raises(DataError, match="no trial 99"):
            study.record_answer(99, "bob", 1)
        with pytest.raises(DataError, match="needs a name"):
            study.next_trial("  ")

    def test_a_study_is_not_overwritten(self, study: Study) -> None:
        with pytest.raises(DataError, match="perhaps with answers"):
            make_study(study.folder, "toybox", SCENES, methods=METHODS)

    def test_invalid_methods(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="at least two methods, not 1"):
            make_study(tmp_path, "toybox", SCENES, methods=["grad_cam"])
        with pytest.raises(MethodError, match="Did you mean"):
            make_study(tmp_path, "toybox", SCENES, methods=["grad_cam", "eigencm"])
        with pytest.raises(DataError, match="grad_cam is given twice"):
            make_study(tmp_path, "toybox", SCENES, methods=["grad_cam", "cam", "grad_cam"])
        with pytest.raises(DataError, match="one pair or one rating"):
            make_study(tmp_path, "toybox", SCENES, methods=METHODS, pairs=0, ratings=0)

    def test_missing_or_empty(self, study: Study, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="no answers yet"):
            results(study)
        with pytest.raises(DataError, match="contains no study"):
            Study(tmp_path / "none.sqlite")
        with pytest.raises(DataError, match="none of the 1 images"):
            make_study(tmp_path / "x", "toybox", [b"broken"], methods=METHODS)
