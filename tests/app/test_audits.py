"""GET /audit: reports of audits, with the policy of the report, and never with the script of somebody else."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from camlucida.app.app import create_app
from camlucida.app.app_state import Page
from camlucida.app.audit_pages import is_current
from camlucida.audits.run import audit
from camlucida.cli.app import audit_address
from camlucida.data.open import open_dataset
from camlucida.models.load import load
from camlucida.report.audit_page import audit_report, content_policy

SCENES = 6
DATA = open_dataset("toybox", count=SCENES)


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return audit("toybox", DATA, tmp_path_factory.mktemp("audits") / "scenes").path


@pytest.fixture
def page(audited: Path, tmp_path: Path) -> Page:
    shutil.copytree(audited, tmp_path / "scenes")
    return Page([load("toybox")], DATA, (), None, (tmp_path / "scenes", tmp_path / "missing"))


@pytest.fixture
def client(page: Page) -> Iterator[TestClient]:
    with TestClient(create_app(page), base_url="http://localhost") as client:
        yield client


def test_report_has_a_policy_of_its_own(client: TestClient) -> None:
    for path in ("/audit", "/audit/0"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["content-security-policy"] == f"{content_policy()}; frame-ancestors 'none'"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "Audit of toybox on toybox" in answer.text
        assert "block-sheet-0" in answer.text
    policy = client.get("/").headers["content-security-policy"]
    assert "sha256" not in policy


def test_folder_is_only_read(page: Page, client: TestClient) -> None:
    folder = page.audit_folders[0]
    before = sorted(folder.rglob("*"))
    assert client.get("/audit").status_code == 200
    assert sorted(folder.rglob("*")) == before


def test_current_report_of_the_folder_is_served(page: Page) -> None:
    folder = page.audit_folders[0]
    written = audit_report(page.audits.audit(0), folder / "audit.html")
    assert is_current(page.audits.audit(0), written)
    assert page.audits.file(0) == written


@pytest.mark.parametrize("why", ["another script", "a newer finding", "another policy"])
def test_other_reports_are_not_served(page: Page, why: str) -> None:
    folder = page.audit_folders[0]
    written = audit_report(page.audits.audit(0), folder / "audit.html")
    if why == "a newer finding":
        page.audits.audit(0).write_finding("slices", {"slices": [], "sentences": []})
    elif why == "another policy":
        written.write_text(re.sub("sha256-[^&]*", "sha256-AAAA", written.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        written.write_text("<script>alert(1)</script>", encoding="utf-8")
    assert not is_current(page.audits.audit(0), written)
    assert page.audits.file(0) != written
    assert "alert(1)" not in page.audits.file(0).read_text(encoding="utf-8")


def test_list_of_runs_links_to_audits(client: TestClient) -> None:
    found, missing = client.get("/api/dataset/runs").json()["audits"]
    assert found["link"] == "/audit/0"
    assert (found["name"], found["model"], found["n_images"]) == ("scenes", "toybox", SCENES)
    assert 0 <= found["accuracy"] <= 1
    assert "contains no audit" in missing["error"]


def test_unknown_audits_do_not_exist(client: TestClient) -> None:
    assert client.get("/audit/2").status_code == 404
    assert client.get("/audit/1").status_code == 422


def test_token_opens_the_report(page: Page) -> None:
    with TestClient(create_app(page, hosts=frozenset(), token="secret"), base_url="http://host") as client:
        assert client.get("/audit").status_code == 401
        answer = client.get("/audit?token=secret", follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/audit")
        assert client.get("/audit").status_code == 200


def test_address_keeps_the_token() -> None:
    assert audit_address("http://127.0.0.1:8790/") == "http://127.0.0.1:8790/audit"
    assert audit_address("http://host:1/?token=a") == "http://host:1/audit?token=a"
