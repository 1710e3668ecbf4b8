"""GET /docs: the API in Swagger UI, from the files of the package fastapi-offline, so that no other host is asked.

FastAPI has a script inside its page, which the Content-Security-Policy of the app does not run; here the
script is a file. The page of the app loads none of this.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse, Response

from camlucida._optional import need
from camlucida.app.failures import NotFound

router = APIRouter(prefix="/docs", include_in_schema=False)

ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
"""The files of Swagger UI that are served, with their media types."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Camlucida API</title>
<link rel="icon" href="/icon.svg">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
START = """// The validator badge would send the description to another host.
SwaggerUIBundle({
  url: "/api/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
});
"""


@router.api_route("", methods=["GET", "HEAD"])
def api_docs() -> HTMLResponse:
    """Return the page."""
    _folder()  # a missing package is an error here rather than an empty page
    return HTMLResponse(PAGE, headers={"cache-control": "no-cache"})


@router.get("/start.js")
def start() -> Response:
    """Return the script that starts Swagger UI."""
    return Response(START, media_type="text/javascript", headers={"cache-control": "no-cache"})


@router.get("/{name}")
def asset(name: str) -> FileResponse:
    """Return a file of Swagger UI."""
    if name not in ASSETS:
        raise NotFound(f"There is no file {name[:80]!r} in /docs.")
    return FileResponse(_folder() / name, media_type=ASSETS[name], headers={"cache-control": "max-age=86400"})


def _folder() -> Path:
    """Return the folder of Swagger UI.

    Raises:
        MissingExtra: If fastapi-offline is not installed.
    """
    package = need("fastapi_offline", extra="web", what="the page /docs")
    return Path(str(package.__file__)).with_name("static")
