"""The tab Study in a browser: creation, answers by keyboard and touch, results equal to those of the library."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from camlucida.app.app_state import Page
from camlucida.data.datasets import ToyboxDataset
from camlucida.data.open import open_dataset
from camlucida.data.toybox import Toybox
from camlucida.evaluation import evaluate
from camlucida.models.load import load
from camlucida.user_study import Study, make_study, results

from .conftest import PATIENCE, PHONE, WCAG_21

METHODS = ["grad_cam", "eigen_cam", "random_cam"]
AWAY_S = 1.5
PAIR_KEYS = {"ArrowLeft": 1, "j": 2, "1": 1, "ArrowRight": 2, "f": 1, "2": 2}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluation of the same methods."""
    folder = tmp_path_factory.mktemp("runs") / "evaluation"
    evaluate("toybox", ToyboxDataset(Toybox(6)), methods=METHODS, metrics=["energy", "gini"], out=folder)
    return folder


@pytest.fixture
def site(
    serving: Callable[[Page], AbstractContextManager[str]], run: Path, tmp_path: Path
) -> Iterator[tuple[str, Page]]:
    """Serve one app per test, without a study."""
    page = Page([load("toybox")], open_dataset("toybox", count=30), (run,), tmp_path / "study")
    with serving(page) as address:
        yield address, page


@pytest.fixture
def study(site: tuple[str, Page]) -> Study:
    """Return a study of three images with two pairs and one rating each: nine questions."""
    folder = site[1].study
    assert folder is not None
    images = [sample.image for sample in Toybox(3, seed=5)]
    return make_study(folder, load("toybox"), images, methods=METHODS, pairs=2, seed=3)


def shown(page: Any, side: str) -> str:
    """The id of the map on a side, as the browser loaded it."""
    return str(page.locator(f".study .{side} img").get_attribute("src")).rsplit("/", 1)[1]


def tab_to(page: Any, selector: str) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(60):
        if page.evaluate("s => document.activeElement.matches(s)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{selector} cannot be reached by Tab")


def answer_by_key(page: Any, position: int, key: str | None = None) -> tuple[str, str, int]:
    """Press an answer; return (winner, loser, rating) as displayed."""
    page.wait_for_selector(f'.study-tab[data-drawn="trial {position}"]')
    if page.locator(".study .pictures.pair").count():
        pressed = key or list(PAIR_KEYS)[position % len(PAIR_KEYS)]
        left, right = shown(page, "left"), shown(page, "right")
        noted = (left, right, 0) if PAIR_KEYS[pressed] == 1 else (right, left, 0)
    else:
        pressed = key or str(1 + position % 5)
        noted = (shown(page, "left"), "", int(pressed))
    page.keyboard.press(pressed)
    return noted


def kept(path: Path, person: str) -> list[tuple[str, str, int]]:
    """Read (winner, loser, rating) by ids of maps from the file, without the library."""
    query = """select t.kind, t.left_map, t.right_map, a.answer from answers a join trials t on t.id = a.trial
               where a.person = ?"""
    with sqlite3.connect(path) as data:
        rows = data.execute(query, (person,)).fetchall()
    return [
        (left, "", answer) if kind == "rating" else ((left, right, 0) if answer == 1 else (right, left, 0))
        for kind, left, right, answer in rows
    ]


def until(true: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds."""
    for _ in range(PATIENCE // 50):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError(what)


def test_study_by_keyboard(tab: Callable[..., Any], study: Study, run: Path, screenshot: Callable[..., None]) -> None:
    started = time.monotonic()
    page = tab("#study")
    page.wait_for_selector('.study-tab[data-drawn="entry"]')
    tab_to(page, ".study input")
    page.keyboard.type("Ann 1 2 f j 5")
    page.keyboard.press("ArrowLeft")
    assert kept(study.path, "Ann 1 2 f j 5") == [], "typing a name answers nothing"
    screenshot(page, "study-entry")
    page.keyboard.press("Enter")
    noted = {position: answer_by_key(page, position) for position in range(4)}
    page.wait_for_selector('.study-tab[data-drawn="trial 4"]')

    page.reload()
    page.wait_for_selector('.study-tab[data-drawn="entry"]')
    tab_to(page, ".study input")
    assert page.locator(".study input").input_value() == "Ann 1 2 f j 5"
    assert page.locator(".study .begin").inner_text().count("answered 4 of 9")
    page.keyboard.press("Enter")
    noted |= {position: answer_by_key(page, position) for position in range(4, 7)}
    page.wait_for_selector('.study-tab[data-drawn="trial 7"]')
    page.keyboard.press("Backspace")
    page.wait_for_selector('.study-tab[data-drawn="trial 6"]')
    assert page.locator('.study .pick[aria-pressed="true"]').count() == 1, "the stored answer is shown"
    pair = page.locator(".study .pictures.pair").count()
    noted[6] = answer_by_key(page, 6, ("ArrowLeft" if noted[6][0] == shown(page, "right") else "j") if pair else "5")
    noted |= {position: answer_by_key(page, position) for position in (7, 8)}
    page.wait_for_selector('.study-tab[data-drawn="end"]')
    screenshot(page, "study-end")

    assert sorted(kept(study.path, "Ann 1 2 f j 5")) == sorted(noted.values())
    assert study.people() == {"Ann 1 2 f j 5": 9}
    with sqlite3.connect(study.path) as data:
        spent = [seconds for (seconds,) in data.execute("select seconds from answers")]
    assert min(spent) > 0
    assert sum(spent) < time.monotonic() - started

    tab_to(page, ".study .end button")
    page.keyboard.press("Enter")
    page.wait_for_selector('.study-tab[data-drawn="entry"]')
    assert not any(method in page.content() for method in METHODS), (
        "no method is named before the results are requested"
    )
    tab_to(page, ".study .reveal")
    page.keyboard.press("Enter")
    page.wait_for_selector(".study .results[data-drawn]")
    wanted = results(study)
    rows = [row.split("\t") for row in page.locator(".standings tbody").inner_text().splitlines()]
    assert [row[0] for row in rows] == [one.method for one in wanted.ranking]
    for row, one in zip(rows, wanted.ranking, strict=True):
        s = one.strength
        interval = "–" if math.isnan(s.low) else f"{s.low:.2f} to {s.high:.2f}"
        assert row[1].replace("−", "-") == f"{s.value:.2f} {interval}".replace("-0.00", "0.00")
        assert row[3:] == [f"{one.n_won} of {one.n_compared}", str(one.n_rated)]
    assert "evaluation" in page.locator(".study .metrics h3").inner_text()
    with page.expect_download() as saved:
        page.get_by_text("All answers as CSV").click()
    assert Path(saved.value.path()).read_text().count("\n") == 1 + 9


def test_held_and_other_keys_give_no_further_answer(tab: Callable[..., Any], study: Study) -> None:
    page = tab("#study")
    page.locator(".study input").fill("bob")
    page.keyboard.press("Enter")
    page.wait_for_selector('.study-tab[data-drawn="trial 0"]')
    for key in ("Control+1", "Alt+ArrowLeft", "9", "x", "Backspace"):
        page.keyboard.press(key)
    assert kept(study.path, "bob") == []
    page.keyboard.down("1")
    for _ in range(4):
        page.keyboard.down("1")  # again without up: what a held key sends
    page.keyboard.up("1")
    page.wait_for_selector('.study-tab[data-drawn="trial 1"]')
    page.locator("#tab-explain").focus()
    page.keyboard.press("1")
    page.evaluate("fetch('/api/study').then((answer) => answer.text())")  # after an answer, if one were sent
    assert len(kept(study.path, "bob")) == 1


def test_question_stays_when_the_tab_is_left(tab: Callable[..., Any], study: Study) -> None:
    page = tab("#study")
    page.locator(".study input").fill("dora")
    page.keyboard.press("Enter")
    started = time.monotonic()
    for position in range(2):
        answer_by_key(page, position)
    page.wait_for_selector('.study-tab[data-drawn="trial 2"]')
    page.keyboard.press("Backspace")
    page.wait_for_selector('.study-tab[data-drawn="trial 1"]')
    before = page.locator(".study .original img").get_attribute("src")
    page.wait_for_timeout(300)
    page.click("#tab-explain")
    page.wait_for_selector(".explain-tab[data-drawn]")
    page.keyboard.press("1")
    page.wait_for_timeout(1000 * AWAY_S)
    page.click("#tab-study")
    page.wait_for_selector('.study-tab[data-drawn="trial 1"]')
    assert page.locator(".study .original img").get_attribute("src") == before
    assert len(kept(study.path, "dora")) == 2
    answer_by_key(page, 1)
    page.wait_for_selector('.study-tab[data-drawn="trial 2"]')
    with sqlite3.connect(study.path) as data:
        (seconds,) = data.execute("select max(seconds) from answers where person = 'dora'").fetchone()
    assert seconds >= 0.3, "the time before the tab was left counts"
    assert seconds < time.monotonic() - started - AWAY_S, "the time in another tab does not count"
    page.get_by_role("button", name="Stop").click()
    page.wait_for_selector('.study-tab[data-drawn="entry"]')
    page.click("#tab-explain")
    page.click("#tab-study")
    page.wait_for_selector('.study-tab[data-drawn="entry"]')


def test_next_question_is_preloaded(tab: Callable[..., Any], study: Study) -> None:
    """The images of the next question are loaded before an answer is given."""
    page = tab("#study")
    page.locator(".study input").fill("cleo")
    page.keyboard.press("Enter")
    for position in range(3):
        page.wait_for_selector(f'.study-tab[data-drawn="trial {position}"][data-next="{position + 1}"]')
        before = set(page.requests_seen)
        page.keyboard.press("1")
        page.wait_for_selector(f'.study-tab[data-drawn="trial {position + 1}"]')
        on_screen = {f"/api/study/images/{shown(page, side)}" for side in ("left", "original")}
        assert on_screen <= before


def test_failed_answer_can_be_repeated(tab: Callable[..., Any], study: Study) -> None:
    page = tab("#study")
    page.locator(".study input").fill("dora")
    page.keyboard.press("Enter")
    page.wait_for_selector('.study-tab[data-drawn="trial 0"]')
    page.route("**/api/study/answer", lambda route: route.abort())
    page.keyboard.press("1")
    page.wait_for_selector("#said.error")
    assert "Not saved" in page.locator("#said").inner_text()
    page.unroute("**/api/study/answer")
    page.keyboard.press("1")
    page.wait_for_selector('.study-tab[data-drawn="trial 1"]')
    assert len(kept(study.path, "dora")) == 1


def test_study_on_a_phone(
    tab: Callable[..., Any], study: Study, violations: Callable[..., list[str]], screenshot: Callable[..., None]
) -> None:
    """In the dark: every question fits the screen without scrolling, the buttons are large enough for a thumb."""
    page = tab("#study", viewport=PHONE, has_touch=True, is_mobile=True, color_scheme="dark")
    page.locator(".study input").fill("emil")
    page.get_by_text("Start", exact=True).tap()
    kinds = set()
    for position in range(9):
        page.wait_for_selector(f'.study-tab[data-drawn="trial {position}"]')
        kind = "pair" if page.locator(".study .pictures.pair").count() else "rating"
        if kind not in kinds:
            assert violations(page, WCAG_21) == []
            screenshot(page, f"study-phone-{kind}")
        kinds.add(kind)
        buttons = [one for one in page.locator(".study .pick").all() if one.is_visible()]
        for box in (button.bounding_box() for button in buttons):
            assert box is not None
            assert box["height"] >= 48
            assert box["width"] >= 48
            assert box["y"] + box["height"] <= PHONE["height"]
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        buttons[-1].tap()
    page.wait_for_selector('.study-tab[data-drawn="end"]')
    assert kinds == {"pair", "rating"}
    assert {rating for _, _, rating in kept(study.path, "emil")} == {0, 5}
    page.get_by_text("Start page of the study").tap()
    page.locator(".study .reveal").tap()
    page.wait_for_selector(".study .results[data-drawn]")
    screenshot(page, "study-phone-results")
    assert violations(page, WCAG_21) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_study_can_be_created_in_the_app(
    tab: Callable[..., Any], site: tuple[str, Page], screenshot: Callable[..., None]
) -> None:
    page = tab("#study")
    page.wait_for_selector('.study-tab[data-drawn="making"]')
    screenshot(page, "study-making")
    while page.locator(".study .method input:checked").count():
        page.locator(".study .method input:checked").first.uncheck()
    assert page.get_by_text("Select at least two methods").is_visible()
    assert page.get_by_role("button", name="Create the study").is_disabled()
    for method in ("grad_cam", "random_cam"):
        page.locator(f'.study input[value="{method}"]').check()
    folder = site[1].study
    assert folder is not None
    page.get_by_text("Slow methods").click()
    page.locator('.study input[value="rise"]').check()
    page.get_by_label("Images", exact=True).fill("30")
    page.get_by_role("button", name="Create the study").click()
    page.wait_for_selector(".study .task progress[value]")
    page.get_by_role("button", name="Stop", exact=True).click()
    page.wait_for_selector(".study .task:empty", state="attached")
    until(lambda: not list(folder.rglob("*.*")), "stopped, it leaves nothing behind")
    page.locator('.study input[value="rise"]').uncheck()

    page.get_by_label("Images", exact=True).fill("4")
    page.get_by_label("Seed").fill("7")
    assert "8 questions" in page.locator(".study .sum").inner_text(), "two methods have one pair only"
    page.get_by_role("button", name="Create the study").click()
    page.wait_for_selector('.study-tab[data-drawn="entry"]')
    about = Study(folder / "study.sqlite").metadata
    assert (about["methods"], about["n_images"], about["seed"]) == (["grad_cam", "random_cam"], 4, 7)


def test_accessibility(
    tab: Callable[..., Any], study: Study, violations: Callable[..., list[str]], screenshot: Callable[..., None]
) -> None:
    """In the light, on a wide screen: while a question is asked, and in the results."""
    for person in ("gus", "hal"):
        for number in study.trial_order(person)[: 9 if person == "gus" else 4]:
            study.record_answer(number, person, 1)
    page = tab("#study", color_scheme="light")
    page.locator(".study input").fill("ida")
    page.keyboard.press("Enter")
    kinds = set()
    for position in range(9):
        page.wait_for_selector(f'.study-tab[data-drawn="trial {position}"]')
        kind = "pair" if page.locator(".study .pictures.pair").count() else "rating"
        if kind not in kinds:
            assert violations(page, WCAG_21) == []
            screenshot(page, f"study-{kind}")
        kinds.add(kind)
        if len(kinds) == 2:
            break
        page.keyboard.press("2")
    page.get_by_text("Stop", exact=True).click()
    page.wait_for_selector('.study-tab[data-drawn="entry"]')
    assert "hal has 5 open questions" in page.locator(".study .warning").inner_text(), "they would no longer be blind"
    page.locator(".study .reveal").click()
    page.wait_for_selector(".study .results[data-drawn]")
    screenshot(page, "study-results")
    assert violations(page, WCAG_21) == []
