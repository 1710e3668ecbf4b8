"""Dependencies of the routes."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from camlucida.app.app_state import Page
from camlucida.app.failures import NotFound
from camlucida.app.images import StoredImage


async def page_of(request: Request) -> Page:  # async: FastAPI runs other dependencies in a worker thread
    """Return the state that this application serves."""
    page: Page = request.app.state.page
    return page


AppDep = Annotated[Page, Depends(page_of)]


def image_of(page: Page, id_: str) -> StoredImage:
    """Return the image with this id.

    Raises:
        NotFound: If there is no such image (any more).
        ImageError: If it is a sample that cannot be read.
    """
    try:
        return page.images.find(id_)
    except KeyError:
        raise NotFound(f"There is no image {id_[:40]} (any more). Select it or upload it again.") from None
