"""The ASGI application: routes, error responses, the built front end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

import camlucida
from camlucida.app.api_description import DescribedApp
from camlucida.app.app_state import Page
from camlucida.app.failures import Cancelled, NotFound, QueueFull, failed
from camlucida.app.front_end import FrontEnd
from camlucida.app.request_body import MAX_ENCODED, MAX_UPLOAD
from camlucida.app.routes import (
    activations,
    api_docs,
    audits,
    bootstrap,
    compare,
    dataset,
    explain,
    images,
    models,
    study,
    targets,
    top_images,
    trust,
)
from camlucida.app.schemas import Failure
from camlucida.app.security import SecurityMiddleware
from camlucida.errors import CamlucidaError

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
EXPLAIN_FILES = ("", "/panel.png", "/figure.pdf", "/figure.svg", "/figure.html", "/map.npz", "/record.json")
MAX_BODY_BY_PATH = {
    "/api/images": MAX_UPLOAD,
    **{f"/api/explain{what}": MAX_ENCODED for what in EXPLAIN_FILES},
}
"""Paths with a higher limit than other requests: images, as files or in base64."""
N_THREADS = 8
"""Threads for requests that do not use the network, such as files and thumbnails; the number bounds the memory."""
FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"model": Failure, "description": why}
    for status, why in {
        400: "Not a valid request",
        401: "The token is missing",
        403: "The request comes from another site",
        404: "Does not exist (any more)",
        408: "The request took too long to arrive",
        413: "The body is too large",
        415: "The body is compressed",
        422: "The request cannot be fulfilled; detail has the reason",
        503: "The queue is full: try again in a few seconds",
    }.items()
}


def create_app(page: Page, *, hosts: frozenset[str] = LOOPBACK, token: str = "") -> Any:
    """Return the app as an ASGI application, for uvicorn or any other server.

    Args:
        page: The state that is served.
        hosts: Accepted host names; an empty set accepts any and requires a token.
        token: The token that clients must present; empty for none.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        current_default_thread_limiter().total_tokens = N_THREADS
        yield
        page.queues.stop()

    app = DescribedApp(
        title="Camlucida",
        version=camlucida.__version__,
        description="Explain the predictions of vision models. Maps are raw float16 on the layer's grid.",
        docs_url=None,  # FastAPI's own documentation pages load scripts from another host; see routes/api_docs.py
        redoc_url=None,
        openapi_url="/api/openapi.json",
        responses=FAILURES,
        lifespan=lifespan,
    )
    app.state.page = page
    for module in (
        bootstrap,
        models,
        images,
        targets,
        explain,
        compare,
        trust,
        activations,
        top_images,
        dataset,
        study,
    ):
        app.include_router(module.router, prefix="/api")
    app.include_router(audits.router)
    app.include_router(api_docs.router)
    for kind in (QueueFull, Cancelled, ClientDisconnect, NotFound, CamlucidaError, Exception):
        app.add_exception_handler(kind, error_response)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    static = Path(str(files("camlucida.app") / "static"))
    app.mount("/", FrontEnd(static, lambda: bootstrap.start_of(page).model_dump_json()))
    return SecurityMiddleware(app, hosts, token, larger=MAX_BODY_BY_PATH)


async def error_response(request: Request, error: Exception) -> Response:
    status, failure = failed(error)
    headers = {"retry-after": "2"} if status == 503 else {}
    return JSONResponse(failure.model_dump(), status, headers)


async def _invalid(request: Request, error: Exception) -> Response:
    """Return the first invalid field and the reason as one sentence."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "body")
    detail = f"{where}: {first['msg']}"[:500].encode(errors="replace").decode()  # names come from the client
    return JSONResponse(Failure(kind="Invalid", detail=detail).model_dump(), 422)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse(
        Failure(kind="Refused", detail=str(error.detail)).model_dump(), error.status_code, error.headers
    )
