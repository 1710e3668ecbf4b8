"""The committed build of the front end agrees with its sources and the API."""

from __future__ import annotations

import importlib.util
import json
import re
from importlib.resources import files
from pathlib import Path

from starlette.testclient import TestClient

ROOT = Path(__file__).resolve().parents[2]
NAMESPACES = {f"http://www.w3.org/{name}" for name in ("2000/svg", "1999/xhtml", "1998/Math/MathML")}
"""Names of XML namespaces, which are not requested."""


def test_api_description_is_current() -> None:
    spec = importlib.util.spec_from_file_location("describe_api", ROOT / "scripts" / "describe_api.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    kept = (ROOT / "frontend" / "openapi.json").read_text(encoding="utf-8")
    assert json.loads(kept) == json.loads(module.described()), "make front, and commit what it writes"


def test_static_files_name_no_other_host(client: TestClient) -> None:
    """Every file that the built page refers to is in the package, and none contains a URL."""
    index = client.get("/")
    assert index.headers["content-type"].startswith("text/html")
    named = re.findall(r'(?:src|href)="(/[^"]+)"', index.text)
    assert {"/app.js", "/app.css", "/icon.svg"} <= set(named)
    for path in named:
        assert client.get(path).status_code == 200, path
    static = Path(str(files("camlucida.app") / "static"))
    for file in static.iterdir():
        addresses = set(re.findall(r"https?://[^\s\"'`)<>]+", file.read_text(encoding="utf-8")))
        assert addresses <= NAMESPACES, file


def test_no_lock_file_records_addresses() -> None:
    lock = json.loads((ROOT / "frontend" / "package-lock.json").read_text(encoding="utf-8"))
    assert all("resolved" not in entry for entry in lock["packages"].values())
    assert sum("integrity" in entry for entry in lock["packages"].values()) > 20


def test_icon_of_the_page_is_that_of_the_file() -> None:
    """The header contains the icon, which saves a request; its colours and numbers are those of the file."""
    file = (ROOT / "frontend" / "public" / "icon.svg").read_text(encoding="utf-8").partition("<defs>")[2]
    source = (ROOT / "frontend" / "index.html").read_text(encoding="utf-8")
    element = source.partition("<radialGradient")[2].partition("</svg>")[0]
    pattern = r'(?:offset|stop-color|width|height|rx|cx|cy|r)="([^"]+)"'
    assert re.findall(pattern, element) == re.findall(pattern, file)
