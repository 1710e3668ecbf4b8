"""What an answer that is kept depends on: the model, the image, and every field of the request.

Every cache of the page takes its keys from here. A request counts with all of its fields, so that a field that is added
to it later cannot be forgotten; what does not count has to be named, with the reason, where the key is asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import TYPE_CHECKING, TypeAlias

from camlucida.app.images import StoredImage
from camlucida.app.schemas import Schema

if TYPE_CHECKING:
    from camlucida.app.model_entry import Served

CacheKey: TypeAlias = tuple[Hashable, ...]


def model_key(served: Served) -> CacheKey:
    """Return what identifies a model of the page.

    The name counts beside the weights: two models with the same weights may have other class names or preprocessing.
    """
    return served.model.weights_hash, served.name


def image_key(image: StoredImage) -> CacheKey:
    """Return what identifies an image in an answer.

    The id and the name count beside the pixels: answers repeat them, and the same pixels may be a sample and an upload.
    """
    return image.digest, image.id, image.name


def request_key(
    purpose: str, served: Served, image: StoredImage, asked: Schema, *, without: Collection[str] = ()
) -> CacheKey:
    """Return the key of an answer to a request about one image and one model.

    Args:
        purpose: which kind of answer, so that two kinds that depend on the same request do not meet.
        served: the model that `asked` means, whether it was named or not.
        picture: the image that `asked` means, by whatever id or bytes.
        asked: the request. All of its fields count, but those that `served` and `picture` stand for.
        without: names of fields that the answer does not depend on.
    """
    left_out = {"picture", "image", "model", *without}
    return purpose, *model_key(served), *image_key(image), asked.model_dump_json(exclude=left_out)
