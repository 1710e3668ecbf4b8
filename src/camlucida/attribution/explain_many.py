"""Explain many images: they are read ahead, and explained in batches where the request and the network allow it."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, TypeAlias

from camlucida.attribution.batch_size import PeakMemory, fitting_batch_size, is_same_image, largest_batch_size
from camlucida.attribution.batches import READ_AHEAD_BATCHES, read_ahead, run_batch
from camlucida.attribution.bind_targets import needs_binding
from camlucida.attribution.explain_request import explained, explained_together
from camlucida.attribution.explanation import Explanation
from camlucida.attribution.explanation_set import ExplanationSet
from camlucida.attribution.load_input import ImageInput, LoadedInput
from camlucida.attribution.load_volume_input import Loaded, load_any
from camlucida.attribution.method_choice import is_quick
from camlucida.attribution.request import AttributionRequest
from camlucida.attribution.several_inputs import with_others
from camlucida.data.volumes import is_volume_path
from camlucida.errors import CamlucidaError
from camlucida.models.model import Model

Result: TypeAlias = Explanation | ExplanationSet | CamlucidaError
ReadInput: TypeAlias = Loaded | Exception | None
"""What was loaded of an image, or the error of loading it; None for images that are loaded where they are explained."""


def explain_requests(
    model: Model, images: Iterable[ImageInput], request: AttributionRequest, others: Mapping[str, Any] | None = None
) -> Iterator[tuple[ImageInput, Result]]:
    """Yield each image with its explanation, or with the error where it cannot be explained.

    Args:
        model: The model.
        images: The images. Files of a list are read while the network runs on earlier ones, and those of one size are
            explained in batches; an iterator is consumed one image at a time.
        request: The request.
        others: Further inputs of the network by name, which are the same for every image.
    """
    if not isinstance(images, Sequence) or others or model.image or model.volume is not None:
        for image in images:
            yield image, _explained(model, with_others(model, image, others) if others else image, request, None)
        return
    explainer = BatchExplainer(model, request)
    with closing(read_ahead(lambda image: (image, _read(model, image)), explainer.batches_of(images))) as batches:
        for batch in batches:
            waiting = deque(batch)
            del batch
            results = deque(explainer.explain(waiting))
            while waiting:  # what was yielded is not held: a photograph and its maps take up to 100 MB
                yield waiting.popleft()[0], results.popleft()


def _read(model: Model, image: ImageInput) -> ReadInput:
    if not isinstance(image, str | os.PathLike) or is_volume_path(image):
        return None  # in memory already, or too large to hold several
    try:
        return load_any(model, image)
    except Exception as error:  # raised where the image is explained
        return error


def _explained(model: Model, image: Any, request: AttributionRequest, loaded: ReadInput) -> Result:
    """Return the explanation of one image, or the error."""
    try:
        return explained(model, image, request, loaded)
    except CamlucidaError as error:
        return error


def may_be_together(model: Model, request: AttributionRequest) -> bool:
    """Return whether images are explained in batches: each map takes one run of the network, and no image has targets
    of its own. Methods that run the network many times choose their own batches.
    """
    return (
        not model.held
        and not needs_binding(model, request.targets)
        and all(is_quick(method) for method, _ in request.methods)
        and all(spec is None or isinstance(spec, str | int) for spec in request.targets)
    )


class BatchExplainer:
    """Explains images in batches that fit into a memory budget.

    The first images are explained alone, and the memory that one takes is measured. In the first batch, one image is
    also explained alone: unless both explanations agree, as they do not for networks that compare the images of a
    batch, all images are explained alone.
    """

    def __init__(self, model: Model, request: AttributionRequest) -> None:
        self._model, self._request = model, request
        self._largest = largest_batch_size(model.network) if may_be_together(model, request) else 1
        if request.run_options.batch_size is not None:
            self._largest = min(self._largest, request.run_options.batch_size)
        self._n_alone = self._n_together = 0
        self._image_bytes = self._peak_bytes = 0
        self._is_checked = False

    def batches_of(self, images: Sequence[ImageInput]) -> Iterator[Sequence[ImageInput]]:
        """Yield the images in batches, whose size follows from the images that were explained before."""
        start = 0
        while start < len(images):
            stop = min(len(images), start + self.batch_size)
            yield [images[i] for i in range(start, stop)]
            start = stop

    @property
    def batch_size(self) -> int:
        """The size of the next batch: 1 until the memory is measured."""
        if self._largest == 1 or not self._peak_bytes:
            return 1
        read_ahead_bytes = (READ_AHEAD_BATCHES + 1) * self._image_bytes
        return fitting_batch_size(self._largest, self._peak_bytes + read_ahead_bytes)

    def explain(self, batch: Sequence[tuple[ImageInput, ReadInput]]) -> list[Result]:
        """Return the explanation or the error of each image of a batch, from one run of the network if possible."""
        if len(batch) == 1 or self._largest == 1:
            return [self._alone(image, loaded) for image, loaded in batch]
        images = [(image, self._loaded(image, loaded)) for image, loaded in batch]
        sizes = Counter(loaded.inputs.shape for _, loaded in images if isinstance(loaded, LoadedInput))
        size = sizes.most_common(1)[0][0] if sizes else None
        together = [
            (image, loaded) if isinstance(loaded, LoadedInput) and loaded.inputs.shape == size else None
            for image, loaded in images
        ]
        found = run_batch(self._model, together, self._run)
        if not self._is_checked:
            self._check(together, found)
        return [
            result if isinstance(result, Explanation | ExplanationSet) and self._largest > 1 else self._alone(*image)
            for image, result in zip(images, found, strict=True)
        ]

    def _loaded(self, image: ImageInput, loaded: ReadInput) -> ReadInput:
        """Return an image that is in memory as network input; None for a volume or video, or what cannot be loaded."""
        if loaded is None and not (isinstance(image, str | os.PathLike) and is_volume_path(image)):
            try:
                loaded = load_any(self._model, image)
            except CamlucidaError:
                return None  # raised again where the image is explained alone
        if isinstance(loaded, LoadedInput):
            self._image_bytes = max(self._image_bytes, _bytes_of(loaded))
        return loaded

    def _run(self, images: Sequence[tuple[ImageInput, LoadedInput]]) -> list[Explanation | ExplanationSet | None]:
        results = explained_together(self._model, images, self._request)
        self._n_together = max(self._n_together, len(images))
        return results

    def _alone(self, image: ImageInput, loaded: ReadInput) -> Result:
        """Explain one image, and measure the memory of the second one: the first also makes what later ones reuse."""
        is_measured = self._largest > 1 and self._n_alone == 1 and not self._peak_bytes
        if not is_measured:
            result = _explained(self._model, image, self._request, loaded)
        else:
            loaded = self._loaded(image, loaded)
            with PeakMemory() as memory:
                result = _explained(self._model, image, self._request, loaded)
        if isinstance(result, CamlucidaError):
            return result
        self._n_alone += 1
        if is_measured and isinstance(loaded, LoadedInput):
            self._peak_bytes = max(1, memory.peak)
        return result

    def _check(
        self,
        images: Sequence[tuple[ImageInput, LoadedInput] | None],
        results: Sequence[Explanation | ExplanationSet | str | None],
    ) -> None:
        """Explain images alone from now on if the network takes single images only, or mixes those of a batch."""
        known = ((i, result) for i, result in enumerate(results) if isinstance(result, Explanation | ExplanationSet))
        i, together = next(known, (0, None))
        image = images[i]
        if together is None or image is None:
            return
        alone = _explained(self._model, image[0], self._request, image[1])
        self._is_checked = True
        if self._n_together < 2 or isinstance(alone, CamlucidaError) or not self._agree(alone, together):
            self._largest = 1

    def _agree(self, alone: Explanation | ExplanationSet, together: Explanation | ExplanationSet) -> bool:
        of_alone, of_batch = ([e] if isinstance(e, Explanation) else list(e) for e in (alone, together))
        return len(of_alone) == len(of_batch) and all(
            a.target == b.target and is_same_image(self._model.network, a.raw, b.raw)
            for a, b in zip(of_alone, of_batch, strict=True)
        )


def _bytes_of(loaded: LoadedInput) -> int:
    """Return the bytes that a loaded image takes while it waits: its pixels and its network input."""
    width, height = loaded.image.size
    return 3 * width * height + loaded.inputs.nbytes
