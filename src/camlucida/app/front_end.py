"""The built front end: its files from memory, and the first state of the page inside index.html.

A file that is read in a worker thread for every request takes longer than the rest of the response, and the opening of
the page needs several. Files are read again when they change, as they do while the front end is developed.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from camlucida.errors import CamlucidaError

INDEX = "index.html"
MEDIA_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}
START_ELEMENT = '<script type="application/json" id="start">'
"""Data, not a script: the Content-Security-Policy forbids scripts inside the page, and the browser runs none."""


@dataclass(frozen=True)
class BuiltFile:
    """A file as it is sent.

    Attributes:
        stamp: The time and the size of the file when it was read.
        content: The bytes that are sent.
        etag: The hash of the content, quoted.
    """

    stamp: tuple[int, int]
    content: bytes
    etag: str


class FrontEnd:
    """An ASGI application that serves the files of one folder, and index.html as "/".

    Args:
        folder: The folder of the build; files in folders below it are not served.
        start: Returns the response of /api/start as JSON, which index.html contains. It is called once per read of
            index.html, since the response does not change while the app runs.
    """

    def __init__(self, folder: Path, start: Callable[[], str]) -> None:
        self.folder = folder
        self._start = start
        self._files: dict[str, BuiltFile] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to GET and HEAD.

        Raises:
            HTTPException: If there is no such file, or for another method.
        """
        request = Request(scope)
        if request.method not in ("GET", "HEAD"):
            raise HTTPException(405)
        name = request.url.path.removeprefix("/") or INDEX
        found = await self._file(name)
        if found is None:
            raise HTTPException(404)
        # The names are the same in every version, so browsers have to revalidate.
        headers = {"etag": found.etag, "cache-control": "no-cache"}
        if found.etag in request.headers.get("if-none-match", ""):
            response = Response(status_code=304, headers=headers)
        else:
            response = Response(found.content, headers=headers, media_type=MEDIA_TYPES[Path(name).suffix])
        await response(scope, receive, send)

    async def _file(self, name: str) -> BuiltFile | None:
        """Return the file with this name; None if there is none."""
        path = self.folder / name
        if Path(name).name != name or path.suffix not in MEDIA_TYPES:
            return None
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            known = self._files.get(name)
            if known is None or known.stamp != stamp:
                known = self._files[name] = await run_in_threadpool(self._read, path, stamp)
        except (OSError, ValueError):  # ValueError: a null byte in the name
            return None
        return known

    def _read(self, path: Path, stamp: tuple[int, int]) -> BuiltFile:
        if path.resolve().parent != self.folder.resolve():
            raise FileNotFoundError(path)  # a symbolic link out of the folder
        content = path.read_bytes()
        if path.name == INDEX:
            with contextlib.suppress(CamlucidaError):  # the page requests the start itself, and displays the error
                content = with_start(content, self._start())
        return BuiltFile(stamp, content, f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"')


def with_start(index: bytes, start: str) -> bytes:
    """Return index.html with the first state at the end of its head.

    Args:
        index: The content of index.html.
        start: JSON. Names of classes are part of it and come from anywhere, so that it must not be able to end the
            element: "<" is written as an escape.
    """
    element = START_ELEMENT + start.replace("<", "\\u003c") + "</script>\n  "
    return index.replace(b"</head>", element.encode() + b"</head>", 1)
