"""Dependencies of the routes."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from camlucida.app.app_state import Page
from camlucida.app.images import StoredImage
from camlucida.app.jobs import NotFound
from camlucida.errors import ImageError


def page_of(request: Request) -> Page:
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
        return page.pictures.find(id_)
    except KeyError:
        raise NotFound(f"The picture {id_[:40]} is not here (any more). Choose it or drop it again.") from None


__all__ = ["AppDep", "ImageError", "page_of", "image_of"]
