"""Errors of requests, and the status and message with which each one is sent."""

from __future__ import annotations

import logging

import torch
from starlette.requests import ClientDisconnect

from camlucida.app.schemas import Failure
from camlucida.errors import CamlucidaError

log = logging.getLogger("camlucida.app")


class QueueFull(Exception):
    """The queue is full."""


class Cancelled(Exception):
    """The client has disconnected, so that the result is no longer needed."""


class NotFound(Exception):
    """A requested object does not exist (any more), such as an evicted image or an unknown run."""


class TooLong(CamlucidaError):
    """A job took longer than its queue allows."""


def failed(error: BaseException) -> tuple[int, Failure]:
    """Return the status and the body for an error: a sentence for user errors, no details for internal ones.

    Args:
        error: The exception.
    """
    if isinstance(error, QueueFull):
        return 503, Failure(kind="Busy", detail="The queue is full. Try again in a few seconds.")
    if isinstance(error, NotFound):
        return 404, Failure(kind="Missing", detail=_message(error))
    if isinstance(error, Cancelled | ClientDisconnect):  # there is no reader, and nothing to log
        return 499, Failure(kind="Cancelled", detail="Stopped.")
    if _out_of_memory(error):
        log.error("out of memory", exc_info=error)
        return 500, Failure(
            kind="Fault", detail="The request needs more memory than there is. Select fewer maps, or a smaller model."
        )
    if isinstance(error, CamlucidaError):
        return 422, Failure(kind=type(error).__name__, detail=_message(error))
    log.error("a request failed", exc_info=error)
    return 500, Failure(kind="Fault", detail="The server failed; the details are in the terminal where it was started.")


def _message(error: BaseException) -> str:
    """Return the message of an error with unencodable characters replaced; it may contain text from the client."""
    return str(error).encode(errors="replace").decode()


def _out_of_memory(error: BaseException | None) -> bool:
    """Return whether an error or its cause is an out-of-memory error, which PyTorch on CPU reports as text only."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, RuntimeError) and any(
        words in str(error) for words in ("out of memory", "can't allocate memory")
    ):
        return True
    return isinstance(error, CamlucidaError) and _out_of_memory(error.__cause__)
