"""The body of a request, with limits on its size and duration that are checked as it arrives."""

from __future__ import annotations

import asyncio
from typing import Protocol

from camlucida.app.http_messages import Message, Receive, Refused

MAX_BODY = 1 << 20
"""Maximum size of a request body, in bytes."""
MAX_UPLOAD = 25 << 20
"""Maximum size of an image file, in bytes."""
MAX_ENCODED = MAX_UPLOAD // 3 * 4 + (64 << 10)
"""The same in base64, including the rest of the request."""
MAX_BODIES = 256 << 20
"""Maximum size, in bytes, of all bodies that are being received or processed."""
MAX_PAUSE_S = 20.0
"""Maximum seconds between two parts of a body."""
MAX_DURATION_S = 120.0
"""Maximum seconds for a whole body: 25 MB at 2 Mbit/s."""


class BodyBudget(Protocol):
    """The limits that all bodies share, and the bytes that they hold together."""

    max_bodies: int
    max_pause_s: float
    max_duration_s: float
    n_bytes_held: int


class Body:
    """The body of a request as it arrives, with limits on its size and duration. Raises `Refused`."""

    def __init__(self, budget: BodyBudget, max_bytes: int, receive: Receive) -> None:
        self._budget, self._max_bytes, self._receive = budget, max_bytes, receive
        self._until = asyncio.get_running_loop().time() + budget.max_duration_s
        self._more = True
        self.n_bytes = 0

    async def __call__(self) -> Message:
        if not self._more:
            return await self._receive()
        left = self._until - asyncio.get_running_loop().time()
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, min(self._budget.max_pause_s, left)))
        except TimeoutError:
            raise Refused(408, "The request took too long to arrive.") from None
        if message["type"] == "http.request":
            self._count(len(message.get("body", b"")))
            self._more = bool(message.get("more_body"))
        return message

    def _count(self, size: int) -> None:
        self.n_bytes += size
        self._budget.n_bytes_held += size
        if self.n_bytes > self._max_bytes:
            raise too_large(self._max_bytes)
        if self._budget.n_bytes_held > self._budget.max_bodies:
            detail = "The server is receiving too much data. Try again in a few seconds."
            raise Refused(503, detail, **{"retry-after": "5"})


def too_large(max_bytes: int) -> Refused:
    """Return the error for a body of more than `max_bytes`."""
    if max_bytes <= MAX_BODY:
        return Refused(413, f"The body of this request may have at most {max_bytes / (1 << 20):g} MB.")
    return Refused(413, f"The file is larger than {min(max_bytes, MAX_UPLOAD) >> 20} MB. Upload a smaller image.")
