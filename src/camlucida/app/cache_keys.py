"""Cache keys: what a cached response depends on, namely the model, the image, and every field of the request.

All caches of the app take their keys from here. All fields of a request count, so that a field that is added later
cannot be forgotten; fields that do not count are named, with the reason, where the key is requested.
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
    """Return the key of a model of the app.

    The name counts as well as the weights: two models with the same weights may differ in class names or preprocessing.
    The question that is held counts as well.
    """
    return served.model.weights_hash, served.name, served.question


def image_key(image: StoredImage) -> CacheKey:
    """Return the key of an image in a response.

    The id and the name count as well as the pixels: responses repeat them, and a sample and an upload may have the same
    pixels.
    """
    return image.digest, image.id, image.name


def request_key(
    purpose: str, served: Served, image: StoredImage, params: Schema, *, without: Collection[str] = ()
) -> CacheKey:
    """Return the key of the response to a request about one image and one model.

    Args:
        purpose: The kind of response, so that two kinds with the same request have different keys.
        served: The model that `params` refers to, whether by name or by default.
        image: The image that `params` refers to, by id or by content.
        params: The request. All of its fields count, except those that `served` and `image` represent.
        without: Names of fields that the response does not depend on.
    """
    excluded = {"image", "image_base64", "model", *without}
    return purpose, *model_key(served), *image_key(image), params.model_dump_json(exclude=excluded)
